//! Fields that the client adds to a JSON body: the workload tag, and the request ID that makes
//! starting a task idempotent.

use bytes::Bytes;
use http::Method;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::WorkloadTag;
use crate::request::idempotency::{Effect, TagLocation, effect, tag_location};
use crate::request::path::Route;

const WORKLOAD_TAG: &str = "workloadTag";
const REQUEST_ID: &str = "requestId";

/// Adds the workload tag to a call, and a request ID to one that starts a task. Returns whether
/// the call is then idempotent. `body` is `None` unless it is JSON.
pub(crate) fn add_fields(
    method: &Method,
    route: &Route,
    tag: Option<&WorkloadTag>,
    query: &mut Vec<(String, String)>,
    body: Option<&mut Bytes>,
) -> bool {
    let effect = effect(method, route);
    let location = match tag {
        Some(_) => tag_location(method, route),
        None => TagLocation::Nowhere,
    };
    if let (TagLocation::Query, Some(tag)) = (location, tag)
        && !query.iter().any(|(name, _)| name == WORKLOAD_TAG)
    {
        query.push((WORKLOAD_TAG.into(), tag.to_string()));
    }
    if location != TagLocation::Body && effect != Effect::StartsTask {
        return effect == Effect::Idempotent;
    }
    let Some((body, fields)) = body.and_then(|body| {
        let fields = Fields::of(body)?;
        Some((body, fields))
    }) else {
        return effect == Effect::Idempotent;
    };
    if let (TagLocation::Body, Some(tag), FieldState::Absent) = (location, tag, fields.workload_tag)
    {
        *body = insert(body, WORKLOAD_TAG, tag.as_str());
    }
    match (effect, fields.request_id) {
        (Effect::StartsTask, FieldState::Set) => true,
        (Effect::StartsTask, FieldState::Absent) => match request_id() {
            Some(id) => {
                *body = insert(body, REQUEST_ID, &id);
                true
            }
            None => false,
        },
        (effect, _) => effect == Effect::Idempotent,
    }
}

/// The fields that a JSON object already has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    workload_tag: FieldState,
    request_id: FieldState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FieldState {
    #[default]
    Absent,
    /// `null` or `""`: the caller opted out.
    Empty,
    Set,
}

impl<'de> Deserialize<'de> for FieldState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Empty,
            Value::String(text) if text.is_empty() => Self::Empty,
            _ => Self::Set,
        })
    }
}

impl Fields {
    /// Reads the fields of a body. Returns `None` if it is not a JSON object.
    fn of(body: &[u8]) -> Option<Self> {
        // Serde would also read an array as a struct.
        (first(body) == Some(b'{'))
            .then(|| serde_json::from_slice(body).ok())
            .flatten()
    }
}

/// Inserts a field at the start of a JSON object. Neither name nor value may need escaping.
fn insert(object: &[u8], name: &str, value: &str) -> Bytes {
    let start = object.iter().position(|b| *b == b'{').unwrap_or_default() + 1;
    let rest = &object[start..];
    let comma = if first(rest) == Some(b'}') { "" } else { "," };
    let mut output = Vec::with_capacity(object.len() + name.len() + value.len() + 6);
    for part in ["{\"", name, "\":\"", value, "\"", comma] {
        output.extend_from_slice(part.as_bytes());
    }
    output.extend_from_slice(rest);
    output.into()
}

fn first(json: &[u8]) -> Option<u8> {
    json.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// Returns a new request ID: a version 4 UUID (RFC 9562 §5.4), as the Python client sends it.
/// Returns `None` if the system's random number generator fails.
pub fn request_id() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | 0x4 << 76;
    number = number & !(0x3 << 62) | 0x2 << 62;
    let digits = format!("{number:032x}");
    let (a, b, c, d, e) = (
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    );
    Some(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_top_level_fields_are_detected() {
        use FieldState::*;
        for (body, tag, id) in [
            ("{}", Absent, Absent),
            (r#"{"a": {"requestId": "x"}}"#, Absent, Absent),
            (r#"{"workloadTag": "t", "requestId": "x"}"#, Set, Set),
            (r#" {"workloadTag": "", "requestId": null}"#, Empty, Empty),
            (r#"{"requestId": 7}"#, Absent, Set),
        ] {
            let fields = Fields::of(body.as_bytes()).unwrap();
            assert_eq!(
                (fields.workload_tag, fields.request_id),
                (tag, id),
                "{body}"
            );
        }
        for body in [
            "",
            "[]",
            r#"["t", "x"]"#,
            "{",
            "<html>",
            "\"x\"",
            "{}x",
            "\u{feff}{}",
        ] {
            assert!(Fields::of(body.as_bytes()).is_none(), "{body}");
        }
        assert!(Fields::of(b"{\"\xff\": 1}").is_none());
    }

    #[test]
    fn field_is_inserted_first() {
        for (object, output) in [
            ("{}", r#"{"f":"v"}"#),
            (" { }\n", "{\"f\":\"v\" }\n"),
            (r#"{"a":1}"#, r#"{"f":"v","a":1}"#),
            (r#"{"a":{"b":"{"}}"#, r#"{"f":"v","a":{"b":"{"}}"#),
        ] {
            assert_eq!(insert(object.as_bytes(), "f", "v"), output);
            serde_json::from_str::<Value>(output).unwrap();
        }
    }

    /// Any JSON value.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                btree_map("[a-z{}\",:]{0,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn inserted_field_keeps_the_other_fields(
            object in btree_map("[a-z{}\",:]{0,3}", value(), 0..4),
            spaces in "[ \t\r\n]{0,3}",
            pretty in any::<bool>(),
            tag in "[a-z0-9_-]{1,63}",
        ) {
            let mut object = Value::Object(object.into_iter().collect());
            let text = match pretty {
                true => serde_json::to_string_pretty(&object),
                false => serde_json::to_string(&object),
            };
            let text = format!("{spaces}{}{spaces}", text.unwrap());
            let text = text.replacen('{', &format!("{{{spaces}"), 1);
            assert_eq!(Fields::of(text.as_bytes()).unwrap().workload_tag, FieldState::Absent);
            let output = insert(text.as_bytes(), WORKLOAD_TAG, &tag);
            object[WORKLOAD_TAG] = Value::from(&*tag);
            assert_eq!(serde_json::from_slice::<Value>(&output).unwrap(), object);
            assert_eq!(Fields::of(&output).unwrap().workload_tag, FieldState::Set);
        }
    }

    #[test]
    fn request_ids_are_distinct_uuids() {
        let id = request_id().unwrap();
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(id, request_id().unwrap());
    }
}
