//! A credential's JSON: its fields, checked and named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::Chars;

use ee_token::{SecretString, is_unsafe_for_display, sanitize_message};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::Error;
use crate::input::location::Location;
use crate::input::misplaced::{self, MisplacedInput};
use crate::input::path_setting::PathSetting;

/// As deep as serde_json goes.
const MAX_DEPTH: usize = 128;
/// Bytes of a name, a path or a URL: half of what Linux lets a path have.
const LONGEST_TEXT: usize = 2048;

/// A JSON object that stands somewhere. All its texts are treated as secrets: they are
/// overwritten when they are dropped, and no error quotes them.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) location: Location,
    fields: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    /// A number as it would be written.
    Number(String),
    Text(SecretString),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Document {
    /// Reads a JSON object; anything else is named for what it is.
    pub(crate) fn parse(text: &str, location: &Location) -> Result<Self, Error> {
        if let Some(found) = MisplacedInput::identify(text) {
            return Err(found.into_error(location));
        }
        // serde's own messages can quote the text, so only its position is used.
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|error| misplaced::broken_json(location, &error))?;
        match Value::read(raw, MAX_DEPTH) {
            Some(Value::Object(fields)) => Ok(Self {
                location: location.clone(),
                fields,
            }),
            Some(_) => Err(MisplacedInput::Array.into_error(location)),
            None => Err(misplaced::strange_json(location)),
        }
    }

    /// Whether the field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        !matches!(self.fields.get(name), None | Some(Value::Null))
    }

    fn secret_field(&self, name: &str) -> Result<Option<&SecretString>, Error> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self
                .location
                .invalid_field(name, format_args!("is {}, and must be text", other.noun()))),
        }
    }

    /// A text of at most [`LONGEST_TEXT`]; `None` if it is missing, `null` or blank. Names are shown to people: nothing in
    /// them may steer a terminal, and a key has no place there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let text = self.secret_field(name)?.map(|s| s.expose_secret().trim());
        let text = text.filter(|text| !text.is_empty());
        let Some(text) = text else {
            return Ok(None);
        };
        if text.contains(is_unsafe_for_display) {
            return Err(self.location.invalid_field(
                name,
                "has characters that steer a terminal or cannot be seen",
            ));
        }
        if text.len() > LONGEST_TEXT {
            return Err(self.location.invalid_field(
                name,
                format_args!(
                    "has {} bytes, and no more than {LONGEST_TEXT} make sense",
                    text.len()
                ),
            ));
        }
        Ok(Some(text))
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<&str, Error> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None => Err(self.absent(name)),
        }
    }

    /// The path of a file; `None` if it is missing, `null` or blank. A text that cannot be a path
    /// is named for what it is: a key, for example.
    pub(crate) fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        if let Some(text) = self.secret_field(name)? {
            let text = text.expose_secret().trim();
            PathSetting::Field(&self.location, name).check(Path::new(text))?;
        }
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// A path that must be there.
    pub(crate) fn required_path(&self, name: &str) -> Result<PathBuf, Error> {
        self.path(name)?.ok_or_else(|| self.absent(name))
    }

    fn absent(&self, name: &str) -> Error {
        let why = if self.has(name) {
            "is empty"
        } else {
            "is missing"
        };
        self.location.invalid_field(name, why)
    }

    /// What somebody says in a text that must be there, as a message may quote it.
    pub(crate) fn required_sentence(&self, name: &str) -> Result<String, Error> {
        let text = self.secret_field(name)?;
        let text = text.map(|text| sanitize_message(text.expose_secret().trim(), &[]));
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => self.required_text(name).map(str::to_owned),
        }
    }

    /// A secret text; `None` if it is missing, `null` or blank. It is shown to nobody, and a
    /// key has line ends.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretString>, Error> {
        let text = self.secret_field(name)?.map(|s| s.expose_secret().trim());
        Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
    }

    /// A secret text that must be there.
    pub(crate) fn required_secret(&self, name: &str) -> Result<SecretString, Error> {
        match self.secret(name)? {
            Some(text) => Ok(text),
            None => Err(self.absent(name)),
        }
    }

    /// A project: an id as text, or a number, which people write without quotes too.
    pub(crate) fn project(&self, name: &str) -> Result<Option<String>, Error> {
        if let Some(Value::Number(number)) = self.fields.get(name) {
            if !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(self.location.invalid_field(
                    name,
                    "is a number that no project has: projects have whole ones",
                ));
            }
            return Ok(Some(number.clone()));
        }
        Ok(self.text(name)?.map(str::to_owned))
    }

    /// A credential inside of this one, which must be there.
    pub(crate) fn required_part(&self, name: &'static str) -> Result<Self, Error> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Err(self.location.invalid_field(name, "is missing")),
            Some(Value::Object(fields)) => Ok(Self {
                location: Location::Part {
                    whole: Box::new(self.location.clone()),
                    field: name,
                },
                fields: fields.clone(),
            }),
            Some(other) => Err(self.location.invalid_field(
                name,
                format_args!("is {}, and must be an object", other.noun()),
            )),
        }
    }

    /// An object inside of this one; `None` if it is missing or `null`.
    pub(crate) fn part(&self, name: &'static str) -> Result<Option<Self>, Error> {
        self.has(name).then(|| self.required_part(name)).transpose()
    }

    /// True or false; `None` if it is missing or `null`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(*yes)),
            Some(other) => Err(self.location.invalid_field(
                name,
                format_args!("is {}, and must be true or false", other.noun()),
            )),
        }
    }

    /// A whole number that is not negative; `None` if it is missing or `null`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let wrong = |what: &str| {
            self.location
                .invalid_field(name, format_args!("is {what}, and must be a whole number"))
        };
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => number.parse().map(Some).map_err(|_| wrong(number)),
            Some(other) => Err(wrong(other.noun())),
        }
    }

    /// The names of its fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// A list of texts; `None` if it is missing or `null`.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, Error> {
        let wrong = |noun| {
            self.location
                .invalid_field(name, format_args!("is {noun}, and must be a list of texts"))
        };
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::List(items)) => items
                .iter()
                .map(|item| match item {
                    Value::Text(text) if text.expose_secret().contains(is_unsafe_for_display) => {
                        Err(self.location.invalid_field(
                            name,
                            "has characters that steer a terminal or cannot be seen",
                        ))
                    }
                    Value::Text(text) => Ok(text.expose_secret()),
                    _ => Err(wrong("a list of other things")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(other.noun())),
        }
    }
}

