//! Expressions, as the caller passes them.

use serde_json::Value;

use crate::Error;

/// Checks that an expression is an object. Its text would be read as a message of another type.
pub(crate) fn check_expression(expression: Option<&Value>) -> Result<(), Error> {
    match expression {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(not_an_expression()),
    }
}

pub(crate) fn not_an_expression() -> Error {
    Error::invalid_request(
        "the expression is not a JSON object",
        "Pass an expression such as {\"result\": \"0\", \"values\": {\"0\": …}}. Parse one that is text with `serde_json::from_str`.",
    )
}
