//! Reading the JSON of a credential into typed structures.
//!
//! Each kind of file is a `#[derive(Deserialize)]` structure, read by [`JsonObject::read`]. Fields
//! have these types:
//!
//! - `String`: text that messages may quote, at most [`MAX_TEXT`] bytes, without control or
//!   invisible characters
//! - [`SecretString`](ee_token::SecretString): any text
//! - [`FilePath`], [`ProjectId`], lists of text, and structures of these
//! - `bool`, `u64` and `f64`: also written as text, as some programs do
//!
//! Text is trimmed. `null` and, in an optional field, blank text count as missing. The last of
//! several fields of one name counts.
//!
//! serde_json only finds where the values are ([`RawValue`]). Its own deserializer copies a string
//! with escapes, such as a private key, into a buffer that it does not overwrite, and its error
//! messages can quote the text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::Chars;

use ee_token::internal::is_unsafe_for_display;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::Error;
use crate::input::location::Location;
use crate::input::misplaced::{self, MisplacedInput};
use crate::input::path_setting::{self, NotAPath, PathSetting};
use crate::input::quote::clipped;

/// Bytes of the longest name, path or URL: half of `PATH_MAX` on Linux.
const MAX_TEXT: usize = 2048;

/// A JSON object and its location.
#[derive(Debug, Clone)]
pub(crate) struct JsonObject<'a> {
    pub(crate) location: Location,
    fields: BTreeMap<String, &'a RawValue>,
}

/// The path of a file. A key or another text that cannot be a path is rejected.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FilePath(String);

/// The command line of a program, in which `$` and quotation marks have a meaning. A key or another
/// text that cannot be one is rejected.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CommandLine(String);

/// A project: its ID as text, or its number, with or without quotation marks.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProjectId(String);

impl<'a> JsonObject<'a> {
    /// Parses a JSON object. The error for another text says what it is.
    pub(crate) fn parse(text: &'a str, location: &Location) -> Result<Self, Error> {
        if let Some(found) = MisplacedInput::identify(text) {
            return Err(found.into_error(location));
        }
        let fields = serde_json::from_str(text)
            .map_err(|error| misplaced::invalid_json(text, location, &error))?;
        Ok(Self {
            location: location.clone(),
            fields,
        })
    }

    /// Reads the fields of a structure.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        T::deserialize(MapAccessDeserializer::new(Fields::new(&self.fields)))
            .map_err(|error| error.at(&self.location))
    }

    /// Reads one field. A missing one is read as `None` or is an error.
    pub(crate) fn field<T: Deserialize<'a>>(&self, name: &str) -> Result<T, Error> {
        T::deserialize(self.value(name)).map_err(|error| error.within(name).at(&self.location))
    }

    /// Reads an object inside this one.
    pub(crate) fn object(&self, name: &str) -> Result<Self, Error> {
        let fields = self.value(name).fields();
        Ok(Self {
            fields: fields.map_err(|error| error.within(name).at(&self.location))?,
            location: self.location.part(name),
        })
    }

    /// Returns the field `type`.
    pub(crate) fn kind(&self) -> Result<Option<String>, Error> {
        self.field("type")
    }

    /// Whether the object contains the field and it is not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).json != "null"
    }

    /// Returns the names of the fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    fn value(&self, name: &str) -> Value<'a> {
        Value {
            json: self.fields.get(name).map_or("null", |raw| raw.get()),
            is_item: false,
        }
    }
}

impl CommandLine {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl From<FilePath> for PathBuf {
    fn from(path: FilePath) -> Self {
        path.0.into()
    }
}

impl ProjectId {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A JSON value, and the deserializer that reads it.
#[derive(Clone, Copy)]
struct Value<'a> {
    json: &'a str,
    /// Whether it is an item of a list, which may be blank.
    is_item: bool,
}

impl<'a> Value<'a> {
    fn noun(self) -> &'static str {
        match self.json.bytes().next() {
            Some(b'"') => "text",
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "true or false",
            _ => "a number",
        }
    }

    fn is_number(self) -> bool {
        self.json
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// Returns the number, which may be written as text.
    fn number(self, expected: &str) -> Result<f64, FieldError> {
        let text = self.json.trim_matches('"').trim();
        let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number.ok_or_else(|| self.unexpected(expected))
    }

    /// The error for a value that is not `expected`.
    fn unexpected(self, expected: &str) -> FieldError {
        match self.json {
            "null" => FieldError::custom("is missing"),
            _ => FieldError::custom(format_args!("is {}, and must be {expected}", self.noun())),
        }
    }

    fn fields(self) -> Result<BTreeMap<String, &'a RawValue>, FieldError> {
        serde_json::from_str(self.json).map_err(|_| self.unexpected("an object"))
    }

    /// Returns the text, which may be secret.
    fn text(self) -> Result<Zeroizing<String>, FieldError> {
        if !self.json.starts_with('"') {
            return Err(self.unexpected("text"));
        }
        let text = unescaped(self.json)
            .ok_or_else(|| FieldError::custom("has an escape that is not a character"))?;
        if text.trim().is_empty() && !self.is_item {
            return Err(FieldError::custom("is empty"));
        }
        Ok(text)
    }

