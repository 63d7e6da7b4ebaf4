//! Routing of requests to the Earth Engine API.

use super::{assets, images, imports, operations};
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

/// Returns the call and the project in its path.
pub(super) fn route(request: &Request) -> Option<(Method, String)> {
    let method = request.method.as_str();
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [version, "projects", project, rest @ ..] = segments.as_slice() else {
        return None;
    };
    match (*version, rest) {
        ("v1", _) => {}
        // The only resource that clients use in this version, for its export limit.
        ("v1alpha", ["config"]) => {}
        _ => return None,
    }
    // The methods of a location are those of its project.
    let rest = match rest {
        ["locations", _, one] if method == "POST" => std::slice::from_ref(one),
        rest => rest,
    };
    let name = |path: &str| format!("projects/{project}/{path}");
    let call = match (method, rest) {
        ("GET", []) => {
            let project = project.strip_suffix(":listAssets")?;
            let parent = format!("projects/{project}/assets");
            return Some((
                Method::Asset(assets::Verb::List, parent),
                project.to_owned(),
            ));
        }
        ("GET", ["config"]) => Method::GetConfig,
        ("PATCH", ["config"]) => Method::UpdateConfig,
        ("GET", ["algorithms"]) => Method::ListAlgorithms,
        ("POST", ["value:compute"]) => Method::ComputeValue,
        ("POST", ["image:computePixels"]) => Method::ComputePixels,
        ("POST", ["table:computeFeatures"]) => Method::ComputeFeatures,
        ("POST", ["imageCollection:computeImages"]) => Method::ComputeImages,
        ("GET", ["operations"]) => Method::ListOperations,
        (_, ["operations", id]) => {
            let (id, verb_name) = split_verb(id);
            let verb = operations::Verb::of(method, verb_name)?;
            Method::Operation(verb, name(&format!("operations/{id}")))
        }
        ("POST", ["assets"]) => {
            let id = request.query("assetId")?;
            Method::Asset(assets::Verb::Create, name(&format!("assets/{id}")))
        }
        ("GET", ["assets"]) => Method::Asset(assets::Verb::Get, name("assets")),
        (_, ["assets", _, ..]) => {
            let path = rest.join("/");
            match split_verb(&path) {
                (path, Some("getPixels")) if method == "POST" => Method::AssetPixels(name(path)),
                (path, word) => Method::Asset(assets::Verb::of(method, word)?, name(path)),
            }
        }
        ("GET", [collection @ ("maps" | "featureViews"), id, "tiles", z, x, y]) => {
            let coordinates = [z, x, y].map(|number| (*number).to_owned());
            Method::Tile(name(&format!("{collection}/{id}")), coordinates)
        }
        ("POST", [one]) => {
            let export = operations::Export::of(one).map(Method::Export);
            let import = || imports::Import::of(one).map(Method::Import);
            let create = || images::Collection::of(one).map(Method::Create);
            export.or_else(import).or_else(create)?
        }
        ("GET", [collection, id]) => {
            images::Collection::of(collection)?;
            let id = match *collection {
                "tables" => id.strip_suffix(":getFeatures")?,
                _ => id.strip_suffix(":getPixels")?,
            };
            Method::File(name(&format!("{collection}/{id}")))
        }
        _ => return None,
    };
    Some((call, (*project).to_owned()))
}

/// Splits a path at its last colon, which precedes a custom verb.
fn split_verb(path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once(':') {
        Some((path, word)) => (path, Some(word)),
        None => (path, None),
    }
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
                | assets::Verb::ListFeatures),
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

    /// Returns the parameters of the query that the method has, in addition to
    /// [`STANDARD_PARAMETERS`].
    pub(super) fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::UpdateConfig => &["updateMask"],
            Self::Create(_) => &["workloadTag"],
            Self::ListOperations => &["pageSize", "pageToken", "filter"],
            Self::Asset(assets::Verb::Create, _) => &["assetId", "overwrite"],
            Self::Asset(assets::Verb::List, _) => &["pageSize", "pageToken", "filter", "view"],
            Self::Asset(assets::Verb::ListFeatures, _) => {
                &["pageSize", "pageToken", "filter", "region"]
            }
            _ => &[],
        }
    }
}

/// The parameters of all methods.
pub(super) const STANDARD_PARAMETERS: [&str; 11] = [
    "$.xgafv",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
];
