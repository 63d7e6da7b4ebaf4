//! Validation of messages and queries, with the texts of Google's API front end.

use std::fmt::Write as _;
use std::mem;

use serde_json::{Map, Value};

use super::{ApiMethod, Description, Field, FieldType};

/// The maximum number of reported violations.
const MAX_VIOLATIONS: usize = 100;

const PACKAGE: &str = "type.googleapis.com/google.earthengine.v1.";

/// A place where a message or a query deviates from the description.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The path of the field, as in `grid.affine_transform`. Empty for the message itself.
    pub field: String,
    /// What is wrong, as the API says it.
    pub description: String,
}

impl Description {
    /// Returns where a message deviates from its schema.
    pub fn violations(&self, schema: &str, message: &Value) -> Vec<Violation> {
        self.normalize(schema, &mut message.clone())
    }

    /// Returns where a message deviates from its schema. Brings a valid message into its usual form:
    /// names in camel case, and no fields that are null.
    pub(crate) fn normalize(&self, schema: &str, message: &mut Value) -> Vec<Violation> {
        let mut check = Check {
            description: self,
            found: Vec::new(),
        };
        check.message(schema, message, "");
        check.found
    }

    /// Returns where a query deviates from the parameters of its method.
    pub(crate) fn query_violations(
        &self,
        method: &ApiMethod,
        query: &[(String, String)],
    ) -> Vec<Violation> {
        let mut check = Check {
            description: self,
            found: Vec::new(),
        };
        for (name, value) in query {
            let standard = || {
                // Every standard parameter may also be preceded by a dollar sign.
                let plain = name.strip_prefix('$').unwrap_or(name);
                let parameters = &self.parameters;
                parameters.get(name).or_else(|| parameters.get(plain))
            };
            match method.query.get(name).or_else(standard) {
                Some(field) => {
                    let mut value = Value::String(value.clone());
                    check.value(&field.kind, &mut value, &snake_case(name));
                }
                None => check.report(
                    "",
                    format!(
                        "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query \
                         parameter. Field '{name}' could not be found in request message."
                    ),
                ),
            }
        }
        let is_set = |name: &str| query.iter().any(|(set, _)| set == name);
        check.required(method.query.iter(), is_set, "");
        check.found
    }
}

