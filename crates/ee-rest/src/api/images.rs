//! Options that pixel, map and thumbnail requests share.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::request::finite::to_value;
use crate::{AssetName, Client, Error};

/// An image file format, as in the API's `ImageFileFormat`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG for opaque images, otherwise PNG.
    AutoJpegPng,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// NumPy structured arrays.
    Npy,
    /// GeoTIFF.
    GeoTiff,
    /// TensorFlow records.
    TfRecord,
    /// Animated GIF, for video thumbnails.
    Gif,
    /// Any other format, by its API name.
    Other(String),
}

impl ImageFormat {
    /// Returns the API name of the format.
    pub fn as_str(&self) -> &str {
        match self {
            Self::AutoJpegPng => "AUTO_JPEG_PNG",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Npy => "NPY",
            Self::GeoTiff => "GEO_TIFF",
            Self::TfRecord => "TF_RECORD_IMAGE",
            Self::Gif => "GIF",
            Self::Other(format) => format,
        }
    }
}

/// A grid of pixels: its projection, size and position.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PixelGrid {
    /// The projection, as an authority and a code: `EPSG:4326`.
    pub crs_code: String,
    dimensions: Dimensions,
    affine_transform: AffineTransform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Dimensions {
    width: u32,
    height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// Creates a grid of `width` × `height` pixels in a projection. The transform is
    /// `[scale x, shear x, translate x, shear y, scale y, translate y]`, in the projection's
    /// units. It maps a pixel's column and row to coordinates.
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

    /// Returns what the API would read differently, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let size = self.dimensions;
        let transform = self.affine_transform;
        let numbers = [
            transform.scale_x,
            transform.shear_x,
            transform.translate_x,
            transform.shear_y,
            transform.scale_y,
            transform.translate_y,
        ];
        if !numbers.into_iter().all(f64::is_finite) {
            Some("a number of its transform is not finite")
        } else if size.width == 0 || size.height == 0 {
            Some("it has no pixels")
        } else if i32::try_from(size.width.max(size.height)).is_err() {
            Some("its width or height exceeds 2147483647 pixels")
        } else {
            None
        }
    }

    /// Creates a grid in degrees (EPSG:4326), given its northwest corner, the size of a pixel, and
    /// the number of pixels to the east and to the south.
    pub fn degrees(west: f64, north: f64, pixel: f64, width: u32, height: u32) -> Self {
        Self::new(
            "EPSG:4326",
            width,
            height,
            [pixel, 0.0, west, 0.0, -pixel, north],
        )
    }
}

/// The kind of a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThumbnailKind {
    /// An image.
    Image,
    /// The images of a collection, one below the other.
    Filmstrip,
    /// The images of a collection, as an animated GIF.
    Video,
}

/// The part that image and table requests share: the client and the request body.
pub(crate) struct CallBody {
    pub(crate) client: Client,
    pub(crate) body: Map<String, Value>,
    /// The first validation error.
    error: Option<Error>,
}

impl CallBody {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            body: Map::new(),
            error: None,
        }
    }

    fn image(client: &Client) -> Self {
        let mut request = Self::new(client);
        request.set("fileFormat", ImageFormat::AutoJpegPng.as_str());
        request
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) {
        match to_value(&format!("the option `{name}`"), value) {
            Ok(value) => {
                self.body.insert(name.to_owned(), value);
            }
            Err(error) => self.record_error(error),
        }
    }

    fn set_grid(&mut self, grid: &PixelGrid) {
        match grid.problem() {
            Some(problem) => self.record_error(invalid_grid(problem)),
            None => self.set("grid", grid),
        }
    }

    /// Rejects fields that the method does not have.
    pub(crate) fn without(&mut self, fields: &[&str], method: &str) {
        if let Some(field) = fields.iter().find(|field| self.body.contains_key(**field)) {
            self.record_error(Error::invalid_request(
                format!("{method} has no field `{field}`"),
                "Select bands, colors and the region in the expression.",
            ));
        }
    }

    pub(crate) fn record_error(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Returns the client and the request body.
    pub(crate) fn into_parts(self) -> Result<(Client, Map<String, Value>), Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok((self.client, self.body)),
        }
    }
}

/// Implements the options that all image requests have.
macro_rules! image_options {
    ($request:ident) => {
        impl $request {
            /// Sets the file format. Defaults to JPEG or PNG, depending on the image. Video
            /// thumbnails are always GIFs.
            pub fn format(self, format: ImageFormat) -> Self {
                self.option("fileFormat", format.as_str())
            }

            /// Selects the bands and their order. Defaults to all bands. Filmstrips and videos
            /// show the bands of their expression.
            pub fn bands<S: AsRef<str>>(self, bands: &[S]) -> Self {
                let bands: Vec<&str> = bands.iter().map(AsRef::as_ref).collect();
                self.option("bandIds", &bands)
            }

            /// Sets how values are rendered as colors: the API's `VisualizationOptions`, with
            /// `ranges`, `paletteColors`, `gamma`, ….
            pub fn visualization(self, options: impl Serialize) -> Self {
                self.option("visualizationOptions", options)
            }
        }

        other_options!($request);
    };
}

