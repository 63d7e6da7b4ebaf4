//! JSON bodies, as Google's front end checks them.

use serde_json::{Map, Value};

use crate::refusals;
use crate::reply::Reply;
use crate::request::Request;

/// The body, which must be a JSON object with no fields but these.
pub(super) fn object(request: &Request, known: &[&str]) -> Result<Map<String, Value>, Reply> {
    let type_is_json = request
        .header("content-type")
        .is_some_and(|value| value.trim_start().starts_with("application/json"));
    if !type_is_json {
        return Err(refusals::invalid_argument(
            "Invalid JSON payload received. The content type must be application/json.",
        ));
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else {
        return Err(refusals::invalid_argument(
            "Invalid JSON payload received. Unexpected token.",
        ));
    };
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(refusals::invalid_argument(&format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\": Cannot find field."
        ))),
        None => Ok(body),
    }
}

/// The expression, which must at least look like one.
pub(super) fn expression(body: &Map<String, Value>) -> Result<&Map<String, Value>, Reply> {
    let Some(Value::Object(expression)) = body.get("expression") else {
        return Err(refusals::invalid_argument(
            "Invalid expression: the expression is missing.",
        ));
    };
    match (expression.get("result"), expression.get("values")) {
        (Some(Value::String(result)), Some(Value::Object(values)))
            if values.contains_key(result) =>
        {
            Ok(expression)
        }
        _ => Err(refusals::invalid_argument(
            "Invalid expression: 'result' and 'values' are required.",
        )),
    }
}

/// A text field that may be absent.
pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Reply> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refusals::invalid_argument(&format!(
            "Invalid value at '{name}' (TYPE_STRING)."
        ))),
    }
}
