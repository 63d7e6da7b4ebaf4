//! Assets and their IAM policies.

use serde_json::{Map, Value, json};

use super::{pages, payload};
use crate::content::{Content, PUBLIC, StoredAsset, rfc3339};
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;

/// Asset types that contain other assets.
const CONTAINERS: [&str; 2] = ["FOLDER", "IMAGE_COLLECTION"];

/// An operation on an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    ListFeatures,
    ListImages,
    Create,
    Update,
    Delete,
    Copy,
    Move,
    GetIamPolicy,
    SetIamPolicy,
    TestIamPermissions,
}

impl Verb {
    /// Maps the last part of a method's ID.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "get" => Self::Get,
            "patch" => Self::Update,
            "delete" => Self::Delete,
            "listAssets" => Self::List,
            "listFeatures" => Self::ListFeatures,
            "listImages" => Self::ListImages,
            "copy" => Self::Copy,
            "move" => Self::Move,
            "getIamPolicy" => Self::GetIamPolicy,
            "setIamPolicy" => Self::SetIamPolicy,
            "testIamPermissions" => Self::TestIamPermissions,
            _ => return None,
        })
    }

    pub(super) fn is_read_only(self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::List
                | Self::ListFeatures
                | Self::ListImages
                | Self::GetIamPolicy
                | Self::TestIamPermissions
        )
    }
}

/// Handles a call about the asset with this name; for `List`, the parent's name.
pub(super) fn handle(
    shared: &Shared,
    request: &Request,
    body: &Map<String, Value>,
    verb: Verb,
    name: &str,
) -> Result<Response, Response> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let content = &mut state.content;
    if !verb.is_read_only() && name.starts_with(PUBLIC) {
        return Err(error_responses::asset_denied(name));
    }
    match verb {
        Verb::Get if name.split('/').count() == 3 => Ok(root(content, name)),
        Verb::Get => Ok(described(name, find(content, name)?)),
        Verb::List => list(content, request, name),
        Verb::ListFeatures => list_features(request, name, find(content, name)?),
        Verb::ListImages => list_images(content, request, name),
        Verb::Create => create(content, body, name, StoredAsset::new("", now)),
        Verb::Update => update(content, body, name, &rfc3339(now)),
        Verb::Delete => {
            find(content, name)?;
            if children(content, name).next().is_some() {
                return Err(error_responses::failed_precondition(&format!(
                    "Asset '{name}' is not empty."
                )));
            }
            content.assets.remove(name);
            Ok(Response::json(200, &json!({})))
        }
        Verb::Copy => copy(content, body, name),
        Verb::Move => rename(content, body, name),
        Verb::GetIamPolicy => find(content, name).map(policy),
        Verb::SetIamPolicy => set_policy(content, body, name),
        Verb::TestIamPermissions => test_permissions(content, body, name),
    }
}

pub(super) fn find<'a>(content: &'a Content, name: &str) -> Result<&'a StoredAsset, Response> {
    content.assets.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Response {
    error_responses::not_found(&format!(
        "Asset '{name}' not found (does not exist or caller does not have access)."
    ))
}

/// Describes the root of a project's assets.
fn root(content: &Content, name: &str) -> Response {
    let count = content
        .assets
        .keys()
        .filter(|asset| asset.starts_with(name))
        .count();
    let quota = json!({
        "sizeBytes": "0",
        "maxSizeBytes": "268435456000",
        "assetCount": count.to_string(),
        "maxAssets": "10000",
    });
    Response::json(
        200,
        &json!({"type": "FOLDER", "name": name, "quota": quota}),
    )
}

fn described(name: &str, asset: &StoredAsset) -> Response {
    Response::json(200, &asset.describe(name))
}

/// Returns the assets directly in a container.
fn children<'a>(
    content: &'a Content,
    parent: &'a str,
) -> impl Iterator<Item = (&'a String, &'a StoredAsset)> {
    content.assets.iter().filter(move |(name, _)| {
        name.strip_prefix(parent)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| !rest.contains('/'))
    })
}

