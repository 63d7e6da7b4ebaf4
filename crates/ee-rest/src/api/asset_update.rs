//! The changes of an update of an asset.

use ee_token::internal::Quoted;
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::request::finite::to_value;

/// The changes for [`Assets::update`](crate::Assets::update).
#[derive(Debug, Clone, Default)]
pub struct AssetUpdate {
    asset: Map<String, Value>,
    update_mask: FieldMask,
    /// The first validation error.
    error: Option<Error>,
}

/// Serializes to the API's request. Fails if a value of the update is invalid.
impl Serialize for AssetUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(error) = &self.error {
            return Err(S::Error::custom(error));
        }
        let mut update = serializer.serialize_struct("AssetUpdate", 2)?;
        update.serialize_field("asset", &self.asset)?;
        update.serialize_field("updateMask", &self.update_mask)?;
        update.end()
    }
}

/// The changed fields, as a list: one string with commas would be split within names.
#[derive(Debug, Clone, Default, Serialize)]
struct FieldMask {
    paths: Vec<String>,
}

impl AssetUpdate {
    /// Creates an empty update.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property, or removes it if the value is null (`()`, for example). Other properties are
    /// unchanged. A number that is not finite is an error.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Serialize) -> Self {
        let value = match to_value(&format!("the property {}", Quoted(name)), value) {
            Ok(value) => value,
            Err(error) => {
                self.error.get_or_insert(error);
                return self;
            }
        };
        let properties = self.asset.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            match value {
                Value::Null => properties.remove(name),
                value => properties.insert(name.to_owned(), value),
            };
        }
        // Quoted, because names may contain dots.
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        self.changes(format!("properties.\"{quoted}\""))
    }

    /// Sets the start of the time range that the asset covers (RFC 3339).
    #[must_use]
    pub fn start_time(self, time: &str) -> Self {
        self.field("startTime", "start_time", time)
    }

    /// Sets the end of the time range that the asset covers (RFC 3339).
    #[must_use]
    pub fn end_time(self, time: &str) -> Self {
        self.field("endTime", "end_time", time)
    }

    /// Removes the start of the time range.
    #[must_use]
    pub fn without_start_time(self) -> Self {
        self.field("startTime", "start_time", None)
    }

    /// Removes the end of the time range.
    #[must_use]
    pub fn without_end_time(self) -> Self {
        self.field("endTime", "end_time", None)
    }

    /// Renames the bands of an image, in their order. There must be one name for each band.
    #[must_use]
    pub fn band_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let bands = names.into_iter().map(|name| json!({"id": name.into()}));
        self.asset.insert("bands".to_owned(), bands.collect());
        self.changes("bands".to_owned())
    }

    fn field<'a>(mut self, name: &str, mask: &str, value: impl Into<Option<&'a str>>) -> Self {
        let value = value.into();
        if let Some(time) = value.filter(|time| !is_rfc3339(time)) {
            self.error.get_or_insert(Error::invalid_request(
                format!("{} is not a time of RFC 3339", Quoted(time)),
                "Use a time such as 2026-01-31T12:00:00Z.",
            ));
        }
        match value {
            Some(value) => self.asset.insert(name.to_owned(), json!(value)),
            None => self.asset.remove(name),
        };
        self.changes(mask.to_owned())
    }

    fn changes(mut self, path: String) -> Self {
        let paths = &mut self.update_mask.paths;
        if !paths.contains(&path) {
            paths.push(path);
        }
        self
    }

    /// Checks the update of the asset `id`. The server would interpret an empty one as replacing the
    /// whole asset.
    pub(crate) fn validate(&self, id: &str) -> Result<(), Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.update_mask.paths.is_empty() {
            return Err(Error::invalid_request(
                format!("the update of the asset {id:?} is empty"),
                "Set at least one property, the start time, the end time or the names of bands.",
            ));
        }
        Ok(())
    }
}

/// Returns whether a text has the form of a time of RFC 3339.
fn is_rfc3339(text: &str) -> bool {
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let form: String = text.chars().map(digits).collect();
    let Some(rest) = form.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = match rest.strip_prefix(".0") {
        Some(fraction) => fraction.trim_start_matches('0'),
        None => rest,
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_value_of_an_updated_property_wins() {
        let update = AssetUpdate::new()
            .property("a", 1)
            .property("b", ())
            .property("a", ())
            .property("b", 2)
            .start_time("2023-01-01T00:00:00Z")
            .start_time("2024-01-01T00:00:00Z")
            .band_names(["red", "green"]);
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({
                "asset": {
                    "properties": {"b": 2},
                    "startTime": "2024-01-01T00:00:00Z",
                    "bands": [{"id": "red"}, {"id": "green"}],
                },
                "updateMask": {"paths": ["properties.\"a\"", "properties.\"b\"", "start_time", "bands"]},
            })
        );
    }

    #[test]
    fn property_that_is_not_finite_does_not_become_null() {
        // Null would remove the property.
        for update in [
            AssetUpdate::new().property("a", f64::NAN),
            AssetUpdate::new().property("a", [1.0, f64::INFINITY]),
            AssetUpdate::new().property("a", f32::NAN).property("b", 1),
            AssetUpdate::new().start_time("a"),
        ] {
            let error = update.error.as_ref().unwrap();
            assert!(error.to_string().contains("\"a\""), "{error}");
            assert!(serde_json::to_value(&update).is_err());
        }
    }

    #[test]
    fn times_have_the_form_of_rfc_3339() {
        for (text, is_time) in [
            ("2026-01-31T12:00:00Z", true),
            ("2026-01-31T12:00:00.123456789Z", true),
            ("2026-01-31T12:00:00+01:00", true),
            ("2026-01-31T12:00:00.5-10:30", true),
            ("2026-01-31", false),
            ("2026-01-31T12:00:00", false),
            ("2026-01-31T12:00:00.Z", false),
            ("2026-01-31 12:00:00Z", false),
            ("1767225600000", false),
            ("", false),
        ] {
            assert_eq!(is_rfc3339(text), is_time, "{text}");
        }
    }

    #[test]
    fn removed_time_is_masked_without_a_value() {
        let update = AssetUpdate::new()
            .start_time("2024-01-01T00:00:00Z")
            .without_start_time()
            .without_end_time();
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({"asset": {}, "updateMask": {"paths": ["start_time", "end_time"]}})
        );
    }

    #[test]
    fn update_mask_names_each_changed_property() {
        let update = AssetUpdate::new()
            .property("a.b, c", 1)
            .property("gone", ())
            .property("q\"", "x")
            .start_time("2024-01-01T00:00:00Z");
        assert_eq!(
            serde_json::to_value(&update).unwrap(),
            json!({
                "asset": {"properties": {"a.b, c": 1, "q\"": "x"}, "startTime": "2024-01-01T00:00:00Z"},
                "updateMask": {"paths": [
                    "properties.\"a.b, c\"",
                    "properties.\"gone\"",
                    "properties.\"q\\\"\"",
                    "start_time",
                ]},
            })
        );
    }
}
