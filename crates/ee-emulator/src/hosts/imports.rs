//! Imports of files in Cloud Storage.

use serde_json::{Map, Value, json};

use super::{assets, operations, payload};
use crate::content::StoredAsset;
use crate::error_responses;
use crate::response::Response;
use crate::state::Shared;

/// The kind of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Import {
    Image,
    Table,
    ExternalImage,
}

impl Import {
    /// Maps the resource of the method `import`.
    pub(super) fn of(resource: &str) -> Option<Self> {
        Some(match resource {
            "image" => Self::Image,
            "table" => Self::Table,
            _ => return None,
        })
    }

    /// The field with the manifest.
    fn manifest(self) -> &'static str {
        match self {
            Self::Image | Self::ExternalImage => "imageManifest",
            Self::Table => "tableManifest",
        }
    }

    fn makes(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            _ => "IMAGE",
        }
    }
}

/// Starts an import, or creates an external image.
pub(super) fn import(
    shared: &Shared,
    body: &Map<String, Value>,
    import: Import,
    project: &str,
) -> Result<Response, Response> {
    let field = import.manifest();
    let manifest = body.get(field).and_then(Value::as_object);
    let manifest = manifest
        .ok_or_else(|| error_responses::invalid_argument(&format!("The {field} is missing.")))?;
    let name = payload::text(manifest, "name").to_owned();
    check_sources(import, manifest)?;
    let overwrite = body.get("overwrite") == Some(&json!(true));
    assets::check_destination(&shared.state().content, &name, overwrite)?;
    let kind = match import {
        Import::ExternalImage => {
            let asset = StoredAsset::new(import.makes(), shared.clock.now());
            shared.state().content.assets.insert(name, asset);
            return Ok(Response::json(200, &json!({})));
        }
        Import::Image => "INGEST_IMAGE",
        Import::Table => "INGEST_TABLE",
    };
    operations::start(shared, project, body, kind, Some((name, import.makes())))
}

/// Checks that the manifest has files, all of them in Cloud Storage.
fn check_sources(import: Import, manifest: &Map<String, Value>) -> Result<(), Response> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let sources: Vec<Value> = match import {
        Import::Table => list(manifest.get("sources")),
        _ => list(manifest.get("tilesets"))
            .iter()
            .flat_map(|tileset| list(tileset.get("sources")))
            .collect(),
    };
    let prefix = payload::text(manifest, "uriPrefix");
    let in_cloud_storage = |source: &Value| {
        let uris = list(source.get("uris"));
        let is_uri = |uri: &Value| {
            let uri = uri.as_str().map(|uri| format!("{prefix}{uri}"));
            uri.is_some_and(|uri| uri.starts_with("gs://"))
        };
        !uris.is_empty() && uris.iter().all(is_uri)
    };
    if sources.is_empty() || !sources.iter().all(in_cloud_storage) {
        return Err(error_responses::invalid_argument(
            "Every source requires URIs of files in Cloud Storage (gs://).",
        ));
    }
    Ok(())
}