fn list(content: &Content, request: &Request, parent: &str) -> Result<Response, Response> {
    if !parent.ends_with("/assets") && !CONTAINERS.contains(&find(content, parent)?.kind()) {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{parent}' is not a folder or a collection."
        )));
    }
    without_filters(request, &["filter"])?;
    let found = children(content, parent).map(|(name, asset)| asset.describe(name));
    pages::requested(request, "assets", found.collect(), parent)
}

/// Lists the features of a table or feature view.
fn list_features(request: &Request, name: &str, table: &StoredAsset) -> Result<Response, Response> {
    if !matches!(table.kind(), "TABLE" | "FEATURE_VIEW") {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{name}' is not a table."
        )));
    }
    without_filters(request, &["filter", "region"])?;
    pages::requested(request, "features", table.features.clone(), name)
}

/// Lists the images of a collection or folder.
fn list_images(content: &Content, request: &Request, parent: &str) -> Result<Response, Response> {
    if !CONTAINERS.contains(&find(content, parent)?.kind()) {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{parent}' is not a folder or a collection."
        )));
    }
    without_filters(request, &["filter", "region", "startTime", "endTime"])?;
    let images = children(content, parent)
        .filter(|(_, asset)| asset.kind() == "IMAGE")
        .map(|(name, asset)| asset.describe(name));
    pages::requested(request, "images", images.collect(), parent)
}

fn without_filters(request: &Request, parameters: &[&str]) -> Result<(), Response> {
    let set = |name: &&str| request.query(name).is_some_and(|value| !value.is_empty());
    match parameters.iter().copied().find(set) {
        None => Ok(()),
        Some(name) => Err(error_responses::invalid_argument(&format!(
            "The emulator does not support the parameter '{name}'."
        ))),
    }
}

/// Checks that an asset with this name can be created or, with `overwrite`, replaced.
pub(super) fn check_destination(
    content: &Content,
    name: &str,
    overwrite: bool,
) -> Result<(), Response> {
    if name.starts_with(PUBLIC) {
        return Err(error_responses::asset_denied(name));
    }
    if !name.starts_with("projects/") || !name.contains("/assets/") {
        return Err(error_responses::invalid_argument(&format!(
            "Invalid asset name '{name}'."
        )));
    }
    match overwrite && content.assets.contains_key(name) {
        true => Ok(()),
        false => check_new(content, name),
    }
}

/// Checks that an asset can be created: valid name, existing parent, and no asset with this name.
fn check_new(content: &Content, name: &str) -> Result<(), Response> {
    let path = name.split_once("/assets/").map_or("", |(_, path)| path);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/".contains(&b);
    if path.is_empty() || !path.bytes().all(plain) || path.split('/').any(str::is_empty) {
        return Err(error_responses::invalid_argument(&format!(
            "Invalid asset ID '{path}': it may only contain letters, numbers, hyphens, \
             underscores and slashes."
        )));
    }
    if content.assets.contains_key(name) {
        return Err(error_responses::invalid_argument(&format!(
            "Cannot overwrite asset '{name}'."
        )));
    }
    // Legacy home directories, `users/NAME`, have no parent.
    let is_home = name.starts_with("projects/earthengine-legacy/") && path.split('/').count() <= 2;
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
    if is_home || parent.ends_with("/assets") {
        return Ok(());
    }
    match content.assets.get(parent) {
        Some(asset) if CONTAINERS.contains(&asset.kind()) => Ok(()),
        _ => Err(error_responses::not_found(&format!(
            "Cannot create asset '{name}': its parent does not exist or is not a folder."
        ))),
    }
}

fn create(
    content: &mut Content,
    body: &Map<String, Value>,
    name: &str,
    mut asset: StoredAsset,
) -> Result<Response, Response> {
    let kind = payload::text(body, "type");
    if !CONTAINERS.contains(&kind) {
        return Err(error_responses::invalid_argument(&format!(
            "Invalid asset type '{kind}': only FOLDER and IMAGE_COLLECTION can be created empty."
        )));
    }
    check_new(content, name)?;
    asset.fields.extend(body.clone());
    let response = described(name, &asset);
    content.assets.insert(name.to_owned(), asset);
    Ok(response)
}

