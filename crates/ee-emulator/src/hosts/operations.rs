//! Exports and long-running operations.

use serde_json::{Map, Value, json};

use super::compute::check_workload_tag;
use super::{pages, payload};
use crate::content::{Content, StoredAsset, StoredOperation};
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;
use crate::{error_responses, random};

/// The kind of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Export {
    Image,
    Table,
    Video,
    Map,
    Classifier,
}

impl Export {
    /// Parses the path's last segment.
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "image:export" => Self::Image,
            "table:export" => Self::Table,
            "video:export" => Self::Video,
            "map:export" => Self::Map,
            "classifier:export" => Self::Classifier,
            _ => return None,
        })
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Image => "EXPORT_IMAGE",
            Self::Table => "EXPORT_FEATURES",
            Self::Video => "EXPORT_VIDEO",
            Self::Map => "EXPORT_TILES",
            Self::Classifier => "EXPORT_CLASSIFIER",
        }
    }

    /// The allowed destinations.
    fn destinations(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["fileExportOptions", "assetExportOptions"],
            Self::Table => &[
                "fileExportOptions",
                "assetExportOptions",
                "featureViewExportOptions",
                "bigqueryExportOptions",
            ],
            Self::Video => &["fileExportOptions"],
            Self::Map => &["tileExportOptions"],
            Self::Classifier => &["assetExportOptions"],
        }
    }

    /// The fields in addition to [`COMMON`].
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["grid", "maxPixels", "pyramidingPolicy"],
            Self::Table => &["selectors", "maxErrorMeters", "maxVertices"],
            Self::Video => &[
                "videoOptions",
                "maxFrames",
                "maxPixelsPerFrame",
                "maxPixels",
            ],
            Self::Map => &["tileOptions", "mapMakerOptions", "skipEmptyTiles"],
            Self::Classifier => &[],
        }
    }

    fn makes(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Classifier => "CLASSIFIER",
            _ => "IMAGE",
        }
    }
}

/// The fields of all exports.
const COMMON: [&str; 6] = [
    "expression",
    "description",
    "requestId",
    "workloadTag",
    "priority",
    "policyTags",
];

/// Starts an operation, or returns the one that the same `requestId` has started before.
pub(super) fn export(
    shared: &Shared,
    request: &Request,
    export: Export,
    project: &str,
) -> Result<Response, Response> {
    let known: Vec<&str> = [&COMMON[..], export.destinations(), export.fields()].concat();
    let body = payload::object(request, &known)?;
    payload::expression(&body)?;
    check_workload_tag(body.get("workloadTag"))?;
    let request_id = payload::text(&body, "requestId")?
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    let makes = destination(&body, export)?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let content = &mut state.content;
    let prefix = format!("projects/{project}/operations/");
    if let Some(id) = &request_id
        && let Some(known) = content
            .operations
            .iter()
            .find(|o| o.request_id.as_ref() == Some(id) && o.name.starts_with(&prefix))
    {
        return Ok(Response::json(200, &known.describe()));
    }
    let operation = StoredOperation {
        name: format!("{prefix}{}", random::hex(12).to_uppercase()),
        kind: export.kind(),
        description: payload::text(&body, "description")?
            .unwrap_or_default()
            .to_owned(),
        request_id,
        state: "PENDING",
        failure: content.failures.pop_front(),
        makes,
        created: now,
        updated: now,
    };
    let response = Response::json(200, &operation.describe());
    content.operations.push(operation);
    Ok(response)
}

/// Returns the name and type of the asset that the export creates, if any.
fn destination(
    body: &Map<String, Value>,
    export: Export,
) -> Result<Option<(String, &'static str)>, Response> {
    let given: Vec<&str> = export
        .destinations()
        .iter()
        .copied()
        .filter(|field| body.contains_key(*field))
        .collect();
    let [field] = given.as_slice() else {
        return Err(error_responses::invalid_argument(
            "Exactly one destination is required.",
        ));
    };
    let options = &body[*field];
    if *field == "assetExportOptions" {
        let name = options["earthEngineDestination"]["name"]
            .as_str()
            .unwrap_or_default();
        if !name.starts_with("projects/") || !name.contains("/assets/") {
            return Err(error_responses::invalid_argument(
                "Invalid destination asset name.",
            ));
        }
        return Ok(Some((name.to_owned(), export.makes())));
    }
    if matches!(*field, "fileExportOptions" | "tileExportOptions") {
        let named =
            |at: &str, part: &str| options[at][part].as_str().is_some_and(|s| !s.is_empty());
        let has_destination = named("cloudStorageDestination", "bucket")
            || named("driveDestination", "filenamePrefix");
        if !has_destination || !options["fileFormat"].is_string() {
            return Err(error_responses::invalid_argument(
                "File exports require a file format and a destination.",
            ));
        }
    }
    Ok(None)
}

/// An action on an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Wait,
    Cancel,
    Delete,
}

impl Verb {
    /// Maps an HTTP method and a custom verb (after the colon).
    pub(super) fn of(method: &str, word: Option<&str>) -> Option<Self> {
        Some(match (method, word) {
            ("GET", None) => Self::Get,
            ("DELETE", None) => Self::Delete,
            ("POST", Some("cancel")) => Self::Cancel,
            ("POST", Some("wait")) => Self::Wait,
            _ => return None,
        })
    }
}

pub(super) fn handle(
    shared: &Shared,
    request: &Request,
    verb: Verb,
    name: &str,
) -> Result<Response, Response> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let content = &mut state.content;
    let found = content.operations.iter().position(|o| o.name == name);
    let at = found
        .ok_or_else(|| error_responses::not_found(&format!("Operation '{name}' not found.")))?;
    match verb {
        Verb::Get | Verb::Wait => {
            if verb == Verb::Wait {
                payload::object(request, &["timeout"])?;
            }
            let hanging = content.hanging;
            let operation = &mut content.operations[at];
            let was_done = operation.is_done();
            operation.advance(hanging, now);
            let response = Response::json(200, &operation.describe());
            if !was_done {
                store_result(content, at);
            }
            Ok(response)
        }
        Verb::Cancel => {
            payload::object(request, &[])?;
            let operation = &mut content.operations[at];
            if !operation.is_done() {
                operation.state = "CANCELLING";
                operation.updated = now;
            }
            Ok(Response::json(200, &json!({})))
        }
        Verb::Delete => {
            if !content.operations[at].is_done() {
                return Err(error_responses::failed_precondition(&format!(
                    "Operation '{name}' is not done."
                )));
            }
            content.operations.remove(at);
            Ok(Response::json(200, &json!({})))
        }
    }
}

fn store_result(content: &mut Content, at: usize) {
    let operation = &content.operations[at];
    if let ("SUCCEEDED", Some((name, kind))) = (operation.state, &operation.makes) {
        let asset = StoredAsset::new(kind, operation.updated);
        content.assets.insert(name.clone(), asset);
    }
}

pub(super) fn list(
    shared: &Shared,
    request: &Request,
    project: &str,
) -> Result<Response, Response> {
    let prefix = format!("projects/{project}/operations/");
    let state = shared.state();
    let operations = state.content.operations.iter().rev();
    let operations = operations.filter(|o| o.name.starts_with(&prefix));
    pages::page(
        "operations",
        operations.map(StoredOperation::describe).collect(),
        &prefix,
        pages::size(request.query("pageSize"))?,
        request.query("pageToken").as_deref(),
    )
}
