//! Thumbnails of images, filmstrips and videos.

use http::Method;
use url::Url;

use crate::api::download::Download;
use crate::api::images::{ThumbnailKind, ThumbnailRequest};
use crate::api::maps::create;
use crate::{Client, Error};

/// A thumbnail, created by [`Client::thumbnail`]. It expires after a few hours.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    client: Client,
    name: String,
    url: Url,
}

impl ThumbnailRequest {
    /// Creates the thumbnail.
    ///
    /// # Errors
    /// See [`Client::post_json`].
    pub async fn create(mut self) -> Result<Thumbnail, Error> {
        let collection = match self.kind {
            ThumbnailKind::Image => "thumbnails",
            ThumbnailKind::Video => "videoThumbnails",
            ThumbnailKind::Filmstrip => {
                if !self.request.body.contains_key("orientation") {
                    self = self.option("orientation", "VERTICAL");
                }
                "filmstripThumbnails"
            }
        };
        if self.kind != ThumbnailKind::Image {
            let fields = ["bandIds", "visualizationOptions"];
            self.request.without(&fields, collection);
        }
        let (client, name, url) = create(self.request, collection, &[collection]).await?;
        Ok(Thumbnail { client, name, url })
    }
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
