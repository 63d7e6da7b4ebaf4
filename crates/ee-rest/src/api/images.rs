//! Options that pixel, map and thumbnail requests share.

use ee_token::internal::Quoted;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::expression::check_expression;
use crate::request::finite::{to_value, without_null};
use crate::request::path::check_segment;
use crate::{Client, Error};

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
        if self.crs_code.is_empty() {
            Some("it has no projection")
        } else if !numbers.into_iter().all(f64::is_finite) {
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

/// The part that image and table requests share: the client and the request body.
pub(crate) struct CallBody {
    pub(crate) client: Client,
    pub(crate) body: Map<String, Value>,
    /// The location, such as `us`, in which the resource is created.
    location: Option<String>,
    /// The first validation error.
    error: Option<Error>,
}

impl CallBody {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            body: Map::new(),
            location: None,
            error: None,
        }
    }

    /// Creates a request that computes the value of an expression, with its file format.
    pub(crate) fn computed(
        client: &Client,
        expression: &(impl Serialize + ?Sized),
        format: &str,
    ) -> Self {
        let mut request = Self::new(client);
        request.set_expression("expression", expression);
        request.set("fileFormat", format);
        request
    }

    pub(crate) fn set_expression(&mut self, name: &str, expression: &(impl Serialize + ?Sized)) {
        self.set(name, expression);
        if let Err(error) = check_expression(self.body.get(name)) {
            self.record_error(error);
        }
    }

    pub(crate) fn set_location(&mut self, location: &str) {
        match check_location(location) {
            Ok(()) => self.location = Some(location.to_owned()),
            Err(error) => self.record_error(error),
        }
    }

    /// Returns the path of a collection in the location, if there is one.
    pub(crate) fn path(&self, collection: &str) -> String {
        match &self.location {
            Some(location) => format!("locations/{location}/{collection}"),
            None => collection.to_owned(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) {
        match to_value(&format!("the option `{name}`"), value) {
            Ok(value) => {
                self.body.insert(name.to_owned(), value);
            }
            Err(error) => self.record_error(error),
        }
    }

    /// Sets a field whose value has no parts that are null.
    pub(crate) fn set_without_null(&mut self, name: &str, value: impl Serialize) {
        let what = format!("the option `{name}`");
        let value = to_value(&what, value);
        match value.and_then(|value| without_null(&what, value)) {
            Ok(value) => {
                self.body.insert(name.to_owned(), value);
            }
            Err(error) => self.record_error(error),
        }
    }

    pub(crate) fn set_grid(&mut self, grid: &PixelGrid) {
        match grid.problem() {
            Some(problem) => self.record_error(invalid_grid(problem)),
            None => self.set("grid", grid),
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

/// Checks that this can be the ID of a location.
pub(crate) fn check_location(location: &str) -> Result<(), Error> {
    match check_segment(location) {
        Ok(()) if !location.contains(['/', ':']) => Ok(()),
        _ => Err(Error::invalid_request(
            format!("{} is not a location", Quoted(location)),
            "Use the ID of a location, such as `us`.",
        )),
    }
}

/// Implements the options that some image requests have.
macro_rules! image_options {
    ($request:ident: $($option:ident),*) => {
        impl $request {
            $(image_options!(@ $option);)*
        }
    };
    (@ format) => {
        /// Sets the file format. Defaults to JPEG or PNG, depending on the image.
        pub fn format(self, format: crate::ImageFormat) -> Self {
            self.option("fileFormat", format.as_str())
        }
    };
    (@ bands) => {
        /// Selects the bands and their order. Defaults to all bands.
        pub fn bands<S: AsRef<str>>(self, bands: &[S]) -> Self {
            let bands: Vec<&str> = bands.iter().map(AsRef::as_ref).collect();
            self.option("bandIds", &bands)
        }
    };
    (@ visualization) => {
        /// Sets how values are rendered as colors: the API's `VisualizationOptions`, with `ranges`,
        /// `paletteColors`, `gamma`, ….
        pub fn visualization(mut self, options: impl serde::Serialize) -> Self {
            self.request.set_without_null("visualizationOptions", options);
            self
        }
    };
    (@ grid) => {
        /// Sets the pixel grid. Defaults to the image's own.
        pub fn grid(mut self, grid: &crate::PixelGrid) -> Self {
            self.request.set_grid(grid);
            self
        }
    };
    (@ location) => {
        /// Creates the resource in a location of the project, such as `us`.
        ///
        /// ```no_run
        /// # async fn f(client: ee_rest::Client, image: serde_json::Value) -> Result<(), ee_rest::Error> {
        /// let map = client.map(&image).location("us").create().await?;
        /// println!("{}", map.url_template());
        /// # Ok(()) }
        /// ```
        pub fn location(mut self, location: &str) -> Self {
            self.request.set_location(location);
            self
        }
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

pub(crate) use {image_options, other_options};

pub(crate) fn invalid_grid(problem: &str) -> Error {
    Error::invalid_request(
        format!("the pixel grid is invalid: {problem}"),
        "Set a projection, a positive width and height, and finite numbers for the transform.",
    )
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
        let computed = |grid| client.compute_pixels(&image).grid(&grid);
        let stored = client.get_pixels("a/b");
        for (error, problem) in [
            (computed(grid(0, 1.0)).bytes().await.err(), "no pixels"),
            (
                computed(grid(u32::MAX, 1.0)).bytes().await.err(),
                "2147483647",
            ),
            (
                stored.grid(&grid(1, f64::NAN)).bytes().await.err(),
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
                client
                    .map(&image)
                    .visualization(json!({"ranges": [{"min": f64::NAN}]}))
                    .create()
                    .await
                    .err(),
                "contains null",
            ),
            (
                client
                    .get_pixels("a/b")
                    .region(json!({"type": "Point", "coordinates": [f64::INFINITY, 1]}))
                    .bytes()
                    .await
                    .err(),
                "contains null",
            ),
            (
                client.map(&image).location("a/b").create().await.err(),
                "not a location",
            ),
            (
                client.thumbnail(&image).location("").create().await.err(),
                "not a location",
            ),
            (
                client.compute::<Value>(&[f64::INFINITY]).await.err(),
                "serialized",
            ),
            (
                client.compute::<Value>("{}").await.err(),
                "not a JSON object",
            ),
            (
                client.compute_pixels("{}").bytes().await.err(),
                "not a JSON object",
            ),
            (client.compute_images(&[1]).err(), "not a JSON object"),
            (
                client
                    .feature_view("a/b")
                    .visualization(&1)
                    .create()
                    .await
                    .err(),
                "not a JSON object",
            ),
            (
                client
                    .video_thumbnail(&image)
                    .frames_per_second(0.0)
                    .create()
                    .await
                    .err(),
                "0 frames per second",
            ),
            (
                client
                    .compute_pixels(&image)
                    .grid(&PixelGrid::new("", 1, 1, [1.0; 6]))
                    .bytes()
                    .await
                    .err(),
                "no projection",
            ),
        ] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
            assert!(error.to_string().contains(problem), "{error}");
            assert!(!error.remedy().text.is_empty());
        }
    }
}
