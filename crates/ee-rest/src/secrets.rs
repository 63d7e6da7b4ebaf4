//! What was sent and must not come back in a message.

use std::sync::Arc;

use ee_token::{AccessToken, ExposeSecret, SecretString, redact};
use http::HeaderValue;

/// The secrets of one attempt: servers echo what they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    pub(crate) token: Option<AccessToken>,
    pub(crate) api_key: Option<Arc<SecretString>>,
}

impl Secrets {
    /// The text without the secrets, and without characters that could play tricks on a
    /// terminal or a log. Line ends and tabs stay.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Before redacting, so that a secret cannot hide behind a character that goes away.
        text.retain(|c| !is_trick(c) || matches!(c, '\n' | '\t'));
        let mut secrets = Vec::with_capacity(2);
        secrets.extend(self.token.as_ref().map(AccessToken::secret));
        secrets.extend(self.api_key.as_ref().map(|key| key.expose_secret()));
        redact(&text, &secrets).into_owned()
    }

    /// A header of the server's as it may be shown.
    pub(crate) fn clean_header(&self, value: &HeaderValue) -> String {
        self.clean(&String::from_utf8_lossy(value.as_bytes()))
    }
}

/// Control characters, and those that are invisible or turn the direction of writing.
fn is_trick(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_hide_behind_invisible_characters() {
        let secrets = Secrets {
            token: Some(AccessToken::new("canary-token").unwrap()),
            api_key: Some(Arc::new("canary-key".into())),
        };
        assert_eq!(
            secrets.clean("a \u{1b}[31mcanary\u{0}-token, can\u{200b}ary-key\r\nb"),
            "a [31m[redacted], [redacted]\nb"
        );
    }
}