fn destination(body: &Map<String, Value>) -> Result<String, Response> {
    let name = payload::text(body, "destinationName");
    let segments: Vec<&str> = name.splitn(4, '/').collect();
    match segments[..] {
        ["projects", _, "assets", _] if !name.starts_with(PUBLIC) => Ok(name.to_owned()),
        _ => Err(error_responses::invalid_argument(&format!(
            "Invalid asset name '{name}'."
        ))),
    }
}

fn copy(
    content: &mut Content,
    body: &Map<String, Value>,
    name: &str,
) -> Result<Response, Response> {
    let asset = find(content, name)?.clone();
    if CONTAINERS.contains(&asset.kind()) {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{name}' cannot be copied: it contains other assets."
        )));
    }
    let to = destination(body)?;
    let overwrite = body.get("overwrite").and_then(Value::as_bool) == Some(true);
    check_destination(content, &to, overwrite)?;
    let response = described(&to, &asset);
    content.assets.insert(to, asset);
    Ok(response)
}

fn rename(
    content: &mut Content,
    body: &Map<String, Value>,
    name: &str,
) -> Result<Response, Response> {
    let asset = find(content, name)?.clone();
    let to = destination(body)?;
    let permit = format!("{name}/");
    if to.starts_with(&permit) {
        return Err(error_responses::invalid_argument(&format!(
            "Asset '{name}' cannot be moved into itself."
        )));
    }
    check_new(content, &to)?;
    let response = described(&to, &asset);
    let moved: Vec<String> = content
        .assets
        .keys()
        .filter(|other| other.starts_with(&permit))
        .cloned()
        .collect();
    for old in moved {
        if let (Some(asset), Some(rest)) = (content.assets.remove(&old), old.strip_prefix(name)) {
            content.assets.insert(format!("{to}{rest}"), asset);
        }
    }
    content.assets.remove(name);
    content.assets.insert(to, asset);
    Ok(response)
}

fn update(
    content: &mut Content,
    body: &Map<String, Value>,
    name: &str,
    now: &str,
) -> Result<Response, Response> {
    let none = Map::new();
    let new = body.get("asset").and_then(Value::as_object);
    let new = new.unwrap_or(&none);
    let paths: Vec<String> = match body.get("updateMask") {
        Some(Value::String(mask)) => split_mask(mask),
        // The Python client sends an object.
        Some(Value::Object(mask)) => mask
            .get("paths")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(unquoted)
            .collect(),
        _ => Vec::new(),
    };
    let asset = content.assets.get_mut(name).ok_or_else(|| missing(name))?;
    // Updated in a copy, so that an invalid path changes nothing.
    let mut fields = asset.fields.clone();
    for path in paths {
        set(&mut fields, new, &path)?;
    }
    fields.insert("updateTime".into(), json!(now));
    asset.fields = fields;
    Ok(described(name, asset))
}

/// Copies the field at `path`, or removes it if the new asset does not have it.
fn set(
    fields: &mut Map<String, Value>,
    new: &Map<String, Value>,
    path: &str,
) -> Result<(), Response> {
    let (from, to, key) = match path {
        "bands" => return rename_bands(fields, new),
        "start_time" | "startTime" => (Some(new), fields, "startTime".to_owned()),
        "end_time" | "endTime" => (Some(new), fields, "endTime".to_owned()),
        "properties" => (Some(new), fields, path.to_owned()),
        _ => {
            let Some(property) = path.strip_prefix("properties.") else {
                return Err(error_responses::invalid_argument(&format!(
                    "Invalid update mask: '{path}'."
                )));
            };
            let properties = fields.entry("properties").or_insert_with(|| json!({}));
            let Some(to) = properties.as_object_mut() else {
                return Err(error_responses::internal());
            };
            let from = new.get("properties").and_then(Value::as_object);
            (from, to, property.to_owned())
        }
    };
    // In JSON, fields can have the names of the API's definition, too.
    let other = match key.as_str() {
        "startTime" => "start_time",
        "endTime" => "end_time",
        other => other,
    };
    match from.and_then(|from| from.get(&key).or_else(|| from.get(other))) {
        Some(value) => to.insert(key, value.clone()),
        None => to.remove(&key),
    };
    Ok(())
}