    /// Returns text that messages may quote.
    fn printable_text(self) -> Result<Zeroizing<String>, FieldError> {
        let text = self.text()?;
        let trimmed = text.trim();
        if trimmed.contains(is_unsafe_for_display) {
            return Err(FieldError::custom(
                "contains control or invisible characters",
            ));
        }
        if trimmed.len() > MAX_TEXT {
            return Err(FieldError::custom(format_args!(
                "has {} bytes, and the limit is {MAX_TEXT}",
                trimmed.len()
            )));
        }
        Ok(text)
    }

    /// Returns the digits of a number.
    fn project_number(self) -> Result<String, FieldError> {
        let number = match self.json.parse::<u128>() {
            Ok(number) => number.to_string(),
            Err(_) => self.json.parse::<f64>().unwrap_or_default().to_string(),
        };
        match number.bytes().all(|b| b.is_ascii_digit()) {
            true => Ok(number),
            false => Err(FieldError::custom(
                "is not a project number, which is a positive integer",
            )),
        }
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = FieldError;

    /// Reads a `SecretString`, which asks for a string that it does not keep.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_str(self.text()?.trim())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_str(self.printable_text()?.trim())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.json.trim_matches('"') {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.unexpected("true or false")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let number = self.number("a whole number")?;
        // Exact below 2^53, which is more than any number of seconds.
        match (0.0..9e15).contains(&number) && number.fract() == 0.0 {
            true => visitor.visit_u64(number as u64),
            false => Err(FieldError::custom(format_args!(
                "is {}, and must be a whole number",
                clipped(self.json)
            ))),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_f64(self.number("a number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let is_blank = || {
            self.json.starts_with('"') && unescaped(self.json).is_some_and(|t| t.trim().is_empty())
        };
        match self.json == "null" || is_blank() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let items: Vec<&RawValue> =
            serde_json::from_str(self.json).map_err(|_| self.unexpected("a list of texts"))?;
        if !items.iter().all(|item| item.get().starts_with('"')) {
            return Err(FieldError::custom(
                "is a list of other things, and must be a list of texts",
            ));
        }
        let items = items.into_iter().map(|item| Value {
            json: item.get(),
            is_item: true,
        });
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_map(Fields::new(&self.fields()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match name {
            "FilePath" | "CommandLine" => {
                let text = self.text()?;
                let found = match name {
                    "CommandLine" => path_setting::identify(&text).map(NotAPath::Text),
                    _ => path_setting::not_a_path(text.trim().as_ref(), cfg!(windows)),
                };
                match found {
                    Some(found) => Err(FieldError {
                        why: Why::NotAPath(found),
                        path: Vec::new(),
                    }),
                    None => visitor.visit_newtype_struct(self),
                }
            }
            "ProjectId" if self.is_number() => {
                visitor.visit_newtype_struct(StringDeserializer::new(self.project_number()?))
            }
            // The name of the resource.
            "ProjectId" if self.json.starts_with("\"projects/") => {
                let text = self.printable_text()?;
                let id = text.trim().trim_start_matches("projects/").to_owned();
                visitor.visit_newtype_struct(StringDeserializer::new(id))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldError> {
        Err(FieldError::custom("cannot be read"))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct tuple
        tuple_struct map enum identifier
    }
}

impl<'de> IntoDeserializer<'de, FieldError> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The fields of an object, of which serde asks for one after the other.
struct Fields<'s, 'de> {
    rest: std::collections::btree_map::Iter<'s, String, &'de RawValue>,
    current: Option<(&'s str, &'de RawValue)>,
}

impl<'s, 'de> Fields<'s, 'de> {
    fn new(fields: &'s BTreeMap<String, &'de RawValue>) -> Self {
        Self {
            rest: fields.iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, FieldError> {
        self.current = self.rest.next().map(|(name, raw)| (name.as_str(), *raw));
        self.current
            .map(|(name, _)| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, FieldError> {
        let (name, json) = self
            .current
            .map_or(("", "null"), |(name, raw)| (name, raw.get()));
        let value = Value {
            json,
            is_item: false,
        };
        seed.deserialize(value).map_err(|error| error.within(name))
    }
}

/// Why a field cannot be used.
#[derive(Debug)]
struct FieldError {
    /// The names of the field and of the objects around it, from the inside out.
    path: Vec<String>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Text(String),
    NotAPath(NotAPath),
}

impl FieldError {
    fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    /// The error for the object at this location.
    fn at(self, location: &Location) -> Error {
        let mut path = self.path.iter().rev();
        let field = path.next_back().map_or("", String::as_str);
        let location = path.fold(location.clone(), |whole, name| whole.part(name));
        match self.why {
            Why::Text(why) => location.invalid_field(field, why),
            Why::NotAPath(found) => PathSetting::Field(&location, field).error(found),
        }
    }
}

impl serde::de::Error for FieldError {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self {
            path: Vec::new(),
            why: Why::Text(why.to_string()),
        }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::custom("is missing").within(name)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for FieldError {}

/// Returns the text of a JSON string with its escapes resolved (RFC 8259 §7).
pub(crate) fn unescaped(quoted: &str) -> Option<Zeroizing<String>> {
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    // No escape is shorter than its character, so this never grows.
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
    Some(out)
}

/// Returns the code unit of the four hexadecimal digits after `\u`.
fn code_unit(chars: &mut Chars<'_>) -> Option<u16> {
    let text = chars.as_str();
    let unit = u16::from_str_radix(text.get(..4)?, 16).ok()?;
    *chars = text.get(4..)?.chars();
    Some(unit)
}

#[cfg(test)]
mod tests;
