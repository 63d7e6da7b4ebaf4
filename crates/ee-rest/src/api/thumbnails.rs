//! Thumbnails of images, filmstrips and videos.

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use url::Url;

use crate::api::download::Download;
use crate::api::images::{CallBody, ImageFormat, image_options, other_options};
use crate::api::maps::create;
use crate::{Client, Error};

/// A thumbnail, created by [`Client::thumbnail`], [`Client::filmstrip`] or
/// [`Client::video_thumbnail`]. It expires after a few hours.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    client: Client,
    name: String,
    url: Url,
}

/// A request for a thumbnail of an image, created by [`Client::thumbnail`].
#[must_use = "a thumbnail request does nothing until `create` is called"]
pub struct ThumbnailRequest {
    request: CallBody,
}

/// A request for the images of a collection in one image, created by [`Client::filmstrip`]. They
/// show the bands of the expression:
///
/// ```compile_fail
/// # fn f(client: ee_rest::Client, collection: serde_json::Value) {
/// client.filmstrip(&collection).visualization("gray");
/// # }
/// ```
#[must_use = "a filmstrip request does nothing until `create` is called"]
pub struct FilmstripRequest {
    request: CallBody,
}

/// A request for the images of a collection as an animated GIF, created by
/// [`Client::video_thumbnail`]. It shows the bands of the expression:
///
/// ```compile_fail
/// # fn f(client: ee_rest::Client, collection: serde_json::Value) {
/// client.video_thumbnail(&collection).bands(&["B4"]);
/// # }
/// ```
#[must_use = "a video request does nothing until `create` is called"]
pub struct VideoThumbnailRequest {
    request: CallBody,
}

image_options!(ThumbnailRequest: format, bands, visualization, grid, location);
image_options!(FilmstripRequest: format, grid, location);
image_options!(VideoThumbnailRequest: grid, location);
other_options!(ThumbnailRequest);
other_options!(FilmstripRequest);
other_options!(VideoThumbnailRequest);

impl Client {
    /// Creates a thumbnail of an image.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let thumbnail = client.thumbnail(&image).bands(&["B4", "B3", "B2"]).create().await?;
    /// thumbnail.download().save("small.png").await?;
    /// # Ok(()) }
    /// ```
    pub fn thumbnail(&self, expression: &(impl Serialize + ?Sized)) -> ThumbnailRequest {
        let format = ImageFormat::AutoJpegPng;
        ThumbnailRequest {
            request: CallBody::computed(self, expression, format.as_str()),
        }
    }

    /// Creates a filmstrip of a collection: its images, one below the other.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let filmstrip = client.filmstrip(&collection).horizontal().create().await?;
    /// filmstrip.download().save("year.png").await?;
    /// # Ok(()) }
    /// ```
    pub fn filmstrip(&self, collection: &(impl Serialize + ?Sized)) -> FilmstripRequest {
        let format = ImageFormat::AutoJpegPng;
        let request = CallBody::computed(self, collection, format.as_str());
        FilmstripRequest { request }.option("orientation", "VERTICAL")
    }

    /// Creates an animated GIF of a collection.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// let video = client.video_thumbnail(&collection).frames_per_second(5.0).create().await?;
    /// video.download().save("year.gif").await?;
    /// # Ok(()) }
    /// ```
    pub fn video_thumbnail(&self, collection: &(impl Serialize + ?Sized)) -> VideoThumbnailRequest {
        VideoThumbnailRequest {
            request: CallBody::computed(self, collection, "GIF"),
        }
    }
}

impl ThumbnailRequest {
    /// Creates the thumbnail.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<Thumbnail, Error> {
        thumbnail(self.request, "thumbnails").await
    }
}

impl FilmstripRequest {
    /// Puts the images side by side, from left to right.
    pub fn horizontal(self) -> Self {
        self.option("orientation", "HORIZONTAL")
    }

    /// Creates the filmstrip.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<Thumbnail, Error> {
        thumbnail(self.request, "filmstripThumbnails").await
    }
}

impl VideoThumbnailRequest {
    /// Sets the number of images shown per second.
    pub fn frames_per_second(mut self, frames: f64) -> Self {
        if frames <= 0.0 {
            self.request.record_error(Error::invalid_request(
                format!("a video cannot show {frames} frames per second"),
                "Use a positive number.",
            ));
        }
        // An object that is serialized here, where a number that is not finite is an error.
        let options: BTreeMap<_, _> = [("framesPerSecond", frames)].into();
        self.option("videoOptions", options)
    }

    /// Creates the animated GIF.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(self) -> Result<Thumbnail, Error> {
        thumbnail(self.request, "videoThumbnails").await
    }
}

async fn thumbnail(request: CallBody, collection: &str) -> Result<Thumbnail, Error> {
    let (client, name, url) = create(request, collection, &[collection]).await?;
    Ok(Thumbnail { client, name, url })
}

impl Thumbnail {
    /// Returns the name: `projects/P/thumbnails/ID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL. It contains no credentials, so a request for it must be authenticated.
    pub fn url(&self) -> String {
        format!("{}:getPixels", self.url)
    }

    /// Returns the thumbnail's download.
    pub fn download(&self) -> Download {
        let client = self.client.clone();
        let path = format!("{}:getPixels", self.name);
        Download::new(move || client.request(Method::GET, &path))
    }
}
