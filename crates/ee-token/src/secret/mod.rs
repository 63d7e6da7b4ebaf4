//! Secrets: the type, redaction of text, and overwriting of memory.

pub(crate) mod printable_path;
pub(crate) mod redact;
pub(crate) mod sanitize;
pub(crate) mod wipe;

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// A secret string, such as a key, a refresh token or a password.
///
/// Its memory is overwritten on drop. `Debug` prints `[redacted]`; only
/// [`expose_secret`](Self::expose_secret) returns the string.
///
/// Unlike the `secrecy` crate's type, it also overwrites the `String` that it is created from.
///
/// ```
/// use ee_token::SecretString;
///
/// let key = SecretString::from("AIzaSy-secret");
/// assert_eq!(key.expose_secret(), "AIzaSy-secret");
/// assert!(!format!("{key:?}").contains("AIza"));
/// ```
#[derive(Clone, Default)]
pub struct SecretString(Zeroizing<Box<str>>);

impl SecretString {
    /// Returns the secret.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

/// Overwrites the given string.
impl From<String> for SecretString {
    fn from(text: String) -> Self {
        // Shrinking the allocation could leave a copy in memory.
        let text = Zeroizing::new(text);
        Self::from(text.as_str())
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString([redacted])")
    }
}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SecretVisitor)
    }
}

/// Copies the text once. A `String` would be copied and wiped.
struct SecretVisitor;

impl Visitor<'_> for SecretVisitor {
    type Value = SecretString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretString, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<SecretString, E> {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_string_is_deserialized_and_not_shown_by_debug() {
        let secret: SecretString = serde_json::from_str(r#""can\u0061ry""#).unwrap();
        assert_eq!(secret.expose_secret(), "canary");
        assert_eq!(format!("{secret:?}"), "SecretString([redacted])");
        assert_eq!(secret.clone().expose_secret(), "canary");
        assert!(serde_json::from_str::<SecretString>("7").is_err());
    }
}
