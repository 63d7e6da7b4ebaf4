//! Placeholders in the texts of situations: `{name}`, or `{name|filter}` with one or more filters.
//!
//! | placeholder | value |
//! |---|---|
//! | `{home}`, `{outside}` | the home directory, and another one |
//! | `{emulator}` | the emulator's `ADDRESS:PORT` |
//! | `{key}`, `{pem}` | a service account key (JSON), and the private key in it |
//! | `{login}`, `{earthengine_login}` | a user's files of gcloud and Earth Engine (JSON) |
//! | `{refresh_token}` | the refresh token in the latter |
//! | `{jwt}`, `{expired_jwt}` | a subject token that the identity pool accepts, and one that has expired |
//! | `{aws_key_id}`, `{aws_secret}`, `{aws_token}` | an AWS key that the identity pool accepts |
//!
//! | filter | text |
//! |---|---|
//! | `base64`, `wrapped` | base64 on one line, and in lines of 76 characters |
//! | `json` | a JSON string |
//! | `unescaped` | `\n` replaced with line breaks |

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub(crate) struct Placeholders(pub(crate) BTreeMap<&'static str, String>);

impl Placeholders {
    pub(crate) fn fill(&self, text: &mut String) {
        for (name, value) in &self.0 {
            *text = text.replace(&format!("{{{name}}}"), value);
            while let Some((start, rest)) = text.split_once(&format!("{{{name}|"))
                && let Some((filters, end)) = rest.split_once('}')
            {
                let value = filters.split('|').fold(value.clone(), filtered);
                *text = format!("{start}{value}{end}");
            }
        }
    }

    pub(crate) fn fill_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.fill(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill_value(field)),
            _ => {}
        }
    }
}

fn filtered(text: String, filter: &str) -> String {
    match filter {
        "base64" => STANDARD.encode(text),
        "wrapped" => {
            let encoded = STANDARD.encode(text).into_bytes();
            let lines = encoded.chunks(76).map(String::from_utf8_lossy);
            lines.map(|line| line.into_owned() + "\n").collect()
        }
        "json" => Value::String(text).to_string(),
        "unescaped" => text.replace("\\n", "\n"),
        other => panic!("no filter {other}"),
    }
}
