//! Validation of JSON bodies, as in Google's front end.

use serde_json::{Map, Value};

use crate::error_responses;
use crate::request::Request;
use crate::response::Response;

/// Parses the body, which must be a JSON object with no other fields than `known`. No body counts as
/// an empty object.
pub(super) fn object(request: &Request, known: &[&str]) -> Result<Map<String, Value>, Response> {
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
    let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. Unexpected token.",
        ));
    };
    check_fields(&body, known)?;
    Ok(body)
}

/// Checks that an object has no other fields than `known`.
fn check_fields(object: &Map<String, Value>, known: &[&str]) -> Result<(), Response> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(error_responses::invalid_argument(&format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."
        ))),
        None => Ok(()),
    }
}

/// Returns a field that is an object with no other fields than `known`, if it is set.
pub(super) fn nested<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    known: &[&str],
) -> Result<Option<&'a Map<String, Value>>, Response> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) => {
            check_fields(fields, known)?;
            Ok(Some(fields))
        }
        Some(_) => Err(error_responses::invalid_argument(&format!(
            "Invalid value at '{name}', expected an object."
        ))),
    }
}

/// Returns the request ID: at most 60 letters, digits and dashes. An empty one counts as none.
pub(super) fn request_id(body: &Map<String, Value>) -> Result<Option<String>, Response> {
    let id = text(body, "requestId")?.filter(|id| !id.is_empty());
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
