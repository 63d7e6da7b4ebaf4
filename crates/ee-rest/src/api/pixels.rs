//! Pixels: `image:computePixels` and an asset's `getPixels`.

use std::path::Path;

use bytes::Bytes;
use http::Method;

use crate::Error;
use crate::api::download::Download;
use crate::api::images::PixelsRequest;

impl PixelsRequest {
    /// Downloads the pixels into memory, in the chosen format.
    ///
    /// # Errors
    /// See [`RequestBuilder::send`](crate::RequestBuilder::send).
    pub async fn bytes(self) -> Result<Bytes, Error> {
        self.download()?.bytes().await
    }

    /// Downloads the pixels to a file, in the chosen format; see [`Download::save`].
    ///
    /// # Errors
    /// See [`Download::save`].
    pub async fn save(self, to: impl AsRef<Path>) -> Result<u64, Error> {
        self.download()?.save(to).await
    }

    fn download(mut self) -> Result<Download, Error> {
        let path = match &self.asset {
            None => {
                self.request.without(&["region"], "image:computePixels");
                "image:computePixels".to_owned()
            }
            Some(asset) => format!("{asset}:getPixels"),
        };
        let (client, body) = self.request.into_parts()?;
        Ok(Download::new(move || {
            client.request(Method::POST, &path).json(&body)
        }))
    }
}
