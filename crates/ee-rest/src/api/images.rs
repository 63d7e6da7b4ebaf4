//! What pixels, maps and thumbnails have in common: an image, and how it shall look.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::pixels::PixelGrid;
use crate::api::thumbnails::ThumbnailKind;
use crate::{AssetName, Client, Error, ErrorKind};

/// The format of an image file. The words are those of the API's `ImageFileFormat`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG where everything is opaque, PNG elsewhere.
    AutoJpegPng,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// NumPy's structured arrays.
    Npy,
    /// GeoTIFF.
    GeoTiff,
    /// TensorFlow records.
    TfRecord,
    /// Animated GIF, for thumbnails of videos.
    Gif,
    /// Any other, in the API's words.
    Other(String),
}

impl ImageFormat {
    /// In the API's words.
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

/// For [`ImageRequest`]: pixels, as bytes or as a file.
#[derive(Debug)]
pub struct ToPixels {
    /// The asset that they come from; none for a computation.
    pub(crate) asset: Option<Result<AssetName, Error>>,
}

/// For [`ImageRequest`]: a map of tiles.
#[derive(Debug)]
pub struct ToMap(());

/// For [`ImageRequest`]: a thumbnail.
#[derive(Debug)]
pub struct ToThumbnail {
    pub(crate) kind: ThumbnailKind,
}

/// An image that is about to be asked for, and how it shall look: as pixels
/// ([`Client::compute_pixels`], [`Client::get_pixels`]), as a map ([`Client::map`]) or as a
/// thumbnail ([`Client::thumbnail`]).
#[must_use = "nothing is asked for until the image is taken"]
pub struct ImageRequest<To> {
    pub(crate) client: Client,
    pub(crate) body: Map<String, Value>,
    pub(crate) to: To,
    /// What was wrong with the first thing that was wrong.
    pub(crate) mistake: Option<Error>,
}

impl<To> ImageRequest<To> {
    fn new(client: &Client, to: To) -> Self {
        Self {
            client: client.clone(),
            body: Map::new(),
            to,
            mistake: None,
        }
        .format(ImageFormat::AutoJpegPng)
    }

    /// The format of the file: JPEG or PNG as it suits, if nothing else is said, and GIF for the
    /// thumbnail of a video, which has no other.
    pub fn format(self, format: ImageFormat) -> Self {
        self.option("fileFormat", format.as_str())
    }

    /// Which bands, in which order; all if nothing is said.
    pub fn bands<S: AsRef<str>>(self, bands: &[S]) -> Self {
        let bands: Vec<&str> = bands.iter().map(AsRef::as_ref).collect();
        self.option("bandIds", &bands)
    }

    /// How values become colours: the API's `VisualizationOptions`, with `ranges`,
    /// `paletteColors`, `gamma`, ….
    pub fn visualization(self, options: impl Serialize) -> Self {
        self.option("visualizationOptions", options)
    }

    /// Sets any other field of the request.
    pub fn option(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.body.insert(name.to_owned(), value);
            }
            Err(error) => {
                let message = format!("`{name}` of the image cannot be written as JSON");
                let mistake = Error::new(ErrorKind::InvalidRequest, message).with_source(error);
                self.mistake.get_or_insert(mistake);
            }
        }
        self
    }
}

impl ImageRequest<ToPixels> {
    /// Which pixels, in which projection; the image's own if nothing is said.
    pub fn grid(self, grid: &PixelGrid) -> Self {
        self.option("grid", grid)
    }

    /// Which part of an asset, as a GeoJSON geometry.
    pub fn region(self, geometry: impl Serialize) -> Self {
        self.option("region", geometry)
    }
}

impl ImageRequest<ToThumbnail> {
    /// Which pixels, in which projection.
    pub fn grid(self, grid: &PixelGrid) -> Self {
        self.option("grid", grid)
    }
}

impl Client {
    /// Computes an image's pixels. The expression is the image's
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
    pub fn compute_pixels(&self, expression: &(impl Serialize + ?Sized)) -> ImageRequest<ToPixels> {
        ImageRequest::new(self, ToPixels { asset: None }).option("expression", expression)
    }

    /// Gets the pixels of an asset that is an image.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let bytes = client.get_pixels("CGIAR/SRTM90_V4").bands(&["elevation"]).bytes().await?;
    /// println!("{} bytes", bytes.len());
    /// # Ok(()) }
    /// ```
    pub fn get_pixels(&self, id: &str) -> ImageRequest<ToPixels> {
        let asset = Some(super::assets::asset(id));
        ImageRequest::new(self, ToPixels { asset })
    }

    /// Makes a map of an image, to show its tiles.
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
    pub fn map(&self, expression: &(impl Serialize + ?Sized)) -> ImageRequest<ToMap> {
        ImageRequest::new(self, ToMap(())).option("expression", expression)
    }

    /// Makes a thumbnail of an image, or of a collection as a filmstrip or a video.
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
    ) -> ImageRequest<ToThumbnail> {
        let request = ImageRequest::new(self, ToThumbnail { kind });
        let request = match kind {
            ThumbnailKind::Video => request.format(ImageFormat::Gif),
            ThumbnailKind::Image | ThumbnailKind::Filmstrip => request,
        };
        request.option("expression", expression)
    }
}

impl<To> fmt::Debug for ImageRequest<To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageRequest")
            .field("fields", &self.body.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
