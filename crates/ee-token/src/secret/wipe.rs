//! Headers, request bodies and JSON whose memory is overwritten after use.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderValue, Method};
use reqwest::Request;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::{Zeroize as _, Zeroizing};

/// Creates a header value from secret pieces.
///
/// The value is marked as sensitive and cheap to clone. Its memory is overwritten when the last
/// clone is dropped.
///
/// # Errors
/// Fails if a piece contains characters that are not allowed in a header.
///
/// ```
/// let key = ee_token::internal::sensitive_header(&["AIza", "Sy"])?;
/// assert_eq!(key, "AIzaSy");
/// assert!(key.is_sensitive());
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn sensitive_header(pieces: &[&str]) -> Result<HeaderValue, InvalidHeaderValue> {
    // A reallocation would leave a copy in memory.
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for piece in pieces {
        bytes.extend_from_slice(piece.as_bytes());
    }
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Creates a request body whose memory is overwritten on drop.
pub(crate) fn secret_body(body: Zeroizing<String>) -> Bytes {
    struct Body(Zeroizing<String>);

    impl AsRef<[u8]> for Body {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Body(body))
}

fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // Each byte becomes at most three. A reallocation would leave a copy in memory.
    let length = fields
        .iter()
        .map(|(name, value)| name.len() + 2 + 3 * value.len());
    let mut form = Serializer::new(String::with_capacity(length.sum()));
    form.extend_pairs(fields);
    Zeroizing::new(form.finish())
}

/// Creates a POST request with a form. Its secrets are in the body, because URLs end up in logs.
pub fn secret_request(url: &Url, fields: &[(&str, &str)]) -> Request {
    let mut request = Request::new(Method::POST, url.clone());
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    *request.body_mut() = Some(secret_body(form(fields)).into());
    request
}

/// Overwrites the strings of a JSON value, which may contain secrets that a server echoed.
pub fn zeroize_json(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(zeroize_json),
        Value::Object(fields) => fields.values_mut().for_each(zeroize_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HttpClient;

    #[test]
    fn requests_with_secret_forms_are_send() {
        fn is_send(_: impl Send) {}
        let http = HttpClient::new(crate::Endpoints::google());
        let (token, bearer) = (
            "1//canary".into(),
            crate::AccessToken::new("canary").unwrap(),
        );
        is_send(crate::revoke(&http, &token));
        is_send(crate::token_info(&http, &bearer));
    }

    #[test]
    fn sensitive_header_joins_pieces_and_is_not_shown_by_debug() {
        let header = sensitive_header(&["Basic ", "canary"]).unwrap();
        assert_eq!(header, "Basic canary");
        assert!(!format!("{header:?}").contains("canary"));
        for bad in ["a\r\nX-Evil: 1", "a\u{7f}", "a\0"] {
            let error = sensitive_header(&["Basic ", bad]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("Evil"));
        }
    }
}
