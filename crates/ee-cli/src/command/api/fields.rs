//! The fields of `-f key=value` and `-F key=value`, as in `gh api`.

use std::path::Path;

use earthengine::credentials::check_path_flag;
use earthengine::token::internal::display_path;
use serde_json::{Map, Value};

use crate::command::read_input;
use crate::error::CliError;

/// Parses the value of a typed field: true, false, null, a number, `@FILE`, or text.
pub(super) fn parse_typed(text: &str) -> Result<Value, CliError> {
    if let Some(file) = text.strip_prefix('@') {
        let file = Path::new(file);
        check_path_flag("--field", file)?;
        let bytes = read_input(file)?;
        return match String::from_utf8(bytes) {
            Ok(text) => Ok(Value::String(text)),
            Err(_) => Err(CliError::usage(&format!(
                "{} is not UTF-8 text",
                display_path(file)
            ))),
        };
    }
    Ok(match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text.to_owned()),
        },
    })
}

/// Formats a value as a query parameter.
pub(super) fn query_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Inserts a value at its key: `a`, `a[b]` for a field of an object, `a[]` to append to a list.
pub(super) fn insert(
    body: &mut Map<String, Value>,
    key: &str,
    value: Value,
) -> Result<(), CliError> {
    let invalid = || {
        CliError::usage(&format!(
            "the field {key:?} is malformed or conflicts with another field"
        ))
    };
    let (first, mut rest) = match key.find('[') {
        Some(at) => key.split_at(at),
        None => (key, ""),
    };
    if first.is_empty() {
        return Err(invalid());
    }
    let mut slot = body.entry(first).or_insert(Value::Null);
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(invalid)?;
        let (name, after) = inner.split_once(']').ok_or_else(invalid)?;
        if slot.is_null() {
            *slot = match name {
                "" => Value::Array(Vec::new()),
                _ => Value::Object(Map::new()),
            };
        }
        slot = match slot {
            Value::Array(list) if name.is_empty() => {
                list.push(Value::Null);
                list.last_mut().ok_or_else(invalid)?
            }
            Value::Object(object) if !name.is_empty() => object.entry(name).or_insert(Value::Null),
            _ => return Err(invalid()),
        };
        rest = after;
    }
    if !slot.is_null() {
        return Err(invalid());
    }
    *slot = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(fields: &[(&str, &str)]) -> Option<Value> {
        let mut body = Map::new();
        for (key, value) in fields {
            insert(&mut body, key, parse_typed(value).unwrap()).ok()?;
        }
        Some(Value::Object(body))
    }

    #[test]
    fn fields_become_json_with_lists_and_objects() {
        assert_eq!(
            body(&[
                ("a", "text"),
                ("b", "true"),
                ("c", "-1.5"),
                ("d[e][f]", "null"),
                ("d[g]", "007"),
                ("l[]", "1"),
                ("l[]", "2"),
                ("m[][n]", "x"),
            ]),
            Some(
                json!({"a": "text", "b": true, "c": -1.5, "d": {"e": {"f": null}, "g": "007"},
                "l": [1, 2], "m": [{"n": "x"}]})
            )
        );
    }

    #[test]
    fn conflicting_fields_are_rejected() {
        for fields in [
            &[("a", "1"), ("a", "2")][..],
            &[("a", "1"), ("a[b]", "2")],
            &[("a[]", "1"), ("a[b]", "2")],
            &[("a[b", "1")],
            &[("a[b]c", "1")],
            &[("[a]", "1")],
        ] {
            assert_eq!(body(fields), None, "{fields:?}");
        }
    }

    /// Returns the value at a key.
    fn get<'a>(body: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
        let (first, rest) = key.split_at(key.find('[').unwrap_or(key.len()));
        let mut value = body.get(first)?;
        let inner = rest.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        for name in inner
            .into_iter()
            .flatten()
            .flat_map(|names| names.split("]["))
        {
            value = match name {
                "" => value.as_array()?.last()?,
                name => value.get(name)?,
            };
        }
        Some(value)
    }

    proptest::proptest! {
        #[test]
        fn any_field_is_inserted_at_its_key_or_rejected(
            fields in proptest::collection::vec(("[ab]?[]\\[ab]{0,7}", ".{0,12}"), 1..5),
        ) {
            let mut body = Map::new();
            for (key, text) in fields {
                // `@` would read a file.
                let Ok(value) = parse_typed(text.trim_start_matches('@')) else { continue };
                let shown = query_value(&value);
                proptest::prop_assert!(value.is_number() || shown == text.trim_start_matches('@'));
                if insert(&mut body, &key, value.clone()).is_ok() && !value.is_null() {
                    proptest::prop_assert_eq!(get(&body, &key), Some(&value), "{}", key);
                }
            }
        }
    }
}
