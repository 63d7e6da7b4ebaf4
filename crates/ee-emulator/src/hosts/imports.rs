//! Imports of files in Cloud Storage.

use serde_json::{Map, Value, json};

use super::{assets, operations, payload};
use crate::content::StoredAsset;
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;

/// The kind of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Import {
    Image,
    Table,
    ExternalImage,
}

const COMMON: [&str; 7] = [
    "name",
    "sources",
    "properties",
    "uriPrefix",
    "startTime",
    "endTime",
    "memo",
];

impl Import {
    /// Parses the path's last segment.
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "image:import" => Self::Image,
            "table:import" => Self::Table,
            "image:importExternal" => Self::ExternalImage,
            _ => return None,
        })
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Image => &[
                "description",
                "requestId",
                "overwrite",
                "imageManifest",
                "mode",
            ],
            Self::Table => &["description", "requestId", "overwrite", "tableManifest"],
            Self::ExternalImage => &["overwrite", "imageManifest", "useLatestObjectVersion"],
        }
    }

    /// The manifest's name, and its fields in addition to [`COMMON`].
    fn manifest(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Image | Self::ExternalImage => (
                "imageManifest",
                &[
                    "bands",
                    "footprint",
                    "maskBands",
                    "minTileAreaRatio",
                    "missingData",
                    "pyramidingPolicy",
                    "skipMetadataRead",
                    "tilesets",
                ],
            ),
            Self::Table => (
                "tableManifest",
                &[
                    "columnDataTypeOverrides",
                    "csvColumnDataTypeOverrides",
                    "policy",
                ],
            ),
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
    request: &Request,
    import: Import,
    project: &str,
) -> Result<Response, Response> {
    let body = payload::object(request, import.fields())?;
    let (field, fields) = import.manifest();
    let known: Vec<&str> = COMMON
        .into_iter()
        .filter(|name| *name != "sources" || import == Import::Table)
        .chain(fields.iter().copied())
        .collect();
    let manifest = payload::nested(&body, field, &known)?
        .ok_or_else(|| error_responses::invalid_argument(&format!("The {field} is missing.")))?;
    let name = payload::text(manifest, "name")?
        .unwrap_or_default()
        .to_owned();
    check_sources(import, manifest)?;
    let overwrite = body.get("overwrite") == Some(&json!(true));
    assets::check_destination(&shared.state().content, &name, overwrite)?;
    let kind = match import {
        Import::ExternalImage => {
            let asset = StoredAsset::new(import.makes(), shared.clock.now());
            shared.state().content.assets.insert(name.clone(), asset);
            return Ok(Response::json(200, &json!({"name": name})));
        }
        Import::Image => "INGEST_IMAGE",
        Import::Table => "INGEST_TABLE",
    };
    operations::start(shared, project, &body, kind, Some((name, import.makes())))
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
    let prefix = payload::text(manifest, "uriPrefix")?.unwrap_or_default();
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
