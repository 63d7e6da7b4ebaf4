//! Redaction of secrets in recorded requests.

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

/// Parameters that may be shown. All others are redacted, so that an unknown parameter cannot leak
/// a secret.
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

/// Members of JSON bodies whose values are secrets.
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

/// Redacts the values of a query or form, except those of plain parameters.
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

/// Redacts a body: forms and JSON keep what is not secret, others are reduced to their length.
pub(crate) fn body(content_type: &str, bytes: &[u8]) -> String {
    if content_type.starts_with("application/x-www-form-urlencoded") {
        return parameters(&String::from_utf8_lossy(bytes));
    }
    match serde_json::from_slice(bytes) {
        Ok(mut json) => {
            redact_json(&mut json);
            json.to_string()
        }
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

fn redact_json(json: &mut Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                if SECRET_MEMBERS.contains(&name.to_ascii_lowercase().as_str()) {
                    *value = Value::from(REDACTED);
                } else {
                    redact_json(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact_json),
        _ => {}
    }
}