impl Value {
    fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Value {
    /// Reads a value that is known to be JSON. serde_json reads texts with escapes, as every
    /// private key is, into a buffer that it does not overwrite; so it only finds where they are.
    fn read(raw: &RawValue, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let text = raw.get();
        Some(match text.bytes().next()? {
            b'"' => Self::Text(unescaped(text)?),
            b'{' => {
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                let read = |(name, raw)| Some((name, Self::read(raw, depth)?));
                Self::Object(fields.into_iter().map(read).collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let read = |raw| Self::read(raw, depth);
                Self::List(items.into_iter().map(read).collect::<Option<_>>()?)
            }
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'n' => Self::Null,
            _ => Self::Number(match text.parse::<i128>() {
                Ok(whole) => whole.to_string(),
                Err(_) => text.parse::<f64>().ok()?.to_string(),
            }),
        })
    }
}

/// A JSON text between its quotation marks, with its escapes (RFC 8259 §7) read.
fn unescaped(quoted: &str) -> Option<SecretString> {
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    // No escape is shorter than what it stands for, so that this never grows.
    let mut out = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = after.chars();
        out.push(match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = code_unit(&mut chars)?;
                let mut units = vec![first];
                if (0xd800..0xdc00).contains(&first) {
                    chars = chars.as_str().strip_prefix("\\u")?.chars();
                    units.push(code_unit(&mut chars)?);
                }
                char::decode_utf16(units).next()?.ok()?
            }
            same => same,
        });
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(SecretString::from(out.as_str()))
}

