//! Responses that follow the description of the API, in all shapes: the typed calls parse them.

use std::collections::BTreeMap;

use ee_emulator::{Description, Fault, Field, FieldType};
use serde_json::{Map, Value, json};

use crate::parsers::call;
use crate::{EARTHENGINE, connected, quick};

/// How the values of a response are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Usual,
    /// Every message has unknown fields, and enums have unknown values.
    Newer,
    /// Numbers are not finite, negative, or of the other JSON type.
    Odd,
    /// Lists, maps and nested messages are empty.
    Hollow,
}

struct Generator {
    style: Style,
    texts: Vec<String>,
}

impl Generator {
    fn text(&mut self) -> Value {
        let text = format!("text-{}", self.texts.len());
        self.texts.push(text.clone());
        text.into()
    }

    fn message(&mut self, fields: &BTreeMap<String, Field>, depth: usize) -> Value {
        if depth > 5 || (self.style == Style::Hollow && depth > 1) {
            return json!({});
        }
        let mut message = Map::new();
        for (name, field) in fields {
            message.insert(name.clone(), self.value(&field.kind, depth));
        }
        if self.style == Style::Newer {
            message.insert("newField".to_owned(), json!({"a": [self.text()]}));
        }
        message.into()
    }

    fn value(&mut self, kind: &FieldType, depth: usize) -> Value {
        let odd = self.style == Style::Odd;
        match kind {
            FieldType::List(_) if self.style == Style::Hollow && depth > 1 => json!([]),
            FieldType::Map(_) if self.style == Style::Hollow => json!({}),
            FieldType::List(item) => json!([self.value(item, depth), self.value(item, depth)]),
            FieldType::Map(entry) => {
                let entry = self.value(entry, depth);
                json!({"entry": entry})
            }
            FieldType::Wrapper(scalar) => self.value(scalar, depth),
            FieldType::Double | FieldType::Float if odd => json!("NaN"),
            FieldType::Double | FieldType::Float => json!(0.5),
            FieldType::Int32 if odd => json!(-1),
            FieldType::Int32 => json!(7),
            FieldType::Int64 if odd => json!(7),
            FieldType::Int64 => json!("9007199254740993"),
            FieldType::Boolean => json!(true),
            FieldType::Bytes => json!("AAAA"),
            FieldType::Timestamp => json!("2026-01-02T03:04:05.678901234Z"),
            FieldType::Duration => json!("1.500s"),
            FieldType::Any => json!({"any": [null, 1.5, self.text()]}),
            FieldType::Named(name) => match Description::get().values(name) {
                Some(_) if self.style == Style::Newer => json!("NEW_VALUE_2"),
                Some(values) => json!(values.last()),
                None => self.message(Description::get().fields(name).unwrap(), depth + 1),
            },
            _ => self.text(),
        }
    }
}

/// Returns the variants of a response, with the texts that it contains.
fn variants(schema: &str) -> Vec<(Value, Vec<String>)> {
    let fields = Description::get().fields(schema).unwrap();
    let mut all = vec![(json!({}), Vec::new())];
    for style in [Style::Usual, Style::Newer, Style::Odd, Style::Hollow] {
        let mut generator = Generator {
            style,
            texts: Vec::new(),
        };
        let full = generator.message(fields, 1);
        for name in fields.keys().filter(|_| style == Style::Usual) {
            all.push((json!({name: full[name]}), Vec::new()));
            let mut without = full.clone();
            without.as_object_mut().unwrap().remove(name);
            all.push((without, Vec::new()));
        }
        all.push((full, generator.texts));
    }
    // Pages without items, before others.
    if fields.contains_key("nextPageToken") {
        all.push((json!({"nextPageToken": "t"}), Vec::new()));
        all.push((json!({"nextPageToken": ""}), Vec::new()));
    }
    all
}

/// Results that keep all fields, also unknown ones.
const COMPLETE: [&str; 5] = [
    "EarthEngineAsset",
    "Operation",
    "Policy",
    "ProjectConfig",
    "ProjectConfigAlpha",
];

#[tokio::test]
async fn every_shape_of_a_response_is_parsed() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let mut count = 0;
    for (id, method) in Description::get().methods() {
        // Only GDAL reads assets in version v1alpha.
        if method.response == "HttpBody" || id.starts_with("v1alpha.projects.assets.") {
            continue;
        }
        let (version, short) = id.split_once("projects.").unwrap();
        let short = format!("{version}{short}");
        let collection = short
            .strip_suffix(".create")
            .map(|path| path.replace("locations.", ""));
        for (mut response, texts) in variants(&method.response) {
            // A new resource cannot be used without its name.
            if let Some(collection) = &collection
                && method.response != "EarthEngineAsset"
            {
                response["name"] = json!(format!("projects/p/{collection}/x"));
            }
            let respond = |body: &Value| {
                let body = body.to_string();
                emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", body));
            };
            respond(&response);
            if response["nextPageToken"]
                .as_str()
                .is_some_and(|token| !token.is_empty())
            {
                respond(&json!({}));
            }
            let result = call(&client, &short).await;
            let result = result.unwrap_or_else(|error| panic!("{id} {response}: {error}"));
            assert_eq!(emulator.faults_left(EARTHENGINE), 0, "{id} {response}");
            if COMPLETE.contains(&&*method.response) {
                for text in texts {
                    assert!(
                        result.contains(&text),
                        "{id} {response}: {text} not in {result}"
                    );
                }
            }
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}
