//! What was sent and must not come back in a message.

use std::sync::Arc;

use ee_token::{AccessToken, SecretString, sanitize, sanitize_message};
use http::HeaderValue;

/// The secrets of one attempt: servers echo what they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    pub(crate) token: Option<AccessToken>,
    /// The tokens before that one, which the server did not take.
    pub(crate) refused: Vec<AccessToken>,
    pub(crate) api_key: Option<Arc<SecretString>>,
}

impl Secrets {
    /// The text without the secrets, and without characters that could play tricks on a
    /// terminal or a log. Line ends and tabs stay.
    pub(crate) fn sanitize(&self, text: &str) -> String {
        sanitize(text, &self.exposed())
    }

    /// The same of a sentence of the server's, and not without end.
    pub(crate) fn sanitize_message(&self, text: &str) -> String {
        sanitize_message(text, &self.exposed())
    }

    fn exposed(&self) -> Vec<&str> {
        let tokens = self.token.iter().chain(&self.refused);
        let key = self.api_key.as_ref().map(|key| key.expose_secret());
        tokens.map(AccessToken::secret).chain(key).collect()
    }

    /// A header of the server's as it may be shown.
    pub(crate) fn clean_header(&self, value: &HeaderValue) -> String {
        self.sanitize(&String::from_utf8_lossy(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_hide_behind_invisible_characters() {
        let secrets = Secrets {
            token: Some(AccessToken::new("canary-token").unwrap()),
            refused: vec![AccessToken::new("canary-before").unwrap()],
            api_key: Some(Arc::new("canary-key".into())),
        };
        assert_eq!(
            secrets
                .sanitize("a \u{1b}[31mcanary\u{0}-token, can\u{200b}ary-key\r\nb canary-before"),
            "a [31m[redacted], [redacted]\nb [redacted]"
        );
    }
}
