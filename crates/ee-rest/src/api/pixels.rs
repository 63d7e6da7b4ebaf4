//! Pixels: `image:computePixels` and an asset's `getPixels`.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use crate::Error;
use crate::api::download::Download;
use crate::api::images::{ImageRequest, ToPixels};

/// Which pixels: how many, and where they lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PixelGrid {
    /// The projection, as an authority and a code: `EPSG:4326`.
    pub crs_code: String,
    dimensions: Dimensions,
    affine_transform: AffineTransform,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Dimensions {
    width: u32,
    height: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AffineTransform {
    scale_x: f64,
    shear_x: f64,
    translate_x: f64,
    shear_y: f64,
    scale_y: f64,
    translate_y: f64,
}

impl PixelGrid {
    /// A grid of `width` × `height` pixels in a projection. The transform is
    /// `[scale x, shear x, translate x, shear y, scale y, translate y]`, in the projection's
    /// units: a pixel's column and row become its place.
    pub fn new(crs_code: &str, width: u32, height: u32, transform: [f64; 6]) -> Self {
        let [scale_x, shear_x, translate_x, shear_y, scale_y, translate_y] = transform;
        Self {
            crs_code: crs_code.to_owned(),
            dimensions: Dimensions { width, height },
            affine_transform: AffineTransform {
                scale_x,
                shear_x,
                translate_x,
                shear_y,
                scale_y,
                translate_y,
            },
        }
    }

    /// A grid in degrees (EPSG:4326): the north-west corner, the size of a pixel, and how
    /// many of them there are to the east and to the south.
    pub fn degrees(west: f64, north: f64, pixel: f64, width: u32, height: u32) -> Self {
        Self::new(
            "EPSG:4326",
            width,
            height,
            [pixel, 0.0, west, 0.0, -pixel, north],
        )
    }
}

impl ImageRequest<ToPixels> {
    /// The pixels as bytes of the chosen format, in memory.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`](crate::RequestBuilder::send).
    pub async fn bytes(self) -> Result<Bytes, Error> {
        self.download()?.bytes().await
    }

    /// The pixels as a file of the chosen format; see [`Download::save`].
    ///
    /// # Errors
    /// As [`Download::save`].
    pub async fn save(self, to: impl AsRef<Path>) -> Result<u64, Error> {
        self.download()?.save(to).await
    }

    fn download(mut self) -> Result<Download, Error> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let path = match self.to.asset.take() {
            None => "image:computePixels".to_owned(),
            Some(asset) => format!("{}:getPixels", asset?),
        };
        let Self { client, body, .. } = self;
        Ok(Download::new(move || {
            client.request(Method::POST, &path).json(&body)
        }))
    }
}
