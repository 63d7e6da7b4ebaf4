//! Fields given one by one, as `gh api` takes them: `-f key=value`, `-F key=value`.

use std::path::Path;

use earthengine::credentials::check_path_flag;
use earthengine::token::display_path;
use serde_json::{Map, Value};

use crate::error::CliError;

/// The value of a field with a meaning: true, false, null, a number, `@FILE`; else the text.
pub(super) fn meaning(text: &str) -> Result<Value, CliError> {
    if let Some(file) = text.strip_prefix('@') {
        let file = Path::new(file);
        check_path_flag("--field", file).map_err(|error| CliError::login(&error))?;
        let bytes = super::read(file)?;
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

/// A value as a query parameter.
pub(super) fn in_query(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Puts a value where its key says: `a`, `a[b]` for an object in it, `a[]` for the end of a list.
pub(super) fn put(body: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), CliError> {
    let cannot = || CliError::usage(&format!("the field {key:?} fits nowhere in the body"));
    let (first, mut rest) = match key.find('[') {
        Some(at) => key.split_at(at),
        None => (key, ""),
    };
    if first.is_empty() {
        return Err(cannot());
    }
    let mut place = body.entry(first).or_insert(Value::Null);
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(cannot)?;
        let (name, after) = inner.split_once(']').ok_or_else(cannot)?;
        if place.is_null() {
            *place = match name {
                "" => Value::Array(Vec::new()),
                _ => Value::Object(Map::new()),
            };
        }
        place = match place {
            Value::Array(list) if name.is_empty() => {
                list.push(Value::Null);
                list.last_mut().ok_or_else(cannot)?
            }
            Value::Object(object) if !name.is_empty() => object.entry(name).or_insert(Value::Null),
            _ => return Err(cannot()),
        };
        rest = after;
    }
    if !place.is_null() {
        return Err(cannot());
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(fields: &[(&str, &str)]) -> Option<Value> {
        let mut body = Map::new();
        for (key, value) in fields {
            put(&mut body, key, meaning(value).unwrap()).ok()?;
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
    fn fields_that_contradict_each_other_are_refused() {
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

    /// What stands where a key says.
    fn at<'a>(body: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
        let (first, rest) = key.split_at(key.find('[').unwrap_or(key.len()));
        let mut place = body.get(first)?;
        let inner = rest.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        for name in inner
            .into_iter()
            .flatten()
            .flat_map(|names| names.split("]["))
        {
            place = match name {
                "" => place.as_array()?.last()?,
                name => place.get(name)?,
            };
        }
        Some(place)
    }

    proptest::proptest! {
        #[test]
        fn a_field_of_any_key_and_text_stands_where_it_says_or_is_refused(
            fields in proptest::collection::vec(("[ab]?[]\\[ab]{0,7}", ".{0,12}"), 1..5),
        ) {
            let mut body = Map::new();
            for (key, text) in fields {
                // A file's text is another matter.
                let Ok(value) = meaning(text.trim_start_matches('@')) else { continue };
                let shown = in_query(&value);
                proptest::prop_assert!(value.is_number() || shown == text.trim_start_matches('@'));
                if put(&mut body, &key, value.clone()).is_ok() && !value.is_null() {
                    proptest::prop_assert_eq!(at(&body, &key), Some(&value), "{}", key);
                }
            }
        }
    }
}
