//! The code blocks of a page of the book.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

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
        let documents = blocks.flat_map(|text| YamlLoader::load_from_str(&text).unwrap());
        documents.map(|document| value(&document)).collect()
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

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) => text.clone().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(yes) => (*yes).into(),
        Yaml::Array(items) => items.iter().map(value).collect(),
        Yaml::Hash(fields) => fields
            .iter()
            .map(|(name, field)| (name.as_str().unwrap().to_owned(), value(field)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Yaml::Null => Value::Null,
        other => panic!("not used in the pages: {other:?}"),
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
