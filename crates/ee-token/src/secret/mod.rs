//! A text that is secret.

pub(crate) mod printable_path;
pub(crate) mod redact;
pub(crate) mod wipe;

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// A secret text: a key, a refresh token, a password. Its memory is overwritten when it is dropped,
/// `Debug` does not show it, and it is shown by [`expose_secret`](Self::expose_secret) alone.
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
    /// The secret itself.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

/// The string that it is made of is overwritten too.
impl From<String> for SecretString {
    fn from(text: String) -> Self {
        // Shrinking could leave a copy behind.
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
    fn it_is_read_from_json_and_shown_by_nothing_but_its_own_function() {
        let secret: SecretString = serde_json::from_str(r#""can\u0061ry""#).unwrap();
        assert_eq!(secret.expose_secret(), "canary");
        assert_eq!(format!("{secret:?}"), "SecretString([redacted])");
        assert_eq!(secret.clone().expose_secret(), "canary");
        assert!(serde_json::from_str::<SecretString>("7").is_err());
    }
}
