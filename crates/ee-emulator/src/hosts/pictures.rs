//! Pixels, maps, tiles and thumbnails. Every picture is chequered.

use serde_json::{Map, Value, json};

use super::compute::check_workload_tag;
use super::{payload, png};
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;
use crate::{random, refusals};

/// What a request for pixels may bring, in bytes.
const MOST_BYTES: u64 = 50_331_648;

/// How wide and high a grid may be.
const MOST_PIXELS: u64 = 32_768;

const FORMATS: [&str; 9] = [
    "JPEG",
    "PNG",
    "AUTO_JPEG_PNG",
    "NPY",
    "GEO_TIFF",
    "TF_RECORD_IMAGE",
    "ZIPPED_GEO_TIFF",
    "ZIPPED_GEO_TIFF_PER_BAND",
    "MULTI_BAND_IMAGE_TILE",
];

/// A collection of pictures that have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Maps,
    Thumbnails,
    VideoThumbnails,
    FilmstripThumbnails,
}

impl Collection {
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "maps" => Self::Maps,
            "thumbnails" => Self::Thumbnails,
            "videoThumbnails" => Self::VideoThumbnails,
            "filmstripThumbnails" => Self::FilmstripThumbnails,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Thumbnails => "thumbnails",
            Self::VideoThumbnails => "videoThumbnails",
            Self::FilmstripThumbnails => "filmstripThumbnails",
        }
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Maps => &["bandIds"],
            Self::Thumbnails => &["bandIds", "filenamePrefix", "grid"],
            Self::VideoThumbnails => &["videoOptions", "grid"],
            Self::FilmstripThumbnails => &["orientation", "grid"],
        }
    }
}

/// Gives a picture a name.
pub(super) fn create(
    shared: &Shared,
    request: &Request,
    collection: Collection,
    project: &str,
) -> Result<Reply, Reply> {
    let common = ["expression", "fileFormat", "visualizationOptions"];
    let known = [&common[..], collection.fields()].concat();
    let mut body = payload::object(request, &known)?;
    payload::expression(&body)?;
    match collection {
        Collection::VideoThumbnails => format(&body, &["GIF"], "GIF")?,
        _ => image_format(&body)?,
    };
    check_workload_tag(request.query("workloadTag").map(Value::from).as_ref())?;
    let name = format!(
        "projects/{project}/{}/{}",
        collection.name(),
        random::hex(16)
    );
    shared.state().content.pictures.insert(name.clone());
    if request.query("fields").as_deref() == Some("name") {
        return Ok(Reply::json(200, &json!({"name": name})));
    }
    body.insert("name".into(), json!(name));
    Ok(Reply::json(200, &Value::Object(body)))
}

/// A tile of a map.
pub(super) fn tile(shared: &Shared, map: &str, place: [&str; 3]) -> Result<Reply, Reply> {
    known(shared, map)?;
    let [z, x, y] = place.map(|number| number.parse::<u32>().ok());
    let on_map = |z: u32, at: u32| z <= 30 && u64::from(at) < 1 << z;
    match (z, x, y) {
        (Some(z), Some(x), Some(y)) if on_map(z, x) && on_map(z, y) => picture(256, 256),
        _ => Err(refusals::invalid_argument(
            "Tile coordinates are out of range.",
        )),
    }
}

/// A thumbnail's picture.
pub(super) fn thumbnail(shared: &Shared, name: &str) -> Result<Reply, Reply> {
    known(shared, name)?;
    picture(64, 64)
}

fn known(shared: &Shared, name: &str) -> Result<(), Reply> {
    if shared.state().content.pictures.contains(name) {
        Ok(())
    } else {
        Err(refusals::not_found(&format!("'{name}' not found.")))
    }
}

/// `image:computePixels`, or `getPixels` of an asset.
pub(super) fn pixels(
    shared: &Shared,
    request: &Request,
    asset: Option<&str>,
) -> Result<Reply, Reply> {
    let common = [
        "fileFormat",
        "grid",
        "bandIds",
        "visualizationOptions",
        "workloadTag",
    ];
    let own: &[&str] = if asset.is_some() {
        &["region"]
    } else {
        &["expression"]
    };
    let body = payload::object(request, &[&common[..], own].concat())?;
    check_workload_tag(body.get("workloadTag"))?;
    match asset {
        None => {
            payload::expression(&body)?;
        }
        Some(name) => {
            let state = shared.state();
            let kind = state
                .content
                .assets
                .get(name)
                .map(|asset| asset.kind().to_owned());
            match kind.as_deref() {
                Some("IMAGE") => {}
                Some(_) => {
                    return Err(refusals::invalid_argument(&format!(
                        "Asset '{name}' is not an image."
                    )));
                }
                None => {
                    return Err(refusals::not_found(&format!(
                        "Asset '{name}' not found (does not exist or caller does not have access)."
                    )));
                }
            }
        }
    }
    let format = image_format(&body)?;
    let (width, height) = size(&body)?;
    match format {
        "PNG" | "AUTO_JPEG_PNG" => picture(width, height),
        "NPY" => Ok(numpy(width, height)),
        other => Err(refusals::invalid_argument(&format!(
            "The emulator makes no files of the format {other}."
        ))),
    }
}

fn size(body: &Map<String, Value>) -> Result<(u32, u32), Reply> {
    let Some(dimensions) = body.get("grid").and_then(|grid| grid.get("dimensions")) else {
        return Ok((256, 256));
    };
    let side = |name: &str| {
        dimensions[name]
            .as_u64()
            .filter(|n| (1..=MOST_PIXELS).contains(n))
    };
    let (Some(width), Some(height)) = (side("width"), side("height")) else {
        return Err(refusals::invalid_argument(&format!(
            "Pixel grid dimensions must be between 1 and {MOST_PIXELS}."
        )));
    };
    if width * height > MOST_BYTES {
        return Err(refusals::invalid_argument(&format!(
            "Total request size ({} bytes) must be less than or equal to {MOST_BYTES} bytes.",
            width * height
        )));
    }
    let side = |n: u64| u32::try_from(n).unwrap_or(1);
    Ok((side(width), side(height)))
}

fn image_format(body: &Map<String, Value>) -> Result<&str, Reply> {
    format(body, &FORMATS, "AUTO_JPEG_PNG")
}

/// The format that is asked for, which must be one of these.
fn format<'a>(
    body: &'a Map<String, Value>,
    known: &[&str],
    otherwise: &'a str,
) -> Result<&'a str, Reply> {
    let format = payload::text(body, "fileFormat")?.unwrap_or(otherwise);
    if known.contains(&format) {
        Ok(format)
    } else {
        Err(refusals::invalid_argument(&format!(
            "Invalid value at 'file_format' (type.googleapis.com/google.earthengine.v1.ImageFileFormat), \"{format}\""
        )))
    }
}

fn picture(width: u32, height: u32) -> Result<Reply, Reply> {
    let png = png::chequered(width, height).map_err(|_| refusals::internal())?;
    Ok(Reply::new(200, "image/png", png))
}

/// An array of bytes, all zero, in NumPy's format (version 1.0).
fn numpy(width: u32, height: u32) -> Reply {
    let mut header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // Magic, version, length, header and line end together are a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(
        &u16::try_from(header.len())
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + width as usize * height as usize, 0);
    Reply::new(200, "application/octet-stream", file)
}
