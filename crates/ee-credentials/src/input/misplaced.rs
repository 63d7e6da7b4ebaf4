//! What a text is that should have been a credential: people put all sorts of things
//! where one belongs, and "not JSON" helps nobody.

use ee_token::Remedy;

use crate::Error;
use crate::input::location::Location;

/// A shape that is no credential, or not one that belongs in this place.
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
            Self::Pem => "it is a PEM (a bare key or certificate), not JSON",
            Self::Array => "it is JSON, but not an object",
            Self::Ini => "it is a configuration file of gcloud, not JSON",
            Self::RefreshToken => "it is a bare refresh token, not JSON",
            Self::AccessToken => {
                "it is a bare access token, not JSON, and would end within the hour"
            }
            Self::AuthorizationCode => {
                "it is an authorization code, which is good for one login only"
            }
            Self::ApiKey => "it is an API key, not JSON",
            Self::Base64Json => "it is base64, not JSON",
            Self::Path => "it is the path of a file, not its JSON",
            Self::OtherText => "it is not JSON",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Empty => "Put a credential there, or name another place.",
            Self::Html => {
                "Download the file again: a login page or an error page was saved in its place."
            }
            Self::Pem => {
                "Use the JSON key file that the key came in; a program can use the PEM together with the account's address."
            }
            Self::Ini => {
                "Name application_default_credentials.json instead; `gcloud auth application-default login` writes it."
            }
            Self::RefreshToken => "Put a bare refresh token into the variable EARTHENGINE_TOKEN.",
            Self::AccessToken => {
                "Use a credential that lasts: a refresh token or a service account's key. A program can bring its own access token along."
            }
            Self::AuthorizationCode => {
                "Finish the login with it, and use the credential that comes out."
            }
            Self::ApiKey => "Give an API key as such, with the credential left out.",
            Self::Base64Json => "Decode it first (base64 --decode).",
            Self::Path => {
                "Name the file with GOOGLE_APPLICATION_CREDENTIALS, or put its contents here."
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
            .with_remedy(Remedy::new(self.advice()))
    }
}

/// Returns the error for invalid JSON. serde_json's own message can quote the text.
pub(crate) fn invalid_json(location: &Location, error: &serde_json::Error) -> Error {
    let at = format!("line {}, column {}", error.line(), error.column());
    let why = if error.is_eof() {
        format!("its JSON is cut off at {at}")
    } else {
        format!("it is not valid JSON from {at} on")
    };
    location.invalid(why).with_remedy(Remedy::new(
        "Download or create the credential again, and use it unchanged.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_named_for_what_it_is() {
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
