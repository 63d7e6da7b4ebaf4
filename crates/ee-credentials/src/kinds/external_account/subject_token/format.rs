//! The format of a subject token: plain text, or a field of a JSON object.

use ee_token::SecretString;
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
        let looks_like_token = match self {
            Self::Text => is_jwt(text.trim()),
            Self::Json(_) => text.trim_start().starts_with('{'),
        };
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
        match self {
            Self::Text => Ok(SecretString::from(text)),
            Self::Json(field) => JsonObject::parse(text, location)?.field(field),
        }
    }
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
