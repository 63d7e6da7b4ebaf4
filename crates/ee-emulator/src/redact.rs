//! What of a request may be shown: everything but the secrets.

use serde_json::Value;

const REDACTED: &str = "[redacted]";

/// Headers whose values are credentials.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-goog-api-key",
    "x-goog-iap-jwt-assertion",
    "x-aws-ec2-metadata-token",
    "x-amz-security-token",
];

/// Parameters that may be shown. Anything else in a form or a query is taken for a secret, so
/// that a parameter nobody thought of is hidden and not shown.
const PLAIN_PARAMETERS: [&str; 26] = [
    "alt",
    "audience",
    "access_type",
    "client_id",
    "code_challenge_method",
    "error",
    "fields",
    "filter",
    "format",
    "grant_type",
    "login_hint",
    "pageSize",
    "prettyPrint",
    "prompt",
    "query",
    "recursive",
    "redirect_uri",
    "requested_token_type",
    "response_type",
    "scope",
    "scopes",
    "subject_token_type",
    "token_type_hint",
    "userIp",
    "version",
    "view",
];

/// Members of JSON bodies that are secrets.
const SECRET_MEMBERS: [&str; 17] = [
    "accesstoken",
    "access_token",
    "assertion",
    "clientsecret",
    "client_secret",
    "client_verifier",
    "code",
    "code_verifier",
    "idtoken",
    "id_token",
    "private_key",
    "rapt",
    "refresh_token",
    "refreshtoken",
    "subjecttoken",
    "subject_token",
    "token",
];

pub(crate) fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.contains(&name)
}

/// A query or form with the values of all but the plain parameters hidden.
pub(crate) fn parameters(encoded: &str) -> String {
    let shown: Vec<String> = url::form_urlencoded::parse(encoded.as_bytes())
        .map(|(name, value)| {
            if PLAIN_PARAMETERS.contains(&name.as_ref()) {
                format!("{name}={value}")
            } else {
                format!("{name}={REDACTED}")
            }
        })
        .collect();
    shown.join("&")
}

/// A body: forms and JSON with their secrets hidden, of anything else only the length.
pub(crate) fn body(content_type: &str, bytes: &[u8]) -> String {
    if content_type.starts_with("application/x-www-form-urlencoded") {
        return parameters(&String::from_utf8_lossy(bytes));
    }
    match serde_json::from_slice(bytes) {
        Ok(mut json) => {
            hide(&mut json);
            json.to_string()
        }
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

fn hide(json: &mut Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                if SECRET_MEMBERS.contains(&name.to_ascii_lowercase().as_str()) {
                    *value = Value::from(REDACTED);
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}
