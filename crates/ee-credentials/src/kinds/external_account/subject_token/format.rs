//! How a subject token stands in a text: as all of it, or in a field of a JSON object.

use ee_token::SecretString;

use crate::Error;
use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::quote::clipped;

/// `format` of a file or URL source.
#[derive(Debug)]
pub(crate) enum Format {
    Text,
    /// In this field.
    Json(String),
}

impl Format {
    /// Reads `format` of a `credential_source`; without one the text is the token.
    pub(crate) fn from_document(source: &Document) -> Result<Self, Error> {
        let Some(format) = source.part("format")? else {
            return Ok(Self::Text);
        };
        match format.text("type")? {
            None | Some("text") => Ok(Self::Text),
            Some("json") => {
                let field = format.required_text("subject_token_field_name")?;
                Ok(Self::Json(field.to_owned()))
            }
            Some(other) => Err(format.location.invalid_field(
                "type",
                format_args!("is {:?}, and must be text or json", clipped(other)),
            )),
        }
    }

    /// Takes the token out of a text.
    pub(crate) fn token(&self, text: &str, location: &Location) -> Result<SecretString, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(location.invalid("it is empty, and should be a subject token"));
        }
        if is_html(text) {
            return Err(location.invalid("it is HTML, and should be a subject token"));
        }
        match self {
            Self::Text => Ok(SecretString::from(text)),
            Self::Json(field) => Document::parse(text, location)?.required_secret(field),
        }
    }
}

/// Whether a text is a page, and not a SAML assertion.
pub(crate) fn is_html(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('<') && !text.starts_with("<saml") && !text.starts_with("<?xml")
}
