//! Recognizing text that is not the JSON of a credential, so that the error says what it is.

use ee_token::Remedy;

use crate::Error;
use crate::input::location::{DOWNLOAD_AGAIN, Location};

/// Text where the JSON of a credential is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MisplacedInput {
    Empty,
    Html,
    Pem,
    Array,
    Ini,
    RefreshToken,
    AccessToken,
    AuthorizationCode,
    ApiKey,
    Base64Json,
    Path,
    OtherText,
}

/// `[core]` rather than `["a"]`.
fn is_ini_section(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim_end();
    line.strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'))
        .is_some_and(|name| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || " _-.".contains(c))
        })
}

impl MisplacedInput {
    /// Identifies a text by its beginning, by whether it is one word, and by a PEM in it. Returns
    /// `None` for a JSON object.
    pub(crate) fn identify(text: &str) -> Option<Self> {
        let text = text.trim();
        let one_word = !text.contains(char::is_whitespace);
        Some(match text {
            "" => Self::Empty,
            _ if text.starts_with('{') => return None,
            _ if text.starts_with('<') => Self::Html,
            _ if text.contains("-----BEGIN ") => Self::Pem,
            _ if text.starts_with('[') && is_ini_section(text) => Self::Ini,
            _ if text.starts_with('[') => Self::Array,
            _ if !one_word => Self::OtherText,
            _ if text.starts_with("1/") => Self::RefreshToken,
            _ if text.starts_with("ya29.") => Self::AccessToken,
            _ if text.starts_with("4/") => Self::AuthorizationCode,
            _ if text.starts_with("AIza") => Self::ApiKey,
            // `{"` and `{\n` in base64.
            _ if text.starts_with("eyJ") || text.starts_with("ewo") => Self::Base64Json,
            _ if text.starts_with(['/', '~', '.']) || text.ends_with(".json") => Self::Path,
            _ => Self::OtherText,
        })
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::Html => "it is HTML, not JSON",
            Self::Pem => "it is a PEM (a key or a certificate), not JSON",
            Self::Array => "it is JSON, but not an object",
            Self::Ini => "it is a gcloud configuration file, not JSON",
            Self::RefreshToken => "it is a refresh token, not JSON",
            Self::AccessToken => "it is an access token, not JSON, and expires within an hour",
            Self::AuthorizationCode => "it is an authorization code, which is valid for one login",
            Self::ApiKey => "it is an API key, not JSON",
            Self::Base64Json => "it is base64, not JSON",
            Self::Path => "it is the path of a file, not JSON",
            Self::OtherText => "it is not JSON",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "Write a credential to it, or use another source.",
            Self::Html => {
                "Download the file again: a login page or an error page was saved instead."
            }
            Self::Pem => {
                "Use the JSON key file that the key came in. A program can pass the PEM with Credentials::from_pem."
            }
            Self::Ini => {
                "Use application_default_credentials.json, which `gcloud auth application-default login` writes."
            }
            Self::RefreshToken => "Set the variable EARTHENGINE_TOKEN to the refresh token.",
            Self::AccessToken => {
                "Use a login or a service account key. A program can pass an access token with Credentials::from_token."
            }
            Self::AuthorizationCode => {
                "Finish the login with it, and use the resulting credential."
            }
            Self::ApiKey => "Pass an API key with Credentials::from_api_key, without a credential.",
            Self::Base64Json => "Decode it first (base64 --decode).",
            Self::Path => {
                "Set GOOGLE_APPLICATION_CREDENTIALS to the path, or use the contents of the file."
            }
            Self::Array | Self::OtherText => {
                "Use a service account's JSON key, or a file that a login has written."
            }
        }
    }

    /// Returns the error for this input at `location`.
    pub(crate) fn into_error(self, location: &Location) -> Error {
        location
            .invalid(self.noun())
            .with_remedy(Remedy::new(self.remedy()))
    }
}

/// Returns the error for invalid JSON. serde_json's own message can quote the text.
pub(crate) fn invalid_json(location: &Location, error: &serde_json::Error) -> Error {
    let at = format!("line {}, column {}", error.line(), error.column());
    let why = if error.is_eof() {
        format!("its JSON is truncated at {at}")
    } else {
        format!("its JSON is invalid at {at}")
    };
    location
        .invalid(why)
        .with_remedy(Remedy::new(DOWNLOAD_AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misplaced_text_is_identified() {
        for (text, shape) in [
            (" \n", Some(MisplacedInput::Empty)),
            (" {\"a\": 1}", None),
            ("<!doctype html>", Some(MisplacedInput::Html)),
            ("-----BEGIN PRIVATE KEY-----\nx", Some(MisplacedInput::Pem)),
            (
                "Bag Attributes\n-----BEGIN PRIVATE KEY-----",
                Some(MisplacedInput::Pem),
            ),
            ("[1, 2]", Some(MisplacedInput::Array)),
            ("[\"a\"]", Some(MisplacedInput::Array)),
            ("[]", Some(MisplacedInput::Array)),
            ("[core]\nproject = x", Some(MisplacedInput::Ini)),
            ("1//0gabc-_d", Some(MisplacedInput::RefreshToken)),
            ("ya29.abc", Some(MisplacedInput::AccessToken)),
            ("4/0AX", Some(MisplacedInput::AuthorizationCode)),
            ("AIzaSyabc", Some(MisplacedInput::ApiKey)),
            ("eyJ0eXBlIjog", Some(MisplacedInput::Base64Json)),
            ("ewogICJ0eXBl", Some(MisplacedInput::Base64Json)),
            ("/home/me/key.json", Some(MisplacedInput::Path)),
            ("key.json", Some(MisplacedInput::Path)),
            ("hello world", Some(MisplacedInput::OtherText)),
            ("\"text\"", Some(MisplacedInput::OtherText)),
        ] {
            assert_eq!(MisplacedInput::identify(text), shape, "{text:?}");
        }
    }
}
