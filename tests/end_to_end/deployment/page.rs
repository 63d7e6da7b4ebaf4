//! The code blocks of a page of the book.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

pub(crate) fn dir() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/src/deployment"
    ))
}

pub(crate) struct Page {
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let path = dir().join(name).with_extension("md");
        Self {
            text: fs::read_to_string(path).unwrap(),
        }
    }

    /// Returns the code blocks in a language.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut block: Option<(usize, String, bool)> = None;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut block, fence) {
                (None, Some(found)) => {
                    let indentation = line.len() - line.trim_start().len();
                    block = Some((indentation, String::new(), found == language));
                }
                (Some(_), Some(_)) => {
                    let (_, text, is_wanted) = block.take().unwrap();
                    blocks.extend(is_wanted.then_some(text));
                }
                (Some((indentation, text, _)), None) => {
                    text.push_str(line.get(*indentation..).unwrap_or_default());
                    text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(block.is_none(), "a code block does not end");
        blocks
    }

    /// Returns the documents of all JSON blocks.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |text: &String| serde_json::from_str(text).unwrap();
        self.blocks("json").iter().map(parse).collect()
    }

    /// Returns the documents of all YAML blocks.
    pub(crate) fn yaml(&self) -> Vec<Value> {
        let blocks = self.blocks("yaml").into_iter();
        blocks.flat_map(|text| documents(&text)).collect()
    }

    /// Returns the settings `KEY=VALUE` of all blocks in a language, in order.
    pub(crate) fn settings(&self, language: &str) -> Vec<(String, String)> {
        let text = self.blocks(language).concat();
        let lines = text.lines().filter(|line| !line.starts_with('['));
        let pairs = lines.filter_map(|line| line.split_once('='));
        pairs
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }
}

/// Returns the documents of a YAML text, which uses no anchors and no tags.
fn documents(text: &str) -> Vec<Value> {
    let events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut events = events.filter(|event| !matches!(event, Event::Nothing));
    let mut documents = Vec::new();
    while let Some(event) = events.next() {
        if let Event::DocumentStart(_) = event {
            let first = events.next().unwrap();
            documents.push(value(first, &mut events));
        }
    }
    documents
}

/// Returns the value that begins with an event.
fn value<'a>(first: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match first {
        Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
        Event::Scalar(text, ..) => text.into(),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().unwrap() {
                    Event::SequenceEnd => return items.into(),
                    item => items.push(value(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = serde_json::Map::new();
            loop {
                match events.next().unwrap() {
                    Event::MappingEnd => return fields.into(),
                    Event::Scalar(name, ..) => {
                        let item = events.next().unwrap();
                        let previous = fields.insert(name.into(), value(item, events));
                        assert!(previous.is_none(), "a key is repeated");
                    }
                    other => panic!("not a key: {other:?}"),
                }
            }
        }
        other => panic!("not used in the pages: {other:?}"),
    }
}

/// Returns the value of a scalar without quotation marks (the JSON schema of YAML 1.2).
fn plain(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Null)) => value,
        _ => text.into(),
    }
}

/// Returns the variables of a container in a Kubernetes manifest.
pub(crate) fn container_variables(pod: &Value) -> BTreeMap<String, String> {
    let variables = pod["containers"][0]["env"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    variables
        .map(|variable| (text(&variable["name"]), text(&variable["value"])))
        .collect()
}
