//! Pixels, maps, tiles, thumbnails and tables. Every image is a checkerboard.

use serde_json::{Map, Value, json};

use super::compute::check_workload_tag;
use super::numpy::{self, Band};
use super::{assets, geotiff, payload, png, tables};
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;
use crate::{error_responses, random};

/// The maximum response size of a request for pixels, in bytes.
const MAX_BYTES: u64 = 50_331_648;

/// The maximum width and height of a grid.
const MAX_PIXELS: u64 = 32_768;

/// A collection of named images or tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Maps,
    Thumbnails,
    VideoThumbnails,
    FilmstripThumbnails,
    Tables,
    FeatureViews,
}

impl Collection {
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "maps" => Self::Maps,
            "thumbnails" => Self::Thumbnails,
            "videoThumbnails" => Self::VideoThumbnails,
            "filmstripThumbnails" => Self::FilmstripThumbnails,
            "tables" => Self::Tables,
            "featureView" | "featureViews" => Self::FeatureViews,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Thumbnails => "thumbnails",
            Self::VideoThumbnails => "videoThumbnails",
            Self::FilmstripThumbnails => "filmstripThumbnails",
            Self::Tables => "tables",
            Self::FeatureViews => "featureViews",
        }
    }

    /// Returns the file of a new name: a tile, a thumbnail or a table.
    fn file(self, body: &Map<String, Value>) -> Result<Response, Response> {
        match self {
            Self::Tables => return tables::file(body),
            Self::FeatureViews => {
                if payload::text(body, "asset").is_empty() {
                    return Err(error_responses::invalid_argument("The asset is missing."));
                }
                return Ok(Response::new(200, "application/x-protobuf", tables::TILE));
            }
            Self::VideoThumbnails if !matches!(payload::text(body, "fileFormat"), "" | "GIF") => {
                return Err(error_responses::invalid_argument(
                    "Thumbnails of videos must be GIFs.",
                ));
            }
            _ => {}
        }
        payload::expression(body)?;
        match self {
            Self::Maps => checkerboard(256, 256),
            _ => checkerboard(64, 64),
        }
    }
}

/// Creates a named image or table.
pub(super) fn create(
    shared: &Shared,
    request: &Request,
    mut body: Map<String, Value>,
    collection: Collection,
    project: &str,
) -> Result<Response, Response> {
    let file = collection.file(&body)?;
    check_workload_tag(request.query("workloadTag").map(Value::from).as_ref())?;
    let name = format!(
        "projects/{project}/{}/{}",
        collection.name(),
        random::hex(16)
    );
    shared.state().content.files.insert(name.clone(), file);
    if request.query("fields").as_deref() == Some("name") {
        return Ok(Response::json(200, &json!({"name": name})));
    }
    body.insert("name".into(), json!(name));
    Ok(Response::json(200, &Value::Object(body)))
}

/// Returns a tile of a map.
pub(super) fn tile(
    shared: &Shared,
    map: &str,
    coordinates: [&str; 3],
) -> Result<Response, Response> {
    let tile = file(shared, map)?;
    let [z, x, y] = coordinates.map(|number| number.parse::<u32>().ok());
    let on_map = |z: u32, at: u32| z <= 30 && u64::from(at) < 1 << z;
    match (z, x, y) {
        (Some(z), Some(x), Some(y)) if on_map(z, x) && on_map(z, y) => Ok(tile),
        _ => Err(error_responses::invalid_argument(
            "Tile coordinates are out of range.",
        )),
    }
}

/// Returns the file of a name: a tile, a thumbnail or a table.
pub(super) fn file(shared: &Shared, name: &str) -> Result<Response, Response> {
    let state = shared.state();
    let file = state.content.files.get(name).cloned();
    file.ok_or_else(|| error_responses::not_found(&format!("'{name}' not found.")))
}

/// Handles `image:computePixels`, or `getPixels` of an asset.
pub(super) fn pixels(
    shared: &Shared,
    body: &Map<String, Value>,
    asset: Option<&str>,
) -> Result<Response, Response> {
    check_workload_tag(body.get("workloadTag"))?;
    let bands = match asset {
        None => {
            payload::expression(body)?;
            Vec::new()
        }
        Some(name) => select_bands(body, asset_bands(shared, name)?)?,
    };
    let (width, height) = size(body)?;
    match payload::text(body, "fileFormat") {
        "" | "PNG" | "AUTO_JPEG_PNG" => checkerboard(width, height),
        "NPY" => {
            let file = match bands.as_slice() {
                [] => numpy::zeros(width, height),
                bands => numpy::checkerboard(width, height, bands),
            };
            Ok(Response::new(200, "application/octet-stream", file))
        }
        "GEO_TIFF" => {
            let file = geotiff::checkerboard(width, height, body.get("grid"));
            Ok(Response::new(200, "image/tiff", file))
        }
        other => Err(error_responses::invalid_argument(&format!(
            "The emulator does not support the format {other}."
        ))),
    }
}

/// Returns the bands of an image asset, of which the emulator may know none.
fn asset_bands(shared: &Shared, name: &str) -> Result<Vec<Band>, Response> {
    let state = shared.state();
    let asset = assets::find(&state.content, name)?;
    if asset.kind() != "IMAGE" {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{name}' is not an image."
        )));
    }
    let bands = asset.fields.get("bands").and_then(Value::as_array);
    Ok(bands.into_iter().flatten().filter_map(Band::of).collect())
}

/// Returns the requested bands; all of them if the request names none.
fn select_bands(body: &Map<String, Value>, mut bands: Vec<Band>) -> Result<Vec<Band>, Response> {
    let ids = body.get("bandIds").and_then(Value::as_array);
    let ids: Vec<&str> = ids
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if ids.is_empty() || bands.is_empty() {
        return Ok(bands);
    }
    let mut selected = Vec::new();
    for id in ids {
        match bands.iter().position(|band| band.name() == id) {
            Some(at) => selected.push(bands.remove(at)),
            None => {
                return Err(error_responses::invalid_argument(&format!(
                    "Image.select: Band pattern '{id}' did not match any bands."
                )));
            }
        }
    }
    Ok(selected)
}

fn size(body: &Map<String, Value>) -> Result<(u32, u32), Response> {
    let Some(dimensions) = body.get("grid").and_then(|grid| grid.get("dimensions")) else {
        return Ok((256, 256));
    };
    let side = |name: &str| {
        dimensions[name]
            .as_u64()
            .filter(|n| (1..=MAX_PIXELS).contains(n))
    };
    let (Some(width), Some(height)) = (side("width"), side("height")) else {
        return Err(error_responses::invalid_argument(&format!(
            "Pixel grid dimensions must be between 1 and {MAX_PIXELS}."
        )));
    };
    if width * height > MAX_BYTES {
        return Err(error_responses::invalid_argument(&format!(
            "Total request size ({} bytes) must be less than or equal to {MAX_BYTES} bytes.",
            width * height
        )));
    }
    let side = |n: u64| u32::try_from(n).unwrap_or(1);
    Ok((side(width), side(height)))
}

fn checkerboard(width: u32, height: u32) -> Result<Response, Response> {
    let png = png::checkerboard(width, height).map_err(|_| error_responses::internal())?;
    Ok(Response::new(200, "image/png", png))
}
