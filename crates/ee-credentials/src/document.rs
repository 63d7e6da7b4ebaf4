//! A JSON document whose fields are asked for by name, and whose errors name them.

use serde_json::{Map, Value};

use crate::{Error, ErrorKind};

/// A JSON object, and the place where it was found: a path or a variable.
pub(crate) struct Document {
    place: String,
    fields: Map<String, Value>,
}

impl Document {
    /// Reads a JSON object; anything else is named for what it is.
    pub(crate) fn parse(text: &str, place: &str) -> Result<Self, Error> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self { place: place.to_owned(), fields }),
            Ok(_) => Err(invalid(place, "holds JSON, but no JSON object")),
            // serde's message quotes no content, but the place in the text is worth telling.
            Err(error) => Err(invalid(
                place,
                &match text.trim_start().chars().next() {
                    None => "is empty".to_owned(),
                    Some('<') => "holds HTML, not JSON".to_owned(),
                    Some('{') => format!(
                        "is not valid JSON (line {}, column {}): it is cut off or was changed",
                        error.line(),
                        error.column()
                    ),
                    _ if text.contains("-----BEGIN") => {
                        "holds a PEM key alone, not JSON: give the e-mail address with it, or use the JSON key".to_owned()
                    }
                    Some('[') if text.contains('=') => "holds a configuration, not JSON".to_owned(),
                    _ => "is not JSON".to_owned(),
                },
            )),
        }
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A field that must be there, be text, and not be empty.
    pub(crate) fn text(&self, field: &str) -> Result<&str, Error> {
        self.optional(field)?
            .ok_or_else(|| match self.fields.get(field) {
                None | Some(Value::Null) => self.invalid(field, "is missing"),
                Some(_) => self.invalid(field, "is empty"),
            })
    }

    /// A field that may be missing, null or empty, but is text if it is there.
    pub(crate) fn optional(&self, field: &str) -> Result<Option<&str>, Error> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, "is not text")),
        }
    }

    /// An error about one field.
    pub(crate) fn invalid(&self, field: &str, what: &str) -> Error {
        invalid(
            &self.place,
            &format!("cannot be used: its field {field} {what}"),
        )
    }
}

/// An error about a whole document.
pub(crate) fn invalid(place: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidFile, format!("{place} {what}"))
}
