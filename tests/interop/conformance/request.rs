//! A recorded request without the parts that differ between runs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::RecordedRequest;
use serde_json::Value;

use crate::federation;

/// Significant headers; the others are those of the HTTP library.
const HEADERS: [&str; 5] = [
    "content-type",
    "metadata-flavor",
    "x-goog-user-project",
    "authorization",
    "metadata",
];

/// Returns the fields of a request, by the names that documented differences use.
pub(crate) fn fields(request: &RecordedRequest) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::from([
        ("method".to_owned(), request.method.to_string()),
        (
            "url".to_owned(),
            format!("{}{}", request.host, request.path),
        ),
    ]);
    for (name, value) in request.query_parameters() {
        fields.insert(format!("query {name}"), value);
    }
    for name in HEADERS {
        if let Some(value) = request.header(name) {
            // Only the presence of a bearer token is compared.
            let value = if name == "authorization" && !value.starts_with("Basic ") {
                value.split(' ').next().unwrap_or_default()
            } else {
                value
            };
            fields.insert(format!("header {name}"), value.to_owned());
        }
    }
    if request
        .header("content-type")
        .is_some_and(|t| t.contains("x-www-form-urlencoded"))
    {
        for (name, value) in request.form() {
            if name == "assertion" {
                fields.extend(assertion(&value));
            } else if name == "subject_token" && value.starts_with('[') {
                fields.extend(federation::certificates(&value));
            } else if name == "subject_token" && value.starts_with('%') {
                fields.extend(federation::signed_request(&value));
            } else if name == "options" {
                // Whatever its whitespace.
                fields.insert(
                    "form options".to_owned(),
                    federation::json(&value).to_string(),
                );
            } else {
                fields.insert(format!("form {name}"), value);
            }
        }
    }
    if let Value::Object(members) = request.json() {
        // In the JSON of protocol buffers, null and an empty list mean a missing field.
        let is_set = |value: &Value| !value.is_null() && *value != Value::Array(Vec::new());
        for (name, value) in members.iter().filter(|(_, value)| is_set(value)) {
            match value.as_str() {
                Some(jwt) if name == "subject_token" => fields.extend(assertion(jwt)),
                _ => drop(fields.insert(format!("json {name}"), value.to_string())),
            }
        }
    }
    fields
}

/// Returns the header and claims of a JWT. Its times are validated instead of compared.
fn assertion(jwt: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (part, name) in jwt.split('.').zip(["jwt header", "claim"]) {
        let decoded = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).unwrap();
        let Value::Object(values) = serde_json::from_slice(&decoded).unwrap() else {
            panic!("the {name} of a JWT is not an object");
        };
        let (iat, exp) = (
            values.get("iat").and_then(Value::as_i64),
            values.get("exp").and_then(Value::as_i64),
        );
        if let (Some(iat), Some(exp)) = (iat, exp) {
            assert_eq!(exp - iat, 3600, "the lifetime of an assertion");
        }
        for (key, value) in values
            .iter()
            .filter(|(key, _)| *key != "iat" && *key != "exp")
        {
            fields.insert(format!("{name} {key}"), value.to_string());
        }
    }
    fields
}
