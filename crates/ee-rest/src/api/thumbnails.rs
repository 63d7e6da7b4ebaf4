//! Thumbnails: images, filmstrips and videos, small.

use http::Method;
use url::Url;

use crate::api::download::Download;
use crate::api::images::{ImageRequest, ToThumbnail};
use crate::api::maps::create;
use crate::{Client, Error};

/// What a thumbnail is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThumbnailKind {
    /// An image.
    Image,
    /// A collection, one image beneath the other.
    Filmstrip,
    /// A collection, one image after the other: an animated GIF.
    Video,
}

/// A thumbnail; made by [`Client::thumbnail`]. It lives for some hours.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    client: Client,
    name: String,
    root: Url,
}

impl ImageRequest<ToThumbnail> {
    /// Makes the thumbnail.
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn create(mut self) -> Result<Thumbnail, Error> {
        let collection = match self.to.kind {
            ThumbnailKind::Image => "thumbnails",
            ThumbnailKind::Video => "videoThumbnails",
            ThumbnailKind::Filmstrip => {
                if !self.body.contains_key("orientation") {
                    self = self.option("orientation", "VERTICAL");
                }
                "filmstripThumbnails"
            }
        };
        let (client, name, root) = create(self, collection).await?;
        Ok(Thumbnail { client, name, root })
    }
}

impl Thumbnail {
    /// `projects/P/thumbnails/ID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL. Who asks for it must send a token or an API key: it holds neither.
    pub fn url(&self) -> String {
        format!("{}:getPixels", self.root)
    }

    /// Its bytes.
    pub fn download(&self) -> Download {
        let client = self.client.clone();
        let path = format!("{}:getPixels", self.name);
        Download::new(move || client.request(Method::GET, &path))
    }
}