struct Check<'a> {
    description: &'a Description,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn report(&mut self, field: &str, description: String) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Violation {
                field: field.to_owned(),
                description,
            });
        }
    }

    fn unknown(&mut self, name: &str, at: &str, why: &str) {
        let mut text = format!("Invalid JSON payload received. Unknown name \"{name}\"");
        if !at.is_empty() {
            let _ = write!(text, " at '{at}'");
        }
        self.report(at, format!("{text}: {why}."));
    }

    fn invalid(&mut self, at: &str, kind: &str, value: &Value) {
        let shown = match value {
            Value::Object(_) => "Starting an object on a scalar field".to_owned(),
            Value::Array(_) => "Starting a list on a field that is not repeated".to_owned(),
            value => value.to_string(),
        };
        self.report(at, format!("Invalid value at '{at}' ({kind}), {shown}"));
    }

    fn required<'f>(
        &mut self,
        fields: impl Iterator<Item = (&'f String, &'f Field)>,
        is_set: impl Fn(&str) -> bool,
        at: &str,
    ) {
        for (name, _) in fields.filter(|(name, field)| field.required && !is_set(name)) {
            let at = join(at, name);
            self.report(&at, format!("Missing required field '{at}'."));
        }
    }

    fn message(&mut self, schema: &str, value: &mut Value, at: &str) {
        let description = self.description;
        let Some(fields) = description.schemas.get(schema) else {
            return;
        };
        let Value::Object(object) = value else {
            return self.invalid(at, &format!("{PACKAGE}{schema}"), value);
        };
        let mut kept = Map::new();
        for (name, mut value) in mem::take(object) {
            // The names in the schema's language, with underscores, are accepted, too.
            let found = fields.get_key_value(&name).or_else(|| {
                let mut fields = fields.iter();
                fields.find(|(field, _)| snake_case(field) == name)
            });
            let Some((field_name, field)) = found else {
                self.unknown(&name, at, "Cannot find field");
                continue;
            };
            let is_any = field.kind == FieldType::Any;
            if value.is_null() && !is_any {
                continue;
            }
            if value.is_array() && !is_any && !matches!(field.kind, FieldType::List(_)) {
                self.unknown(&name, at, "Proto field is not repeating, cannot start list");
                continue;
            }
            self.value(&field.kind, &mut value, &join(at, field_name));
            kept.insert(field_name.clone(), value);
        }
        for group in description.exclusive.get(schema).into_iter().flatten() {
            let mut set = group.iter().filter(|name| kept.contains_key(*name));
            if let (Some(first), Some(second)) = (set.next(), set.next()) {
                let shown = if at.is_empty() { second } else { at };
                self.report(
                    at,
                    format!(
                        "Invalid value at '{shown}' (oneof), oneof field '{}' is already set. \
                         Cannot set '{second}'",
                        snake_case(first)
                    ),
                );
            }
        }
        self.required(fields.iter(), |name| kept.contains_key(name), at);
        *object = kept;
    }

    fn value(&mut self, kind: &FieldType, value: &mut Value, at: &str) {
        let description = self.description;
        match (kind, &mut *value) {
            (FieldType::Any, _) => {}
            (FieldType::Wrapper(scalar), wrapped) => {
                if let Value::Object(fields) = wrapped
                    && fields.len() == 1
                    && let Some(inner) = fields.remove("value")
                {
                    *value = inner;
                }
                self.value(scalar, value, at);
            }
            (FieldType::List(kind), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(kind, item, &format!("{at}[{index}]"));
                }
            }
            (FieldType::List(_), _) => self.invalid(at, "repeated field", value),
            (FieldType::Map(kind), Value::Object(entries)) => {
                for (index, (_, entry)) in entries.iter_mut().enumerate() {
                    self.value(kind, entry, &format!("{at}[{index}].value"));
                }
            }
            (FieldType::Map(_), _) => self.invalid(at, "map", value),
            (FieldType::Named(name), _) => match description.values(name) {
                Some(values) => {
                    let is_known = match &*value {
                        Value::String(text) => values.contains(text),
                        number => is_integer::<i32>(number),
                    };
                    if !is_known {
                        self.invalid(at, &format!("{PACKAGE}{name}"), value);
                    }
                }
                None => self.message(name, value, at),
            },
            (scalar, _) => {
                if !accepts(scalar, value) {
                    self.invalid(at, type_name(scalar), value);
                }
            }
        }
    }
}

/// Returns whether a value can be read as this type, which is neither a list, a map, nor named.
fn accepts(kind: &FieldType, value: &Value) -> bool {
    let text = value.as_str();
    let is_text = |is_valid: fn(&str) -> bool| text.is_some_and(is_valid);
    match kind {
        FieldType::Double | FieldType::Float => {
            value.is_number() || is_text(|text| text.parse::<f64>().is_ok())
        }
        FieldType::Int32 => is_integer::<i32>(value),
        FieldType::Int64 => is_integer::<i64>(value),
        FieldType::Boolean => value.is_boolean() || is_text(|text| text.parse::<bool>().is_ok()),
        FieldType::String => text.is_some(),
        FieldType::Bytes => is_text(|text| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
            text.bytes().all(plain)
        }),
        FieldType::Timestamp => is_text(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        FieldType::Duration => is_text(|text| {
            let seconds = text.strip_suffix('s');
            seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok_and(f64::is_finite))
        }),
        FieldType::FieldMask => match value {
            // The Python client sends an object.
            Value::Object(mask) => {
                let only_paths = mask.keys().all(|name| name == "paths");
                let paths = mask.get("paths").and_then(Value::as_array);
                only_paths && paths.is_none_or(|paths| paths.iter().all(Value::is_string))
            }
            mask => mask.is_string(),
        },
        _ => true,
    }
}

/// Returns whether a number, or a string with a number, is an integer of this size.
fn is_integer<N: TryFrom<i64>>(value: &Value) -> bool {
    let integer = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64().or_else(|| {
            let number = value.as_f64()?;
            // 1.0 counts as an integer. Larger numbers would lose digits.
            let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
            is_whole.then(|| format!("{number:.0}").parse().ok())?
        }),
    };
    integer.is_some_and(|integer: i64| N::try_from(integer).is_ok())
}

