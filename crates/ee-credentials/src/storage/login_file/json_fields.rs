//! The keys of the file with their values as raw JSON, so that unknown values are kept verbatim.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// A JSON object with raw values. They are zeroized when dropped and never grow, which would leave
/// copies in memory.
#[derive(Default)]
pub(crate) struct Fields(BTreeMap<String, Zeroizing<String>>);

impl Fields {
    /// Parses an object. If a key appears twice, the last value counts. Returns `None` if the text
    /// is not an object.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let values: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let owned = values
            .into_iter()
            .map(|(name, value)| (name, Zeroizing::new(value.get().to_owned())));
        Some(Self(owned.collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) {
        let mut length = Length(0);
        // Strings and lists of strings, the only values set, always have a JSON form.
        if serde_json::to_writer(&mut length, &value).is_err() {
            return;
        }
        let mut json = Zeroizing::new(Vec::with_capacity(length.0));
        if serde_json::to_writer(&mut *json, &value).is_ok()
            && let Ok(json) = String::from_utf8(std::mem::take(&mut json))
        {
            self.0.insert(name.to_owned(), Zeroizing::new(json));
        }
    }

    /// Removes a key and returns whether it existed.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Adds the keys of another object that this one lacks. Returns `false` if a key has another
    /// value in it.
    pub(crate) fn add_missing(&mut self, other: Self) -> bool {
        let mut agree = true;
        for (name, value) in other.0 {
            let own = self.0.entry(name).or_insert_with(|| value.clone());
            agree &= *own == value;
        }
        agree
    }

    /// Returns whether a key has a value other than `null` and `""`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|json| !matches!(json.trim(), "null" | "\"\""))
    }

    /// Formats the object as JSON with one key per line.
    pub(crate) fn to_json(&self) -> Zeroizing<String> {
        let length: usize = self.0.iter().map(|(k, v)| k.len() + v.len() + 16).sum();
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

/// Counts the bytes written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_values_are_kept_verbatim() {
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
    fn missing_keys_are_added_and_others_kept() {
        let parse = |text| Fields::parse(text).unwrap();
        let mut fields = parse(r#"{"a": 1}"#);
        assert!(fields.add_missing(parse(r#"{"a": 1, "b": 2}"#)));
        assert!(!fields.add_missing(parse(r#"{"a": 3, "c": 4}"#)));
        assert_eq!(
            *fields.to_json(),
            *parse(r#"{"a": 1, "b": 2, "c": 4}"#).to_json()
        );
    }

    #[test]
    fn set_values_are_allocated_at_their_final_size() {
        let mut fields = Fields::default();
        let token = "1//\"".repeat(500);
        fields.set("refresh_token", &token);
        let json = &fields.0["refresh_token"];
        assert_eq!(json.len(), json.capacity());
        assert_eq!(serde_json::from_str::<String>(json).unwrap(), token);
    }

    #[test]
    fn empty_string_and_null_count_as_absent() {
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
