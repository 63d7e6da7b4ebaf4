//! Values that the API knows. Setters accept no others, so that a misspelled one is not sent.

use ee_token::internal::Quoted;

use crate::Error;

pub(crate) const IMAGE_FORMATS: &[&str] = &[
    "GEO_TIFF",
    "TF_RECORD_IMAGE",
    "AUTO_JPEG_PNG",
    "JPEG",
    "PNG",
    "NPY",
    "MULTI_BAND_IMAGE_TILE",
    "ZIPPED_GEO_TIFF",
    "ZIPPED_GEO_TIFF_PER_BAND",
];

pub(crate) const TABLE_FORMATS: &[&str] =
    &["CSV", "GEO_JSON", "KML", "KMZ", "SHP", "TF_RECORD_TABLE"];

pub(crate) const VIDEO_FORMATS: &[&str] = &["MP4", "GIF", "VP9"];

pub(crate) const PYRAMIDING_POLICIES: &[&str] = &["MEAN", "SAMPLE", "MIN", "MAX", "MODE", "MEDIAN"];

/// Checks that a value is one of those that the API knows. `what` is `a file format`, for example.
pub(crate) fn check_known(what: &str, value: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_request(
        format!("{} is not {what}", Quoted(value)),
        format!("Use {}.", known.join(", ")),
    ))
}
