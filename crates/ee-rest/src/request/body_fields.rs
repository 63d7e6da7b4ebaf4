//! Fields that the client adds to a JSON body: the workload tag, and the id that makes the
//! start of a task happen once.

use bytes::Bytes;
use http::Method;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::WorkloadTag;
use crate::request::idempotency::{Effect, TagPlace, effect, tag_place};
use crate::request::path::Route;

const WORKLOAD_TAG: &str = "workloadTag";
const REQUEST_ID: &str = "requestId";

/// Adds the workload tag and, to what starts a task, its id to a call. Returns whether the call
/// then is idempotent. The body is given only if it is JSON.
pub(crate) fn add_fields(
    method: &Method,
    route: &Route,
    tag: Option<&WorkloadTag>,
    query: &mut Vec<(String, String)>,
    body: Option<&mut Bytes>,
) -> bool {
    let effect = effect(method, route);
    let place = match tag {
        Some(_) => tag_place(method, route),
        None => TagPlace::Nowhere,
    };
    if let (TagPlace::Query, Some(tag)) = (place, tag)
        && !query.iter().any(|(name, _)| name == WORKLOAD_TAG)
    {
        query.push((WORKLOAD_TAG.into(), tag.to_string()));
    }
    if place != TagPlace::Body && effect != Effect::StartsTask {
        return effect == Effect::Idempotent;
    }
    let Some((body, fields)) = body.and_then(|body| {
        let fields = Fields::of(body)?;
        Some((body, fields))
    }) else {
        return effect == Effect::Idempotent;
    };
    if let (TagPlace::Body, Some(tag), Presence::Absent) = (place, tag, fields.workload_tag) {
        *body = insert(body, WORKLOAD_TAG, tag.as_str());
    }
    match (effect, fields.request_id) {
        (Effect::StartsTask, Presence::Set) => true,
        (Effect::StartsTask, Presence::Absent) => match request_id() {
            Some(id) => {
                *body = insert(body, REQUEST_ID, &id);
                true
            }
            None => false,
        },
        (effect, _) => effect == Effect::Idempotent,
    }
}

/// What of ours a JSON object has already.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    workload_tag: Presence,
    request_id: Presence,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Presence {
    #[default]
    Absent,
    /// `null` or `""`: the caller's way to say that there shall be none.
    Empty,
    Set,
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Empty,
            Value::String(text) if text.is_empty() => Self::Empty,
            _ => Self::Set,
        })
    }
}

impl Fields {
    /// Those of a body; none if it is no JSON object.
    fn of(body: &[u8]) -> Option<Self> {
        // Arrays could be read as structs too.
        (first(body) == Some(b'{'))
            .then(|| serde_json::from_slice(body).ok())
            .flatten()
    }
}

/// The JSON object with a field in front. Neither name nor value may need escaping.
fn insert(object: &[u8], name: &str, value: &str) -> Bytes {
    let start = object.iter().position(|b| *b == b'{').unwrap_or_default() + 1;
    let rest = &object[start..];
    let comma = if first(rest) == Some(b'}') { "" } else { "," };
    let mut whole = Vec::with_capacity(object.len() + name.len() + value.len() + 6);
    for part in ["{\"", name, "\":\"", value, "\"", comma] {
        whole.extend_from_slice(part.as_bytes());
    }
    whole.extend_from_slice(rest);
    whole.into()
}

fn first(json: &[u8]) -> Option<u8> {
    json.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// A new id for one request: a version 4 UUID (RFC 9562 §5.4), as the Python client makes
/// it. None if the system has no random numbers.
fn request_id() -> Option<String> {
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
    fn what_is_there_already_is_seen_at_the_top_only() {
        use Presence::*;
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
    fn a_field_is_put_in_front() {
        for (object, whole) in [
            ("{}", r#"{"f":"v"}"#),
            (" { }\n", "{\"f\":\"v\" }\n"),
            (r#"{"a":1}"#, r#"{"f":"v","a":1}"#),
            (r#"{"a":{"b":"{"}}"#, r#"{"f":"v","a":{"b":"{"}}"#),
        ] {
            assert_eq!(insert(object.as_bytes(), "f", "v"), whole);
            serde_json::from_str::<Value>(whole).unwrap();
        }
    }

    /// Whatever a JSON object may hold.
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
        fn an_object_with_a_field_in_front_is_the_object_and_the_field(
            object in btree_map("[a-z{}\",:]{0,3}", value(), 0..4),
            blanks in "[ \t\r\n]{0,3}",
            pretty in any::<bool>(),
            tag in "[a-z0-9_-]{1,63}",
        ) {
            let mut object = Value::Object(object.into_iter().collect());
            let text = match pretty {
                true => serde_json::to_string_pretty(&object),
                false => serde_json::to_string(&object),
            };
            let text = format!("{blanks}{}{blanks}", text.unwrap());
            let text = text.replacen('{', &format!("{{{blanks}"), 1);
            assert_eq!(Fields::of(text.as_bytes()).unwrap().workload_tag, Presence::Absent);
            let whole = insert(text.as_bytes(), WORKLOAD_TAG, &tag);
            object[WORKLOAD_TAG] = Value::from(&*tag);
            assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap(), object);
            assert_eq!(Fields::of(&whole).unwrap().workload_tag, Presence::Set);
        }
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let id = request_id().unwrap();
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(id, request_id().unwrap());
    }
}
