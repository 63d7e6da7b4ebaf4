//! What a text is that should have been a credential: people put all sorts of things
//! where one belongs, and "not JSON" helps nobody.

use ee_token::Remedy;

use crate::Error;
use crate::input::location::Place;

/// A shape that is no credential, or not one that belongs in this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
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

/// What the text is, if it is not a JSON object: by how it begins, whether it is one word, and
/// whether there is a PEM in it.
pub(crate) fn of_text(text: &str) -> Option<Shape> {
    let text = text.trim();
    let one_word = !text.contains(char::is_whitespace);
    Some(match text {
        "" => Shape::Empty,
        _ if text.starts_with('{') => return None,
        _ if text.starts_with('<') => Shape::Html,
        _ if text.contains("-----BEGIN ") => Shape::Pem,
        _ if text.starts_with('[') && is_ini_section(text) => Shape::Ini,
        _ if text.starts_with('[') => Shape::Array,
        _ if !one_word => Shape::OtherText,
        _ if text.starts_with("1/") => Shape::RefreshToken,
        _ if text.starts_with("ya29.") => Shape::AccessToken,
        _ if text.starts_with("4/") => Shape::AuthorizationCode,
        _ if text.starts_with("AIza") => Shape::ApiKey,
        // `{"` and `{\n` in base64.
        _ if text.starts_with("eyJ") || text.starts_with("ewo") => Shape::Base64Json,
        _ if text.starts_with(['/', '~', '.']) || text.ends_with(".json") => Shape::Path,
        _ => Shape::OtherText,
    })
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

impl Shape {
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

    /// The error that names it.
    pub(crate) fn refusal(self, place: &Place) -> Error {
        place
            .invalid(self.noun())
            .with_remedy(Remedy::new(self.advice()))
    }
}

/// The error for JSON that does not parse.
pub(crate) fn broken_json(place: &Place, error: &serde_json::Error) -> Error {
    let at = format!("line {}, column {}", error.line(), error.column());
    let why = if error.is_eof() {
        format!("its JSON is cut off at {at}")
    } else {
        format!("it is not valid JSON from {at} on")
    };
    broken(place, why)
}

/// JSON that serde_json would have read, and no credential is written in.
pub(crate) fn strange_json(place: &Place) -> Error {
    broken(
        place,
        "its JSON nests too deeply, or has an escape that is no character".to_owned(),
    )
}

fn broken(place: &Place, why: String) -> Error {
    place.invalid(why).with_remedy(Remedy::new(
        "Download or create the credential again, and use it unchanged.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_named_for_what_it_is() {
        for (text, shape) in [
            (" \n", Some(Shape::Empty)),
            (" {\"a\": 1}", None),
            ("<!doctype html>", Some(Shape::Html)),
            ("-----BEGIN PRIVATE KEY-----\nx", Some(Shape::Pem)),
            (
                "Bag Attributes\n-----BEGIN PRIVATE KEY-----",
                Some(Shape::Pem),
            ),
            ("[1, 2]", Some(Shape::Array)),
            ("[\"a\"]", Some(Shape::Array)),
            ("[]", Some(Shape::Array)),
            ("[core]\nproject = x", Some(Shape::Ini)),
            ("1//0gabc-_d", Some(Shape::RefreshToken)),
            ("ya29.abc", Some(Shape::AccessToken)),
            ("4/0AX", Some(Shape::AuthorizationCode)),
            ("AIzaSyabc", Some(Shape::ApiKey)),
            ("eyJ0eXBlIjog", Some(Shape::Base64Json)),
            ("ewogICJ0eXBl", Some(Shape::Base64Json)),
            ("/home/me/key.json", Some(Shape::Path)),
            ("key.json", Some(Shape::Path)),
            ("hello world", Some(Shape::OtherText)),
            ("\"text\"", Some(Shape::OtherText)),
        ] {
            assert_eq!(of_text(text), shape, "{text:?}");
        }
    }
}
