//! The keys of the file, each with its value as it was written: what is not ours to know is
//! kept to the letter.

use std::collections::BTreeMap;

use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde_json::value::RawValue;

/// A JSON object whose values stay text. All of it is overwritten when it is dropped.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, Zeroizing<String>>);

impl Fields {
    /// Reads an object; of two values of one name the last counts. `None` if it is no object.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let values: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let owned = values
            .into_iter()
            .map(|(name, value)| (name, Zeroizing::new(value.get().to_owned())));
        Some(Self(owned.collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&mut self, name: &str, value: impl Serialize) {
        // Texts and lists of texts, which is all that is set, have a JSON form.
        if let Ok(json) = serde_json::to_string(&value) {
            self.0.insert(name.to_owned(), Zeroizing::new(json));
        }
    }

    /// Removes a key, and says whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Whether there is a value that is more than `null` and `""`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|json| !matches!(json.trim(), "null" | "\"\""))
    }

    /// The object as JSON, one key a line.
    pub(super) fn to_json(&self) -> Zeroizing<String> {
        let length: usize = self.0.iter().map(|(k, v)| k.len() + v.len() + 16).sum();
        // All the room at once: what a growing text leaves behind is not overwritten.
        let mut text = Zeroizing::new(String::with_capacity(2 * length + 8));
        text.push('{');
        for (i, (name, value)) in self.0.iter().enumerate() {
            text.push_str(if i == 0 { "\n  " } else { ",\n  " });
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push_str(": ");
            text.push_str(value);
        }
        text.push_str("\n}\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_to_the_letter() {
        let text = r#"{"b": 1.50, "big": 123456789012345678901234567890, "a": {"x": [ 1, null ]}, "ä\"": "\u00e9"}"#;
        let mut fields = Fields::parse(text).unwrap();
        fields.set("project", "p");
        assert!(fields.remove("b") && !fields.remove("b"));
        let written = fields.to_json();
        for part in [
            "123456789012345678901234567890",
            r#""a": {"x": [ 1, null ]}"#,
            r#""ä\"": "\u00e9""#,
            r#""project": "p""#,
        ] {
            assert!(written.contains(part), "{}", *written);
        }
        assert_eq!(*Fields::parse(&written).unwrap().to_json(), *written);
        assert_eq!(*Fields::default().to_json(), "{\n}\n");
    }

    #[test]
    fn an_empty_text_and_null_are_nothing() {
        let fields = Fields::parse(r#"{"a": null, "b": "", "c": " ", "d": 0}"#).unwrap();
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| fields.has(name)),
            [false, false, true, true, false]
        );
        for other in ["[]", "7", "{", "", "null", "{\"a\": 1} x"] {
            assert!(Fields::parse(other).is_none(), "{other}");
        }
    }
}