/// Renames the bands of an image.
fn rename_bands(fields: &mut Map<String, Value>, new: &Map<String, Value>) -> Result<(), Response> {
    let bands = |fields: &Map<String, Value>| {
        let bands = fields.get("bands").and_then(Value::as_array);
        bands.cloned().unwrap_or_default()
    };
    let (mut old, new) = (bands(fields), bands(new));
    if old.len() != new.len() {
        return Err(error_responses::invalid_argument(
            "The number of band names is not the number of bands.",
        ));
    }
    for (band, renamed) in old.iter_mut().zip(new) {
        band["id"] = renamed["id"].clone();
    }
    fields.insert("bands".into(), Value::Array(old));
    Ok(())
}

/// Splits a mask at commas outside quotes.
fn split_mask(mask: &str) -> Vec<String> {
    split(mask, Some(','))
}

/// Returns a path without the quotation marks around a property's name.
fn unquoted(path: &str) -> String {
    split(path, None).concat()
}

/// Splits at a separator outside quotation marks, which are removed.
fn split(mask: &str, separator: Option<char>) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut quoted = false;
    let mut escaped = false;
    for c in mask.chars() {
        if Some(c) == separator && !quoted {
            paths.push(String::new());
            continue;
        }
        match c {
            '\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            c => {
                if let Some(path) = paths.last_mut() {
                    path.push(c);
                }
            }
        }
        escaped = false;
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn policy(asset: &StoredAsset) -> Response {
    let mut policy = asset.policy.clone();
    policy.insert("bindings".into(), asset.bindings.clone());
    policy.insert("etag".into(), json!(format!("etag-{}", asset.etag)));
    Response::json(200, &policy.into())
}

fn set_policy(
    content: &mut Content,
    body: &Map<String, Value>,
    name: &str,
) -> Result<Response, Response> {
    let asset = content.assets.get_mut(name).ok_or_else(|| missing(name))?;
    let policy_given = body.get("policy").and_then(Value::as_object);
    let given =
        policy_given.ok_or_else(|| error_responses::invalid_argument("The policy is missing."))?;
    let etag = Some(payload::text(given, "etag")).filter(|etag| !etag.is_empty());
    if etag.is_some_and(|etag| etag != format!("etag-{}", asset.etag)) {
        return Err(error_responses::aborted(
            "There were concurrent policy changes. Please retry the whole read-modify-write.",
        ));
    }
    let bindings = given.get("bindings").cloned().unwrap_or_else(|| json!([]));
    let well_formed = bindings.as_array().is_some_and(|bindings| {
        bindings.iter().all(|binding| {
            let role = binding["role"].as_str().unwrap_or_default();
            let members = binding["members"].as_array();
            role.starts_with("roles/")
                && members.is_some_and(|members| {
                    members.iter().all(|member| {
                        let member = member.as_str().unwrap_or_default();
                        member.contains(':') || member.starts_with("all")
                    })
                })
        })
    });
    if !well_formed {
        return Err(error_responses::invalid_argument(
            "The policy has an invalid binding.",
        ));
    }
    asset.bindings = bindings;
    asset.policy = given.clone();
    asset.etag += 1;
    Ok(policy(asset))
}

fn test_permissions(
    content: &Content,
    body: &Map<String, Value>,
    name: &str,
) -> Result<Response, Response> {
    find(content, name)?;
    let requested = body.get("permissions").and_then(Value::as_array);
    let held = |permission: &&Value| {
        let permission = permission.as_str().unwrap_or_default();
        let reads = permission.ends_with(".get") || permission.ends_with(".list");
        permission.starts_with("earthengine.assets.") && (reads || !name.starts_with(PUBLIC))
    };
    let held: Vec<&Value> = requested.into_iter().flatten().filter(held).collect();
    let response = if held.is_empty() {
        json!({})
    } else {
        json!({"permissions": held})
    };
    Ok(Response::json(200, &response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_is_split_at_commas_outside_quotes() {
        assert_eq!(
            split_mask(r#"start_time,properties."a,b",properties."q\"x",properties.y"#),
            [
                "start_time",
                "properties.a,b",
                "properties.q\"x",
                "properties.y"
            ]
        );
        assert!(split_mask("").is_empty());
    }
}
