//! Secrets on their way out of the process, and what comes back of them: the memory that they
//! stand in is overwritten afterwards.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderValue, Method};
use reqwest::Request;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::{Zeroize as _, Zeroizing};

/// A header value made of these pieces, of which some are secret: marked sensitive, cheap to
/// clone, its bytes overwritten when the last clone goes.
///
/// # Errors
/// If a piece has characters that no header may have.
///
/// ```
/// let key = ee_token::sensitive_header(&["AIza", "Sy"])?;
/// assert_eq!(key, "AIzaSy");
/// assert!(key.is_sensitive());
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn sensitive_header(pieces: &[&str]) -> Result<HeaderValue, InvalidHeaderValue> {
    // Room for all of it: growing would leave copies behind.
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for piece in pieces {
        bytes.extend_from_slice(piece.as_bytes());
    }
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A request body that is overwritten when it has been sent.
pub(crate) fn secret_body(body: Zeroizing<String>) -> Bytes {
    struct Body(Zeroizing<String>);

    impl AsRef<[u8]> for Body {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Body(body))
}

fn form(name: &str, secret: &str) -> Zeroizing<String> {
    // Room for all of it, were every byte to become three: growing would leave copies behind.
    let length = name.len() + 1 + 3 * secret.len();
    let mut form = Serializer::new(String::with_capacity(length));
    form.append_pair(name, secret);
    Zeroizing::new(form.finish())
}

/// Creates a request that posts a form of one field. The secret is in the body, because URLs end up
/// in logs.
pub(crate) fn secret_request(url: &Url, name: &str, secret: &str) -> Request {
    let mut request = Request::new(Method::POST, url.clone());
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    *request.body_mut() = Some(secret_body(form(name, secret)).into());
    request
}

/// Overwrites the texts in what a server said, which may be what it was sent.
pub fn zeroize_json(said: &mut Value) {
    match said {
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
    fn a_form_with_a_secret_may_be_sent_from_any_task() {
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
    fn a_secret_header_is_what_its_pieces_say_and_debug_shows_nothing_of_it() {
        let header = sensitive_header(&["Basic ", "canary"]).unwrap();
        assert_eq!(header, "Basic canary");
        assert!(!format!("{header:?}").contains("canary"));
        for bad in ["a\r\nX-Evil: 1", "a\u{7f}", "a\0"] {
            let error = sensitive_header(&["Basic ", bad]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("Evil"));
        }
    }
}
