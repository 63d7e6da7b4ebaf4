//! `table:computeFeatures`: a list of features, or a feature collection, in pages.

use serde_json::Value;

use super::compute::{check_workload_tag, evaluate};
use super::{pages, payload};
use crate::refusals;
use crate::reply::Reply;
use crate::request::Request;

pub(super) fn answer(request: &Request) -> Result<Reply, Reply> {
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
            return Err(refusals::invalid_argument(
                "Expression does not evaluate to a feature collection.",
            ));
        }
    };
    if features.iter().any(|feature| feature["type"] != "Feature") {
        return Err(refusals::invalid_argument(
            "Expression does not evaluate to a feature collection.",
        ));
    }
    let list = Value::Object(expression.clone()).to_string();
    pages::page("features", features, &list, size, token)
}
