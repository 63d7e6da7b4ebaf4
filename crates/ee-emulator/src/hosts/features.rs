//! Computed features and images, in pages.

use serde_json::{Map, Value};

use super::compute::{check_workload_tag, evaluate};
use super::{pages, payload};
use crate::error_responses;
use crate::response::Response;

/// Handles `table:computeFeatures`.
pub(super) fn compute(body: &Map<String, Value>) -> Result<Response, Response> {
    list(body, "features", features)
}

/// Handles `imageCollection:computeImages`. An image is any object with the type `Image`.
pub(super) fn compute_images(body: &Map<String, Value>) -> Result<Response, Response> {
    list(body, "images", |expression| {
        let images = match evaluate(expression)? {
            Value::Array(images) => images,
            Value::Object(mut collection)
                if collection.get("type") == Some(&"ImageCollection".into()) =>
            {
                members(&mut collection)
            }
            _ => return Err(not_a("an image")),
        };
        let described = images.into_iter().map(|mut image| {
            if image["type"] != "Image" {
                return Err(not_a("an image"));
            }
            image["type"] = "IMAGE".into();
            Ok(image)
        });
        described.collect()
    })
}

fn list(
    body: &Map<String, Value>,
    key: &str,
    items: impl FnOnce(&Map<String, Value>) -> Result<Vec<Value>, Response>,
) -> Result<Response, Response> {
    check_workload_tag(body.get("workloadTag"))?;
    let expression = payload::expression(body)?;
    let size = match body.get("pageSize") {
        None => None,
        Some(Value::String(size)) => pages::size(Some(size.clone()))?,
        Some(size) => pages::size(Some(size.to_string()))?,
    };
    let token = Some(payload::text(body, "pageToken"));
    let list = Value::Object(expression.clone()).to_string();
    pages::page(key, items(expression)?, &list, size, token)
}

/// Returns the members of a collection.
fn members(collection: &mut Map<String, Value>) -> Vec<Value> {
    match collection.remove("features") {
        Some(Value::Array(members)) => members,
        _ => Vec::new(),
    }
}

fn not_a(kind: &str) -> Response {
    error_responses::invalid_argument(&format!(
        "Expression does not evaluate to {kind} collection."
    ))
}

/// Evaluates an expression to features.
pub(super) fn features(expression: &Map<String, Value>) -> Result<Vec<Value>, Response> {
    let features = match evaluate(expression)? {
        Value::Array(features) => features,
        Value::Object(mut collection)
            if collection.get("type") == Some(&"FeatureCollection".into()) =>
        {
            members(&mut collection)
        }
        _ => return Err(not_a("a feature")),
    };
    if features.iter().any(|feature| feature["type"] != "Feature") {
        return Err(not_a("a feature"));
    }
    Ok(features)
}
