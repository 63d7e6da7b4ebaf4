//! A request to a host.

use bytes::Bytes;
use http::{HeaderMap, Method};

/// A request as hosts receive it.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The host: the first segment of the path.
    pub(crate) host: String,
    /// The rest of the path, percent-encoded.
    pub(crate) path: String,
    /// The percent-encoded query, without `?`.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Splits `/HOST/PATH` into its two parts.
    pub(crate) fn split_path(path: &str) -> (String, String) {
        let path = path.trim_start_matches('/');
        match path.split_once('/') {
            Some((host, rest)) => (host.to_owned(), format!("/{rest}")),
            None => (path.to_owned(), "/".to_owned()),
        }
    }

    /// Returns the decoded segments of the path on the host.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(percent_decode)
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        find(self.query.as_bytes(), name)
    }

    /// Returns the parameters of the query in order, including repeated ones.
    pub(crate) fn query_parameters(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }

    /// Returns whether the content type is that of a form.
    pub(crate) fn is_form(&self) -> bool {
        self.header("content-type").is_some_and(|content_type| {
            let essence = content_type.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    }

    /// Returns the parameters of a form body in order, including repeated ones.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// Returns a parameter of the form body or, if absent there, of the query.
    pub(crate) fn form_or_query(&self, name: &str) -> Option<String> {
        let in_form = self.is_form().then(|| find(&self.body, name)).flatten();
        in_form.or_else(|| self.query(name))
    }

    /// Returns the token of an `Authorization: Bearer` header (RFC 6750 section 2.1).
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

fn find(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded)
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.into_owned())
}

/// Decodes one segment. Invalid escapes are kept unchanged.
fn percent_decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| segment.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_segment_is_host() {
        let split = |path| Request::split_path(path);
        assert_eq!(split("/a.b/c/d"), ("a.b".to_owned(), "/c/d".to_owned()));
        assert_eq!(split("/a.b"), ("a.b".to_owned(), "/".to_owned()));
        assert_eq!(split("/"), (String::new(), "/".to_owned()));
    }

    #[test]
    fn invalid_escapes_are_kept() {
        assert_eq!(percent_decode("value%3Acompute"), "value:compute");
        assert_eq!(percent_decode("%24discovery"), "$discovery");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%é"), "%zz%é");
    }
}
