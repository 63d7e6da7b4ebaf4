//! A recorded request, without what differs from run to run.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::RecordedRequest;
use serde_json::Value;

use crate::federation;

/// Headers that carry meaning; the rest is the HTTP library's.
const HEADERS: [&str; 5] = [
    "content-type",
    "metadata-flavor",
    "x-goog-user-project",
    "authorization",
    "metadata",
];

/// A request's fields, each by a name that a difference can be written down with.
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
            // A bearer differs from run to run; that there is one does not.
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
                // However it is spaced.
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
        // In the JSON of protocol buffers, null is the same as nothing and so is an empty list.
        let said = |value: &Value| !value.is_null() && *value != Value::Array(Vec::new());
        for (name, value) in members.iter().filter(|(_, value)| said(value)) {
            match value.as_str() {
                Some(jwt) if name == "subject_token" => fields.extend(assertion(jwt)),
                _ => drop(fields.insert(format!("json {name}"), value.to_string())),
            }
        }
    }
    fields
}

/// A JWT's header and claims. Its times are checked for sense instead of compared.
fn assertion(jwt: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (part, name) in jwt.split('.').zip(["jwt header", "claim"]) {
        let decoded = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).unwrap();
        let Value::Object(values) = serde_json::from_slice(&decoded).unwrap() else {
            panic!("a JWT whose {name} is no object");
        };
        let (iat, exp) = (
            values.get("iat").and_then(Value::as_i64),
            values.get("exp").and_then(Value::as_i64),
        );
        if let (Some(iat), Some(exp)) = (iat, exp) {
            assert_eq!(exp - iat, 3600, "an assertion's life");
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
