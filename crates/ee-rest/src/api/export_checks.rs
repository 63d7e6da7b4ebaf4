//! What the types of an export cannot express is checked before it is sent.

use ee_token::internal::Quoted;
use serde_json::{Map, Value};

use crate::Error;

pub(crate) const REQUEST_ID: &str = "requestId";

/// Checks the fields of an export, which may have been set with `option`.
pub(crate) fn check_body(body: &Map<String, Value>) -> Result<(), Error> {
    check_destinations(body)?;
    check_request_id(body)?;
    check_priority(body)?;
    check_format_options(body)
}

/// Checks that there is one destination. Only `option` can add another.
fn check_destinations(body: &Map<String, Value>) -> Result<(), Error> {
    let destinations: Vec<_> = body
        .iter()
        .filter(|(field, _)| field.ends_with("ExportOptions"))
        .filter_map(|(_, options)| options.as_object())
        .flat_map(|options| options.keys())
        .filter(|key| key.ends_with("Destination"))
        .map(String::as_str)
        .collect();
    if destinations.len() <= 1 {
        return Ok(());
    }
    Err(Error::invalid_request(
        format!(
            "the export has {} destinations: {}",
            destinations.len(),
            destinations.join(", ")
        ),
        "Start one export for each destination.",
    ))
}

/// Validates the request ID, if there is one. The server generates one for an empty ID.
pub(crate) fn check_request_id(body: &Map<String, Value>) -> Result<(), Error> {
    match body.get(REQUEST_ID).and_then(Value::as_str) {
        Some(id)
            if id.len() > 60 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Err(Error::invalid_request(
                format!("{} is not a valid request ID", Quoted(id)),
                "Use at most 60 letters, digits and dashes, such as a UUID.",
            ))
        }
        _ => Ok(()),
    }
}

/// The highest priority of an export.
const MAX_PRIORITY: u64 = 9999;

fn check_priority(body: &Map<String, Value>) -> Result<(), Error> {
    match body.get("priority") {
        Some(Value::Number(priority)) if priority.as_u64().is_none_or(|n| n > MAX_PRIORITY) => {
            Err(Error::invalid_request(
                format!("{priority} is not the priority of an export"),
                format!("Use a number from 0 to {MAX_PRIORITY}."),
            ))
        }
        _ => Ok(()),
    }
}

/// Checks that the options of a file format belong to the format of the files.
fn check_format_options(body: &Map<String, Value>) -> Result<(), Error> {
    let Some(options) = body.get("fileExportOptions") else {
        return Ok(());
    };
    let format = options["fileFormat"].as_str().unwrap_or_default();
    for (field, belongs_to) in [
        ("geoTiffOptions", "GEO_TIFF"),
        ("tfRecordOptions", "TF_RECORD_IMAGE"),
    ] {
        if options.get(field).is_some() && format != belongs_to {
            return Err(Error::invalid_request(
                format!("files in the format {} have no {field}", Quoted(format)),
                format!("Use the format {belongs_to}, or leave these options out."),
            ));
        }
    }
    Ok(())
}

/// Checks that the name of a table has its project and its dataset.
pub(crate) fn check_bigquery_table(table: &str) -> Result<(), Error> {
    let is_complete =
        table.split('.').count() >= 3 && table.split('.').all(|part| !part.is_empty());
    match is_complete {
        true => Ok(()),
        false => Err(Error::invalid_request(
            format!("{} is not the name of a BigQuery table", Quoted(table)),
            "Use PROJECT.DATASET.TABLE.",
        )),
    }
}

/// Checks the size of a tile or file, in pixels.
pub(crate) fn check_size(what: &str, pixels: i32) -> Result<(), Error> {
    if pixels > 0 {
        return Ok(());
    }
    Err(Error::invalid_request(
        format!("a {what} of {pixels} pixels is empty"),
        "Use a positive number of pixels.",
    ))
}
