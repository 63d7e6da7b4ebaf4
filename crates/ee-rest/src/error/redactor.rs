//! Redaction of the secrets that a request was sent with.

use std::sync::Arc;

use ee_token::internal::{sanitize, sanitize_message};
use ee_token::{AccessToken, SecretString};
use http::HeaderValue;

/// The secrets of a request, which a server may echo.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    pub(crate) token: Option<AccessToken>,
    /// The earlier tokens, which the server rejected.
    pub(crate) rejected: Vec<AccessToken>,
    pub(crate) api_key: Option<Arc<SecretString>>,
}

impl Secrets {
    /// Redacts the secrets and removes characters that are unsafe in a terminal or log. Line
    /// breaks and tabs are kept.
    pub(crate) fn sanitize(&self, text: &str) -> String {
        sanitize(text, &self.exposed())
    }

    /// Sanitizes a server message and limits its length.
    pub(crate) fn sanitize_message(&self, text: &str) -> String {
        sanitize_message(text, &self.exposed())
    }

    fn exposed(&self) -> Vec<&str> {
        let tokens = self.token.iter().chain(&self.rejected);
        let key = self.api_key.as_ref().map(|key| key.expose_secret());
        tokens.map(AccessToken::secret).chain(key).collect()
    }

    /// Returns the sanitized value of a response header.
    pub(crate) fn sanitize_header(&self, value: &HeaderValue) -> String {
        self.sanitize(&String::from_utf8_lossy(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_with_invisible_characters_is_redacted() {
        let secrets = Secrets {
            token: Some(AccessToken::new("canary-token").unwrap()),
            rejected: vec![AccessToken::new("canary-before").unwrap()],
            api_key: Some(Arc::new("canary-key".into())),
        };
        assert_eq!(
            secrets
                .sanitize("a \u{1b}[31mcanary\u{0}-token, can\u{200b}ary-key\r\nb canary-before"),
            "a [31m[redacted], [redacted]\nb [redacted]"
        );
    }
}
