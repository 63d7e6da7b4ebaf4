//! Validation of JSON bodies, as in Google's front end.

use serde_json::{Map, Value};

use crate::error_responses;
use crate::request::Request;
use crate::response::Response;

/// Parses the body, which must be a JSON object with no other fields than `known`.
pub(super) fn object(request: &Request, known: &[&str]) -> Result<Map<String, Value>, Response> {
    let type_is_json = request
        .header("content-type")
        .is_some_and(|value| value.trim_start().starts_with("application/json"));
    if !type_is_json {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. The content type must be application/json.",
        ));
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. Unexpected token.",
        ));
    };
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(error_responses::invalid_argument(&format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."
        ))),
        None => Ok(body),
    }
}

/// Returns the expression after checking its outer structure.
pub(super) fn expression(body: &Map<String, Value>) -> Result<&Map<String, Value>, Response> {
    let Some(Value::Object(expression)) = body.get("expression") else {
        return Err(error_responses::invalid_argument(
            "Invalid expression: the expression is missing.",
        ));
    };
    match (expression.get("result"), expression.get("values")) {
        (Some(Value::String(result)), Some(Value::Object(values)))
            if values.contains_key(result) =>
        {
            Ok(expression)
        }
        _ => Err(error_responses::invalid_argument(
            "Invalid expression: 'result' and 'values' are required.",
        )),
    }
}

/// Returns an optional string field.
pub(super) fn text<'a>(
    body: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Response> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(error_responses::invalid_argument(&format!(
            "Invalid value at '{name}' (TYPE_STRING)."
        ))),
    }
}
