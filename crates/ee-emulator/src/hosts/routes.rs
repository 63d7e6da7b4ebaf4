//! Routing of requests to the Earth Engine API.

use super::{assets, images, imports, operations};
use crate::description::Matched;
use crate::request::Request;

/// The supported calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    GetConfig,
    UpdateConfig,
    ListAlgorithms,
    ComputeValue,
    ComputePixels,
    ComputeFeatures,
    ComputeImages,
    Import(imports::Import),
    Export(operations::Export),
    Create(images::Collection),
    /// The map's name, and zoom, column and row.
    Tile(String, [String; 3]),
    /// The name of a thumbnail or table.
    File(String),
    /// The asset's name.
    Asset(assets::Verb, String),
    /// The asset's name.
    AssetPixels(String),
    ListOperations,
    /// The operation's name.
    Operation(operations::Verb, String),
}

/// Returns the call of a method in the description, about this resource.
pub(super) fn route(request: &Request, matched: Matched<'_>) -> Option<Method> {
    let Matched { id, name, rest, .. } = matched;
    // The methods of a location are those of its project.
    let id = id.strip_prefix("v1alpha.").unwrap_or(id);
    let id = id.strip_prefix("projects.")?;
    let id = id.strip_prefix("locations.").unwrap_or(id);
    Some(match id {
        "getConfig" => Method::GetConfig,
        "updateConfig" => Method::UpdateConfig,
        "algorithms.list" => Method::ListAlgorithms,
        "value.compute" => Method::ComputeValue,
        "image.computePixels" => Method::ComputePixels,
        "table.computeFeatures" => Method::ComputeFeatures,
        "imageCollection.computeImages" => Method::ComputeImages,
        "operations.list" => Method::ListOperations,
        "listAssets" => Method::Asset(assets::Verb::List, format!("{name}/assets")),
        "assets.create" => {
            let id = request.query("assetId").unwrap_or_default();
            let project = project(&name);
            let name = format!("projects/{project}/assets/{id}");
            Method::Asset(assets::Verb::Create, name)
        }
        "assets.getPixels" => Method::AssetPixels(name),
        "maps.tiles.get" | "featureViews.tiles.get" => Method::Tile(name, rest.try_into().ok()?),
        "tables.getFeatures"
        | "thumbnails.getPixels"
        | "filmstripThumbnails.getPixels"
        | "videoThumbnails.getPixels" => Method::File(name),
        _ => match id.split_once('.')? {
            ("assets", verb) => Method::Asset(assets::Verb::of(verb)?, name),
            ("operations", verb) => Method::Operation(operations::Verb::of(verb)?, name),
            (kind, "export") => Method::Export(operations::Export::of(kind)?),
            ("image", "importExternal") => Method::Import(imports::Import::ExternalImage),
            (kind, "import") => Method::Import(imports::Import::of(kind)?),
            (collection, "create") => Method::Create(images::Collection::of(collection)?),
            _ => return None,
        },
    })
}

/// Returns the project of a resource.
pub(super) fn project(name: &str) -> &str {
    name.split('/').nth(1).unwrap_or_default()
}

impl Method {
    /// Returns the full name of the gRPC method.
    pub(super) fn full_name(&self) -> String {
        let name = match self {
            Self::GetConfig => "GetConfig".to_owned(),
            Self::UpdateConfig => "UpdateConfig".to_owned(),
            Self::ListAlgorithms => "ListAlgorithms".to_owned(),
            Self::ComputeValue => "ComputeValue".to_owned(),
            Self::ComputePixels => "ComputePixels".to_owned(),
            Self::ComputeFeatures => "ComputeFeatures".to_owned(),
            Self::AssetPixels(_) => "GetPixels".to_owned(),
            Self::Export(what) => format!("Export{what:?}"),
            Self::ComputeImages => "ComputeImages".to_owned(),
            Self::Import(what) => format!("Import{what:?}"),
            Self::Create(images::Collection::Maps) => "CreateMap".to_owned(),
            Self::Create(images::Collection::Tables) => "CreateTable".to_owned(),
            Self::Create(images::Collection::FeatureViews) => "CreateFeatureView".to_owned(),
            Self::Create(_) => "CreateThumbnail".to_owned(),
            Self::Tile(..) => "GetTile".to_owned(),
            Self::File(name) if name.contains("/tables/") => "GetTableFeatures".to_owned(),
            Self::File(_) => "GetThumbnailPixels".to_owned(),
            Self::Asset(assets::Verb::List, _) => "ListAssets".to_owned(),
            Self::Asset(
                verb @ (assets::Verb::GetIamPolicy
                | assets::Verb::SetIamPolicy
                | assets::Verb::TestIamPermissions
                | assets::Verb::ListFeatures
                | assets::Verb::ListImages),
                _,
            ) => format!("{verb:?}"),
            Self::Asset(verb, _) => format!("{verb:?}Asset"),
            Self::ListOperations => {
                return "google.longrunning.Operations.ListOperations".to_owned();
            }
            Self::Operation(verb, _) => {
                return format!("google.longrunning.Operations.{verb:?}Operation");
            }
        };
        format!("google.earthengine.v1.EarthEngine.{name}")
    }

    /// Returns whether the read-only scope is sufficient.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            Self::GetConfig
            | Self::ListAlgorithms
            | Self::ListOperations
            | Self::AssetPixels(_)
            | Self::Tile(..)
            | Self::File(_) => true,
            Self::Asset(verb, _) => verb.is_read_only(),
            Self::Operation(verb, _) => {
                matches!(verb, operations::Verb::Get | operations::Verb::Wait)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::description::Description;

    #[test]
    fn every_described_method_is_routed() {
        let description = Description::get();
        for (id, method) in description.methods() {
            let http = method.http.as_str();
            let path = method.path.replace("**", "a/b").replace('*', "a");
            // `v1/{name=projects/a}` and `{zoom}` without what is not part of the path.
            let path = path.split(['{', '}']).map(|part| {
                let part = part.rsplit_once('=').map_or(part, |(_, pattern)| pattern);
                if ["zoom", "x", "y"].contains(&part) {
                    "1"
                } else {
                    part
                }
            });
            let request = Request {
                method: http.parse().unwrap(),
                host: String::new(),
                path: path.collect(),
                query: String::new(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
            let segments = request.segments();
            let matched = description.find(http, &segments);
            let matched = matched.unwrap_or_else(|| panic!("{id}: {}", request.path));
            assert_eq!(matched.id, id);
            assert!(route(&request, matched).is_some(), "{id}");
        }
    }
}
