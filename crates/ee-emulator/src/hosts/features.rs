//! `table:computeFeatures`: features, in pages.

use serde_json::Value;

use super::compute::{check_workload_tag, evaluate};
use super::{pages, payload};
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;

pub(super) fn handle(request: &Request) -> Result<Response, Response> {
    let known = ["expression", "pageSize", "pageToken", "workloadTag"];
    let body = payload::object(request, &known)?;
    check_workload_tag(body.get("workloadTag"))?;
    let expression = payload::expression(&body)?;
    let size = match body.get("pageSize") {
        None => None,
        Some(size) => pages::size(Some(size.to_string()))?,
    };
    let token = payload::text(&body, "pageToken")?;
    let features = match evaluate(expression)? {
        Value::Array(features) => features,
        Value::Object(mut collection)
            if collection.get("type") == Some(&"FeatureCollection".into()) =>
        {
            match collection.remove("features") {
                Some(Value::Array(features)) => features,
                _ => Vec::new(),
            }
        }
        _ => {
            return Err(error_responses::invalid_argument(
                "Expression does not evaluate to a feature collection.",
            ));
        }
    };
    if features.iter().any(|feature| feature["type"] != "Feature") {
        return Err(error_responses::invalid_argument(
            "Expression does not evaluate to a feature collection.",
        ));
    }
    let list = Value::Object(expression.clone()).to_string();
    pages::page("features", features, &list, size, token)
}