/// The four hexadecimal digits after `\u`.
fn code_unit(chars: &mut Chars<'_>) -> Option<u16> {
    let text = chars.as_str();
    let unit = u16::from_str_radix(text.get(..4)?, 16).ok()?;
    *chars = text.get(4..)?.chars();
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text, &Location::Variable("X")).unwrap()
    }

    #[test]
    fn a_field_is_missing_empty_or_of_the_wrong_type_and_the_error_says_which() {
        let document = document(
            r#"{"a": "canary", "n": null, "e": " ", "i": 7, "l": ["canary"], "m": {"x": 1}, "b": true}"#,
        );
        assert_eq!(document.required_text("a").unwrap(), "canary");
        for (name, why) in [
            ("z", "the field `z` is missing"),
            ("n", "the field `n` is missing"),
            ("e", "the field `e` is empty"),
            ("i", "the field `i` is a number, and must be text"),
            ("l", "the field `l` is a list, and must be text"),
            ("m", "the field `m` is an object, and must be text"),
            ("b", "the field `b` is true or false, and must be text"),
        ] {
            let error = document.required_secret(name).unwrap_err();
            assert_eq!(error.to_string(), format!("the variable X: {why}"));
        }
        assert_eq!(document.text("e").unwrap(), None);
        assert_eq!(document.texts("l").unwrap(), Some(vec!["canary"]));
        assert!(document.texts("a").is_err());
        assert_eq!(document.project("i").unwrap().as_deref(), Some("7"));
        assert!(!format!("{document:?}").contains("canary"));
    }

    #[test]
    fn escapes_are_read_and_those_that_are_no_character_refused() {
        let text = r#"{"a": "\"\\\/\b\f\n\r\t\u00e4\ud83c\udf0d ä", "b": 1.50, "c": [-3]}"#;
        let read = document(text);
        let all = "\"\\/\u{8}\u{c}\n\r\tä\u{1f30d} ä";
        let secret = read.required_secret("a").unwrap();
        assert_eq!(secret.expose_secret(), all);
        let error = read.number("b").unwrap_err().to_string();
        assert!(error.contains("is 1.5"), "{error}");
        for text in [
            r#"{"a": "\ud83c"}"#,
            r#"{"a": "\udf0d"}"#,
            r#"{"a": "\ud83c\u0041"}"#,
        ] {
            let error = Document::parse(text, &Location::InMemory).unwrap_err();
            assert!(error.to_string().contains("no character"), "{error}");
        }
    }

    #[test]
    fn a_text_longer_than_any_name_or_path_is_refused_and_not_quoted() {
        let text = "x".repeat(LONGEST_TEXT);
        let whole = document(&format!(r#"{{"a": "{text}"}}"#));
        assert_eq!(whole.text("a").unwrap(), Some(text.as_str()));
        let error = document(&format!(r#"{{"a": "{text}x"}}"#));
        let error = error.text("a").unwrap_err().to_string();
        assert!(error.contains("`a` has 2049 bytes"), "{error}");
        assert!(!error.contains("xx"), "{error}");
    }

    #[test]
    fn a_field_of_any_name_is_named_in_an_error_that_steers_no_terminal_and_ends() {
        let name = format!("{}{}", r"\u001b[2J", "x".repeat(5000));
        let part = document(&format!(r#"{{"{name}": {{}}}}"#));
        let name = part.names().next().unwrap().to_owned();
        let error = part.text(&name).unwrap_err().to_string();
        assert!(error.contains("is an object, and must be text"), "{error}");
        assert!(!error.contains('\u{1b}') && error.len() < 300, "{error}");
    }

    #[test]
    fn a_text_that_steers_a_terminal_is_refused_and_not_quoted() {
        let document = document(
            r#"{"a": "x\u001b[2J", "l": ["\u0007"], "k": "a\n\tb", "r": "a\rb", "turns": "a\u202eb", "hides": ["a\u200bb"]}"#,
        );
        let error = document.text("a").unwrap_err().to_string();
        assert_eq!(
            error,
            "the variable X: the field `a` has characters that steer a terminal or cannot be seen"
        );
        assert!(document.texts("l").is_err());
        // Neither invisible nor turned round.
        assert!(document.text("turns").is_err() && document.texts("hides").is_err());
        // Only keys have lines.
        assert!(document.text("k").is_err());
        let key = document.secret("k").unwrap().unwrap();
        assert_eq!(key.expose_secret(), "a\n\tb");
        // Back to where the line began, or another name than is seen.
        assert!(document.text("r").is_err());
        assert!(document.project("k").is_err());
    }

    #[test]
    fn a_number_that_no_project_has_is_refused() {
        for number in ["1e999", "-1", "1.5"] {
            let read = document(&format!(r#"{{"p": {number}}}"#));
            assert!(read.project("p").is_err(), "{number}");
        }
        let read = document(r#"{"p": 1e3}"#);
        assert_eq!(read.project("p").unwrap().as_deref(), Some("1000"));
    }

    #[test]
    fn of_two_fields_of_one_name_the_last_counts() {
        assert_eq!(
            document(r#"{"a": "x", "a": "y"}"#).text("a").unwrap(),
            Some("y")
        );
    }

    #[test]
    fn json_that_breaks_off_or_nests_without_end_is_an_error_without_quotes() {
        for text in [
            r#"{"private_key": "canary"#,
            r#"{"a": canary}"#,
            r#"{"a": 1} canary"#,
            &format!("{{\"a\": {}", "[".repeat(100_000)),
            r#"{"a": "canary\ud807"}"#,
        ] {
            let error = Document::parse(text, &Location::InMemory).unwrap_err();
            assert!(error.to_string().contains("JSON"), "{error}");
            assert!(error.remedy().is_some(), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_what_serde_json_makes_of_it(text in "(?s).{0,60}") {
            let quoted = serde_json::to_string(&text).unwrap();
            assert_eq!(unescaped(&quoted).unwrap().expose_secret(), text);
        }

        #[test]
        fn escapes_are_what_serde_json_makes_of_them(
            units in proptest::collection::vec(proptest::prop_oneof![
                proptest::num::u16::ANY,
                // Halves of pairs.
                0xd7f0_u16..0xe010,
            ], 0..12),
            plain in "[a-z ä]{0,3}",
        ) {
            let escaped = |unit: &u16| format!("\\u{unit:04x}{plain}");
            let quoted = format!("\"{}\"", units.iter().map(escaped).collect::<String>());
            let theirs = serde_json::from_str::<String>(&quoted).ok();
            let ours = unescaped(&quoted);
            assert_eq!(ours.as_ref().map(|text| text.expose_secret()), theirs.as_deref());
        }
    }
}
