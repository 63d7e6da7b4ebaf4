//! Fields of responses that are read one by one: an unexpected value is kept as it is and does not
//! fail the whole response.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Reads a field whose default is also sent as null.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The fields of a JSON object. Any other JSON value has none.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        })
    }
}

impl Fields {
    /// Removes and returns a field, or its default if it is missing or null. A value of another
    /// type remains.
    pub(crate) fn take<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.0.get(name).map(T::deserialize) {
            Some(Ok(value)) => {
                self.0.remove(name);
                value
            }
            _ => T::default(),
        }
    }

    /// Removes and returns an integer. The API sends those of 64 bits as text.
    pub(crate) fn take_integer<T: TryFrom<i64>>(&mut self, name: &str) -> Option<T> {
        let integer: i64 = match self.0.get(name)? {
            Value::String(text) => text.parse().ok()?,
            value => value.as_i64()?,
        };
        let integer = T::try_from(integer).ok()?;
        self.0.remove(name);
        Some(integer)
    }

    /// Removes and returns a number, which the API may send as text.
    pub(crate) fn take_number(&mut self, name: &str) -> Option<f64> {
        let number = match self.0.get(name)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        let number = number.filter(|number: &f64| number.is_finite())?;
        self.0.remove(name);
        Some(number)
    }

    /// Removes and returns the items of a list that have the expected form. If there are others, the
    /// list remains.
    pub(crate) fn take_list<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let Some(Value::Array(all)) = self.0.get(name) else {
            return Vec::new();
        };
        let items: Vec<T> = all
            .iter()
            .filter_map(|item| T::deserialize(item).ok())
            .collect();
        if items.len() == all.len() {
            self.0.remove(name);
        }
        items
    }

    /// Returns the remaining fields.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

/// A JSON object made of the fields that were read, the inverse of [`Fields`].
#[derive(Debug)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Starts with the fields that were not read.
    pub(crate) fn new(rest: &Map<String, Value>) -> Self {
        Self(rest.clone())
    }

    /// Adds a field. Empty values are omitted, as in Google's responses, and a field that kept an
    /// unexpected value is unchanged.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        let is_empty = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    pub(crate) fn serialize<S: serde::Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