/// Implements `option` and `Debug`, which hides the values.
macro_rules! other_options {
    ($request:ident) => {
        impl $request {
            /// Sets any other field of the request.
            pub fn option(mut self, name: &str, value: impl serde::Serialize) -> Self {
                self.request.set(name, value);
                self
            }
        }

        impl std::fmt::Debug for $request {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($request))
                    .field("fields", &self.request.body.keys().collect::<Vec<_>>())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use other_options;

/// A request for the pixels of an image, created by [`Client::compute_pixels`] or
/// [`Client::get_pixels`].
#[must_use = "a pixel request does nothing until `bytes` or `save` is called"]
pub struct PixelsRequest {
    pub(crate) request: CallBody,
    /// The asset to read, or `None` for a computation.
    pub(crate) asset: Option<AssetName>,
}

/// A request for a tiled map of an image, created by [`Client::map`].
#[must_use = "a map request does nothing until `create` is called"]
pub struct MapRequest {
    pub(crate) request: CallBody,
}

/// A request for a thumbnail of an image or collection, created by [`Client::thumbnail`].
#[must_use = "a thumbnail request does nothing until `create` is called"]
pub struct ThumbnailRequest {
    pub(crate) request: CallBody,
    pub(crate) kind: ThumbnailKind,
}

image_options!(PixelsRequest);
image_options!(MapRequest);
image_options!(ThumbnailRequest);

pub(crate) fn invalid_grid(problem: &str) -> Error {
    Error::invalid_request(
        format!("the pixel grid is invalid: {problem}"),
        "Set a projection, a positive width and height, and finite numbers for the transform.",
    )
}

impl PixelsRequest {
    /// Sets the pixel grid. Defaults to the image's own.
    pub fn grid(mut self, grid: &PixelGrid) -> Self {
        self.request.set_grid(grid);
        self
    }

    /// Restricts the pixels of an asset to a GeoJSON geometry. Not for computed pixels, whose
    /// expression can clip them.
    pub fn region(self, geometry: impl Serialize) -> Self {
        self.option("region", geometry)
    }
}

impl ThumbnailRequest {
    /// Sets the pixel grid.
    pub fn grid(mut self, grid: &PixelGrid) -> Self {
        self.request.set_grid(grid);
        self
    }
}

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
    pub fn compute_pixels(&self, expression: &(impl Serialize + ?Sized)) -> PixelsRequest {
        let mut request = CallBody::image(self);
        request.set("expression", expression);
        PixelsRequest {
            request,
            asset: None,
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
    pub fn get_pixels(&self, id: &str) -> PixelsRequest {
        let mut request = CallBody::image(self);
        let asset = match super::assets::asset(id) {
            Ok(asset) => Some(asset),
            Err(error) => {
                request.record_error(error);
                None
            }
        };
        PixelsRequest { request, asset }
    }

    /// Creates a tiled map of an image.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let map = client
    ///     .map(&image)
    ///     .visualization(json!({"ranges": [{"min": 0, "max": 3000}]}))
    ///     .create()
    ///     .await?;
    /// println!("{}", map.url_template());
    /// map.tile(0, 0, 0)?.save("world.png").await?;
    /// # Ok(()) }
    /// ```
    pub fn map(&self, expression: &(impl Serialize + ?Sized)) -> MapRequest {
        let mut request = CallBody::image(self);
        request.set("expression", expression);
        MapRequest { request }
    }

    /// Creates a thumbnail of an image, or of a collection as a filmstrip or video.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
    /// use ee_rest::ThumbnailKind;
    ///
    /// let thumbnail = client.thumbnail(&image, ThumbnailKind::Image).create().await?;
    /// thumbnail.download().save("small.png").await?;
    /// # Ok(()) }
    /// ```
    pub fn thumbnail(
        &self,
        expression: &(impl Serialize + ?Sized),
        kind: ThumbnailKind,
    ) -> ThumbnailRequest {
        let mut request = CallBody::image(self);
        if kind == ThumbnailKind::Video {
            request.set("fileFormat", ImageFormat::Gif.as_str());
        }
        request.set("expression", expression);
        ThumbnailRequest { request, kind }
    }
}

#[cfg(test)]
mod tests {
    use ee_token::{Endpoints, HttpClient};
    use serde_json::json;

    use super::*;
    use crate::{Auth, ErrorKind};

    #[tokio::test]
    async fn request_that_the_api_would_misread_is_not_sent() {
        // Nothing listens here.
        let endpoints = Endpoints::emulator("127.0.0.1:9".parse().unwrap()).unwrap();
        let auth = Auth::api_key("key".into());
        let client = Client::builder(auth, HttpClient::new(endpoints));
        let client = client.project("my-project").build().unwrap();
        let image = json!({});
        let grid = |width, scale| PixelGrid::new("EPSG:4326", width, 1, [scale; 6]);
        let thumbnail = |kind| client.thumbnail(&image, kind);
        for (error, problem) in [
            (
                client
                    .compute_pixels(&image)
                    .region(json!({}))
                    .bytes()
                    .await
                    .err(),
                "`region`",
            ),
            (
                client
                    .compute_pixels(&image)
                    .grid(&grid(0, 1.0))
                    .bytes()
                    .await
                    .err(),
                "no pixels",
            ),
            (
                client
                    .get_pixels("a/b")
                    .grid(&grid(1, f64::NAN))
                    .bytes()
                    .await
                    .err(),
                "not finite",
            ),
            (
                client
                    .get_pixels("a/b")
                    .option("x", f64::NAN)
                    .bytes()
                    .await
                    .err(),
                "serialized",
            ),
            (
                thumbnail(ThumbnailKind::Video)
                    .bands(&["a"])
                    .create()
                    .await
                    .err(),
                "`bandIds`",
            ),
            (
                thumbnail(ThumbnailKind::Filmstrip)
                    .visualization(json!({}))
                    .create()
                    .await
                    .err(),
                "`visualizationOptions`",
            ),
            (
                client.compute::<Value>(&[f64::INFINITY]).await.err(),
                "serialized",
            ),
        ] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}
