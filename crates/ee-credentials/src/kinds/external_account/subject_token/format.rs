//! The format of a subject token: plain text, or a field of a JSON object.

use ee_token::{Remedy, SecretString};
use serde::Deserialize;

use crate::Error;
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::quote::clipped;

/// `format` of a file or URL source.
#[derive(Debug)]
pub(crate) enum Format {
    Text,
    /// A field of a JSON object.
    Json(String),
}

#[derive(Deserialize)]
struct FormatFields {
    r#type: Option<String>,
    subject_token_field_name: Option<String>,
}

impl Format {
    /// Reads `format` of a `credential_source`. Defaults to plain text.
    pub(crate) fn from_object(source: &JsonObject<'_>) -> Result<Self, Error> {
        let Some(format) = source.field::<Option<FormatFields>>("format")? else {
            return Ok(Self::Text);
        };
        let location = source.location.part("format");
        match (format.r#type.as_deref(), format.subject_token_field_name) {
            (None | Some("text"), _) => Ok(Self::Text),
            (Some("json"), Some(field)) => Ok(Self::Json(field)),
            (Some("json"), None) => {
                Err(location.invalid_field("subject_token_field_name", "is missing"))
            }
            (Some(other), _) => Err(location.invalid_field(
                "type",
                format_args!("is {:?}, and must be text or json", clipped(other)),
            )),
        }
    }

    /// Returns whether a response is a web page. `has_html_type` is what its content type says.
    pub(crate) fn is_html(&self, text: &str, has_html_type: bool) -> bool {
        let looks_like_token = is_json(text) || is_jwt(text.trim().trim_matches('"'));
        is_html(text) || has_html_type && !looks_like_token
    }

    /// Extracts the token from text.
    pub(crate) fn token(&self, text: &str, location: &Location) -> Result<SecretString, Error> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(location.invalid("it is empty, not a subject token"));
        }
        if is_html(text) {
            return Err(location.invalid("it is HTML, not a subject token"));
        }
        // Some services write a token as a JSON string, or alone in spite of the format.
        let unquoted = text.trim_matches('"');
        match self {
            _ if is_jwt(unquoted) => Ok(SecretString::from(unquoted)),
            Self::Text if is_json(text) => Err(location
                .invalid("it is JSON, but `format` is text")
                .with_remedy(Remedy::new(
                    "Set `format` to {\"type\": \"json\", \"subject_token_field_name\": \"NAME\"}, with the name of the field that contains the token, such as access_token or id_token.",
                ))),
            Self::Text => Ok(SecretString::from(text)),
            Self::Json(field) => {
                let object = JsonObject::parse(text, location)?;
                object.field(field).map_err(|error| {
                    let names: Vec<_> = object.names().take(8).map(clipped).collect();
                    error.with_remedy(Remedy::new(format!(
                        "Set `subject_token_field_name` to the field that contains the token. There are: {}.",
                        names.join(", ")
                    )))
                })
            }
        }
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Whether the text has the form of a JWT (RFC 7519): three parts in base64url, of which the first is
/// JSON.
fn is_jwt(text: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_part)
}

/// Whether the text is a web page, and not a SAML assertion.
fn is_html(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('<') && !text.starts_with("<saml") && !text.starts_with("<?xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln-_";

    #[test]
    fn token_is_found_in_text_and_json() {
        let json = || Format::Json("id_token".into());
        for (format, text, token) in [
            (Format::Text, format!(" {JWT}\r\n"), Some(JWT)),
            (Format::Text, format!("\u{feff}{JWT}"), Some(JWT)),
            (Format::Text, format!("\"{JWT}\""), Some(JWT)),
            (Format::Text, "opaque".into(), Some("opaque")),
            (
                Format::Text,
                "<saml2:Assertion/>".into(),
                Some("<saml2:Assertion/>"),
            ),
            (Format::Text, format!(r#"{{"id_token": "{JWT}"}}"#), None),
            (Format::Text, "<html>".into(), None),
            (Format::Text, " ".into(), None),
            (json(), format!(r#"{{"id_token": "{JWT}"}}"#), Some(JWT)),
            (json(), JWT.into(), Some(JWT)),
            (json(), "opaque".into(), None),
            (json(), r#"{"token": "x"}"#.into(), None),
        ] {
            let found = format.token(&text, &Location::InMemory).ok();
            assert_eq!(
                found.as_ref().map(SecretString::expose_secret),
                token,
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_token_may_have_the_type_of_a_web_page() {
        for (text, has_html_type, expected) in [
            (JWT, true, false),
            (r#"{"id_token": "x"}"#, true, false),
            ("please log in", true, true),
            ("opaque", false, false),
            ("<html>", false, true),
            ("<!DOCTYPE html>", true, true),
            ("eyJ.x.y z", true, true),
        ] {
            assert_eq!(
                Format::Text.is_html(text, has_html_type),
                expected,
                "{text}"
            );
        }
    }
}
