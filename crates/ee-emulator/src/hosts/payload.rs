//! Validation of queries and JSON bodies, as in Google's front end.

use serde_json::{Map, Value};

use crate::description::{ApiMethod, Description};
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;

/// Validates a request against the description of its method. Returns its body, in which names are
/// in camel case and no field is null.
pub(super) fn checked(
    request: &Request,
    method: &ApiMethod,
) -> Result<Map<String, Value>, Response> {
    let description = Description::get();
    let mut violations = description.query_violations(method, &request.query_parameters());
    let mut body = Value::Object(object(request)?);
    let schema = method.request.as_deref().unwrap_or("Empty");
    violations.extend(description.normalize(schema, &mut body));
    match body {
        Value::Object(body) if violations.is_empty() => Ok(body),
        _ => Err(error_responses::bad_request(&violations)),
    }
}

/// Parses the body, which must be a JSON object. No body counts as an empty object.
fn object(request: &Request) -> Result<Map<String, Value>, Response> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    let type_is_json = request
        .header("content-type")
        .is_some_and(|value| value.trim_start().starts_with("application/json"));
    if !type_is_json {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. The content type must be application/json.",
        ));
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(error_responses::invalid_argument(
            "Invalid JSON payload received. Unexpected token.",
        )),
    }
}

/// Returns the request ID: at most 60 letters, digits and dashes. An empty one counts as none.
pub(super) fn request_id(body: &Map<String, Value>) -> Result<Option<String>, Response> {
    let id = Some(text(body, "requestId")).filter(|id| !id.is_empty());
    let valid =
        |id: &str| id.len() <= 60 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match id {
        Some(id) if !valid(id) => Err(error_responses::invalid_argument(
            "Invalid request_id: it must consist of at most 60 letters, digits and dashes.",
        )),
        id => Ok(id.map(str::to_owned)),
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

/// Returns a string field, or an empty string if it is not set.
pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}