fn type_name(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Double => "TYPE_DOUBLE",
        FieldType::Float => "TYPE_FLOAT",
        FieldType::Int32 => "TYPE_INT32",
        FieldType::Int64 => "TYPE_INT64",
        FieldType::Boolean => "TYPE_BOOL",
        FieldType::Bytes => "TYPE_BYTES",
        FieldType::Timestamp => "type.googleapis.com/google.protobuf.Timestamp",
        FieldType::Duration => "type.googleapis.com/google.protobuf.Duration",
        FieldType::FieldMask => "type.googleapis.com/google.protobuf.FieldMask",
        _ => "TYPE_STRING",
    }
}

/// Returns the path of a field, with its name in the schema's language.
fn join(at: &str, name: &str) -> String {
    match at {
        "" => snake_case(name),
        at => format!("{at}.{}", snake_case(name)),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn violations(schema: &str, message: &Value) -> Vec<String> {
        let found = Description::get().violations(schema, message);
        found.into_iter().map(|found| found.description).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn messages_follow_their_schemas() {
        let bucket = json!({"bucket": "b"});
        for (schema, message, problem) in [
            ("Empty", json!({}), None),
            ("Empty", json!([]), Some("Invalid value at '' (type.googleapis.com/google.earthengine.v1.Empty)")),
            ("PixelGrid", json!({"crs_code": "EPSG:4326", "dimensions": null}), None),
            ("PixelGrid", json!({"x": 1}), Some("Unknown name \"x\": Cannot find field.")),
            ("PixelGrid", json!({"affineTransform": {"x": 1}}), Some("Unknown name \"x\" at 'affine_transform': Cannot find field.")),
            ("PixelGrid", json!({"affineTransform": {"scaleX": "NaN", "scaleY": "1.5"}}), None),
            ("PixelGrid", json!({"affineTransform": {"scaleX": "a"}}), Some("Invalid value at 'affine_transform.scale_x' (TYPE_DOUBLE), \"a\"")),
            ("PixelGrid", json!({"affineTransform": {"scaleX": {}}}), Some("(TYPE_DOUBLE), Starting an object")),
            ("PixelGrid", json!({"affineTransform": []}), Some("Unknown name \"affineTransform\": Proto field is not repeating")),
            ("PixelGrid", json!({"affineTransform": 1}), Some("google.earthengine.v1.AffineTransform), 1")),
            ("PixelGrid", json!({"crsCode": 4326}), Some("(TYPE_STRING), 4326")),
            ("PixelGrid", json!({"crsCode": "a", "crsWkt": "b"}), Some("oneof field 'crs_code' is already set. Cannot set 'crsWkt'")),
            ("PixelGrid", json!({"dimensions": {"width": 2147483648_u32}}), Some("(TYPE_INT32), 2147483648")),
            ("PixelGrid", json!({"dimensions": {"width": 1.5}}), Some("(TYPE_INT32), 1.5")),
            ("PixelGrid", json!({"dimensions": {"width": "7", "height": 7.0}}), None),
            ("EarthEngineAsset", json!({"sizeBytes": "9223372036854775807", "type": "IMAGE", "properties": {"a": null}}), None),
            ("EarthEngineAsset", json!({"sizeBytes": "9223372036854775808"}), Some("(TYPE_INT64)")),
            ("EarthEngineAsset", json!({"type": "NEW"}), Some("google.earthengine.v1.EarthEngineAsset.Type), \"NEW\"")),
            ("EarthEngineAsset", json!({"startTime": "2026-01-01"}), Some("google.protobuf.Timestamp), \"2026-01-01\"")),
            ("ImageFileExportOptions", json!({"driveDestination": {}, "cloudStorageDestination": bucket}), Some("oneof")),
            ("ImageManifest", json!({"tilesets": [{}, {"sources": [{"uri": "a"}]}]}), Some("Unknown name \"uri\" at 'tilesets[1].sources[0]'")),
            ("Expression", json!({"values": {"0": {"constantValue": null}}}), None),
            ("Expression", json!({"values": {"0": {"constant": 1}}}), Some("Unknown name \"constant\" at 'values[0].value'")),
            ("Expression", json!({"values": {"0": {"constantValue": 1, "valueReference": "1"}}}), Some("'values[0].value' (oneof)")),
            ("Expression", json!({"values": [1]}), Some("not repeating")),
            ("ExportTableRequest", json!({"bigqueryExportOptions": {"bigqueryDestination": {}}}), Some("Missing required field 'bigquery_export_options.bigquery_destination.table'")),
            ("Thumbnail", json!({"bandIds": "a"}), Some("repeated")),
            ("Thumbnail", json!({"bandIds": ["a", 1]}), Some("'band_ids[1]' (TYPE_STRING)")),
            ("WaitOperationRequest", json!({"timeout": "1.5s"}), None),
            ("WaitOperationRequest", json!({"timeout": "1.5"}), Some("Duration")),
            ("UpdateAssetRequest", json!({"updateMask": {"paths": ["a"]}}), None),
            ("UpdateAssetRequest", json!({"updateMask": {"path": ["a"]}}), Some("FieldMask")),
            ("CopyAssetRequest", json!({"overwrite": "true"}), None),
            ("VisualizationOptions", json!({"gamma": {"value": 1.5}, "opacity": 0.5}), None),
            ("VisualizationOptions", json!({"opacity": {"value": 0.5}}), Some("'opacity' (TYPE_DOUBLE)")),
            ("VisualizationOptions", json!({"gamma": {"value": "a"}}), Some("'gamma' (TYPE_DOUBLE), \"a\"")),
            ("VisualizationOptions", json!({"gamma": {"x": 1}}), Some("'gamma' (TYPE_DOUBLE)")),
            ("CopyAssetRequest", json!({"overwrite": 1}), Some("TYPE_BOOL")),
            ("Policy", json!({"etag": "a-_/+="}), None),
            ("Policy", json!({"etag": "ä"}), Some("TYPE_BYTES")),
        ] {
            let found = violations(schema, &message);
            match problem {
                None => assert!(found.is_empty(), "{message}: {found:?}"),
                Some(problem) => {
                    assert_eq!(found.len(), 1, "{message}: {found:?}");
                    assert!(found[0].contains(problem), "{message}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn valid_message_is_normalized() {
        let mut message = json!({"file_format": "PNG", "grid": null, "band_ids": ["a"]});
        let found = Description::get().normalize("Thumbnail", &mut message);
        assert_eq!(found, []);
        assert_eq!(message, json!({"fileFormat": "PNG", "bandIds": ["a"]}));
        let many: Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(
            violations("Empty", &Value::Object(many)).len(),
            MAX_VIOLATIONS
        );
    }

    #[test]
    #[rustfmt::skip]
    fn queries_follow_their_methods() {
        let description = Description::get();
        for (id, query, problem) in [
            ("projects.listAssets", "pageSize=5&view=BASIC&filter=&$prettyPrint=false&fields=assets&$.xgafv=2", None),
            ("projects.listAssets", "pageSize=a", Some("Invalid value at 'page_size' (TYPE_INT32), \"a\"")),
            ("projects.listAssets", "view=ALL", Some("EarthEngineAssetView), \"ALL\"")),
            ("projects.listAssets", "x=1", Some("Unknown name \"x\": Cannot bind query parameter.")),
            ("projects.assets.get", "pageSize=1", Some("Unknown name \"pageSize\"")),
            ("projects.assets.create", "assetId=a&overwrite=false", None),
            ("projects.assets.create", "overwrite=1", Some("TYPE_BOOL")),
            ("projects.updateConfig", "updateMask=a", None),
            ("projects.updateConfig", "", Some("Missing required field 'update_mask'")),
        ] {
            let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let found = description.query_violations(&description.methods[id], &query);
            let texts: Vec<_> = found.iter().map(|found| found.description.as_str()).collect();
            match problem {
                None => assert!(texts.is_empty(), "{query:?}: {texts:?}"),
                Some(problem) => assert!(texts.len() == 1 && texts[0].contains(problem), "{query:?}: {texts:?}"),
            }
        }
    }
}
