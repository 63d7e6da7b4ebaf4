//! Pixels: `image:computePixels` and an asset's `getPixels`.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use crate::api::assets::asset;
use crate::api::download::Download;
use crate::api::images::{CallBody, ImageFormat, image_options, other_options};
use crate::{AssetName, Client, Error};

/// A request for the pixels of a computed image, created by [`Client::compute_pixels`].
///
/// The expression clips the image, so there is no region:
///
/// ```compile_fail
/// # fn f(client: ee_rest::Client, image: serde_json::Value, geometry: serde_json::Value) {
/// client.compute_pixels(&image).region(&geometry);
/// # }
/// ```
#[must_use = "a pixel request does nothing until `bytes` or `save` is called"]
pub struct ComputePixelsRequest {
    request: CallBody,
}

/// A request for the pixels of an image asset, created by [`Client::get_pixels`].
#[must_use = "a pixel request does nothing until `bytes` or `save` is called"]
pub struct GetPixelsRequest {
    request: CallBody,
    /// `None` if the ID is invalid, which the request reports.
    asset: Option<AssetName>,
}

image_options!(ComputePixelsRequest: format, bands, visualization, grid);
image_options!(GetPixelsRequest: format, bands, visualization, grid);
other_options!(ComputePixelsRequest);
other_options!(GetPixelsRequest);

impl Client {
    /// Computes the pixels of an image. The expression must evaluate to an image
    /// (`{"result": …, "values": {…}}`).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::{ImageFormat, PixelGrid};
    ///
    /// let grid = PixelGrid::degrees(8.0, 47.5, 0.01, 256, 256);
    /// let length = client
    ///     .compute_pixels(&image)
    ///     .format(ImageFormat::GeoTiff)
    ///     .grid(&grid)
    ///     .save("pixels.tif")
    ///     .await?;
    /// println!("{length} bytes");
    /// # Ok(()) }
    /// ```
    pub fn compute_pixels(&self, expression: &(impl Serialize + ?Sized)) -> ComputePixelsRequest {
        let format = ImageFormat::AutoJpegPng;
        ComputePixelsRequest {
            request: CallBody::computed(self, expression, format.as_str()),
        }
    }

    /// Reads the pixels of an image asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let bytes = client.get_pixels("CGIAR/SRTM90_V4").bands(&["elevation"]).bytes().await?;
    /// println!("{} bytes", bytes.len());
    /// # Ok(()) }
    /// ```
    pub fn get_pixels(&self, id: &str) -> GetPixelsRequest {
        let mut request = CallBody::new(self);
        request.set("fileFormat", ImageFormat::AutoJpegPng.as_str());
        let asset = asset(id).map_err(|error| request.record_error(error)).ok();
        GetPixelsRequest { request, asset }
    }
}

/// Implements the methods that send the request.
macro_rules! downloads {
    ($request:ident) => {
        impl $request {
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
        }
    };
}

downloads!(ComputePixelsRequest);
downloads!(GetPixelsRequest);

impl ComputePixelsRequest {
    fn download(self) -> Result<Download, Error> {
        download(self.request, "image:computePixels".to_owned())
    }
}

impl GetPixelsRequest {
    /// Restricts the pixels to a GeoJSON geometry.
    pub fn region(mut self, geometry: impl Serialize) -> Self {
        self.request.set_without_null("region", geometry);
        self
    }

    fn download(self) -> Result<Download, Error> {
        let name = self.asset.map(|name| name.to_string());
        let path = format!("{}:getPixels", name.unwrap_or_default());
        download(self.request, path)
    }
}

fn download(request: CallBody, path: String) -> Result<Download, Error> {
    let (client, body) = request.into_parts()?;
    Ok(Download::new(move || {
        client.request(Method::POST, &path).json(&body)
    }))
}
