//! Tables as files.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{features, payload};
use crate::error_responses;
use crate::response::Response;

/// An empty vector tile: one layer named `features`.
pub(super) const TILE: &[u8] = b"\x1a\x0c\x0a\x08features\x78\x02";

/// Returns the file of a new table.
pub(super) fn file(body: &Map<String, Value>) -> Result<Response, Response> {
    let features = features::features(payload::expression(body)?)?;
    let selectors: Option<Vec<String>> = body
        .get("selectors")
        .and_then(Value::as_array)
        .filter(|names| !names.is_empty())
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned))
        .map(Iterator::collect);
    match payload::text(body, "fileFormat") {
        "" | "CSV" => Ok(Response::new(200, "text/csv", csv(&features, selectors))),
        "GEO_JSON" => {
            let collection = json!({"type": "FeatureCollection", "features": features});
            Ok(Response::new(
                200,
                "application/geo+json",
                collection.to_string(),
            ))
        }
        other => Err(error_responses::invalid_argument(&format!(
            "The emulator does not support the format {other}."
        ))),
    }
}

/// Returns the features as CSV. By default, it has all properties and the geometry.
fn csv(features: &[Value], selectors: Option<Vec<String>>) -> String {
    let columns = selectors.unwrap_or_else(|| {
        let properties = features.iter().filter_map(|f| f["properties"].as_object());
        let names: BTreeSet<&String> = properties.flat_map(Map::keys).collect();
        let names = names.into_iter().map(String::as_str);
        names.chain([".geo"]).map(str::to_owned).collect()
    });
    let mut text = line(columns.iter().map(String::as_str));
    for feature in features {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| match column.as_str() {
                ".geo" => &feature["geometry"],
                name => &feature["properties"][name],
            })
            .map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        text += &line(cells.iter().map(String::as_str));
    }
    text
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = cells.map(|cell| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}
