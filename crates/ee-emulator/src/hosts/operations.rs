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
            Self::Image => &["grid", "maxPixels"],
            Self::Table => &["selectors", "maxErrorMeters", "maxVertices", "policy"],
            Self::Video => &["videoOptions"],
            Self::Map => &["tileOptions"],
            Self::Classifier => &[],
        }
    }

    /// The fields of a destination's options.
    fn options(self, destination: &str) -> &'static [&'static str] {
        match (destination, self) {
            ("assetExportOptions", Self::Image) => &[
                "earthEngineDestination",
                "pyramidingPolicy",
                "pyramidingPolicyOverrides",
                "tileSize",
            ],
            ("assetExportOptions", _) => &["earthEngineDestination"],
            ("featureViewExportOptions", _) => {
                &["featureViewDestination", "ingestionTimeParameters"]
            }
            ("bigqueryExportOptions", _) => &["bigqueryDestination"],
            (_, Self::Image | Self::Map) => &[
                "cloudStorageDestination",
                "driveDestination",
                "fileFormat",
                "geoTiffOptions",
                "tfRecordOptions",
            ],
            _ => &["cloudStorageDestination", "driveDestination", "fileFormat"],
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
    "maxWorkers",
];

/// Starts an export.
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
    let makes = destination(&body, export)?;
    start(shared, project, &body, export.kind(), makes)
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
        description: payload::text(body, "description")?
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
        .filter(|field| body.get(*field).is_some_and(|options| !options.is_null()))
        .collect();
    let [field] = given.as_slice() else {
        return Err(error_responses::invalid_argument(
            "Exactly one destination is required.",
        ));
    };
    let Some(options) = payload::nested(body, field, export.options(field))? else {
        return Err(error_responses::invalid_argument(
            "Exactly one destination is required.",
        ));
    };
    let named = |at: &str, part: &str, known: &[&str]| {
        let fields = payload::nested(options, at, known)?;
        let name = fields
            .map(|fields| payload::text(fields, part))
            .transpose()?;
        Ok::<_, Response>(name.flatten().unwrap_or_default())
    };
    match *field {
        "assetExportOptions" => {
            let name = named("earthEngineDestination", "name", &["name", "overwrite"])?;
            if !name.starts_with("projects/") || !name.contains("/assets/") {
                return Err(error_responses::invalid_argument(
                    "Invalid destination asset name.",
                ));
            }
            Ok(Some((name.to_owned(), export.makes())))
        }
        "fileExportOptions" | "tileExportOptions" => {
            let bucket = ["bucket", "filenamePrefix", "bucketCorsUris", "permissions"];
            let bucket = named("cloudStorageDestination", "bucket", &bucket)?;
            let drive = ["folder", "filenamePrefix"];
            let drive = named("driveDestination", "filenamePrefix", &drive)?;
            if bucket.is_empty() == drive.is_empty() || !options.contains_key("fileFormat") {
                return Err(error_responses::invalid_argument(
                    "File exports require a file format and one destination.",
                ));
            }
            Ok(None)
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
