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
    /// Maps the resource of the method `export`.
    pub(super) fn of(resource: &str) -> Option<Self> {
        Some(match resource {
            "image" => Self::Image,
            "table" => Self::Table,
            "video" => Self::Video,
            "map" => Self::Map,
            "classifier" => Self::Classifier,
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

    fn makes(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Classifier => "CLASSIFIER",
            _ => "IMAGE",
        }
    }
}

/// Starts an export.
pub(super) fn export(
    shared: &Shared,
    body: &Map<String, Value>,
    export: Export,
    project: &str,
) -> Result<Response, Response> {
    payload::expression(body)?;
    check_workload_tag(body.get("workloadTag"))?;
    let makes = destination(body, export)?;
    start(shared, project, body, export.kind(), makes)
}

/// Starts an operation, or returns the one that the same `requestId` has started before. `makes` is
/// the name and type of the asset that it creates.
pub(super) fn start(
    shared: &Shared,
    project: &str,
    body: &Map<String, Value>,
    kind: &'static str,
    makes: Option<(String, &'static str)>,
) -> Result<Response, Response> {
    let request_id = payload::request_id(body)?;
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
        kind,
        description: payload::text(body, "description").to_owned(),
        request_id,
        priority: priority(body),
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

fn priority(body: &Map<String, Value>) -> i64 {
    let priority = body.get("priority");
    let number = priority.and_then(|priority| match priority {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    });
    number.unwrap_or(100)
}

/// Returns the name and type of the asset that the export creates, if any.
fn destination(
    body: &Map<String, Value>,
    export: Export,
) -> Result<Option<(String, &'static str)>, Response> {
    let options = export.destinations().iter();
    let found = options.filter_map(|field| body.get(*field)?.as_object());
    let found = found.flat_map(|options| options.iter());
    let Some((field, destination)) = found
        .filter_map(|(field, to)| Some((field.as_str(), to.as_object()?)))
        .find(|(field, _)| field.ends_with("Destination"))
    else {
        return Err(error_responses::invalid_argument(
            "Exactly one destination is required.",
        ));
    };
    let invalid = |what: &str| Err(error_responses::invalid_argument(what));
    match field {
        "earthEngineDestination" => {
            let name = payload::text(destination, "name");
            if !name.starts_with("projects/") || !name.contains("/assets/") {
                return invalid("Invalid destination asset name.");
            }
            Ok(Some((name.to_owned(), export.makes())))
        }
        "cloudStorageDestination" if payload::text(destination, "bucket").is_empty() => {
            invalid("The destination has no bucket.")
        }
        "cloudStorageDestination" | "driveDestination" => {
            let files = ["fileExportOptions", "tileExportOptions"];
            let mut files = files.iter().filter_map(|field| body.get(*field));
            match files.any(|options| options.get("fileFormat").is_some()) {
                true => Ok(None),
                false => invalid("File exports require a file format."),
            }
        }
        _ => Ok(None),
    }
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
    /// Maps the last part of a method's ID.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "get" => Self::Get,
            "delete" => Self::Delete,
            "cancel" => Self::Cancel,
            "wait" => Self::Wait,
            _ => return None,
        })
    }
}

pub(super) fn handle(shared: &Shared, verb: Verb, name: &str) -> Result<Response, Response> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let content = &mut state.content;
    let found = content.operations.iter().position(|o| o.name == name);
    let at = found
        .ok_or_else(|| error_responses::not_found(&format!("Operation '{name}' not found.")))?;
    match verb {
        Verb::Get | Verb::Wait => {
            let hanging = content.hanging;
            let operation = &mut content.operations[at];
            let was_done = operation.is_done();
            operation.advance(hanging, now);
            if verb == Verb::Wait {
                // The time that the client waits for is not spent.
                operation.advance(hanging, now);
            }
            let response = Response::json(200, &operation.describe());
            if !was_done {
                store_result(content, at);
            }
            Ok(response)
        }
        Verb::Cancel => {
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
    let operations = operations.map(StoredOperation::describe).collect();
    pages::requested(request, "operations", operations, &prefix)
}
