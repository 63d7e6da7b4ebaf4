//! `--paginate`: joins the pages of a list.

use std::collections::BTreeSet;

use earthengine::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::error::{CliError, Phase};

const NEXT: &str = "nextPageToken";

/// The pages received so far, joined.
#[derive(Default)]
pub(super) struct Pages {
    joined: Map<String, Value>,
    seen: BTreeSet<String>,
}

impl Pages {
    /// Adds a page and returns the token of the next one.
    pub(super) fn add(&mut self, body: &[u8]) -> Result<Option<String>, CliError> {
        let page: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|_| server_error("the response has no pages: it is not a JSON object"))?;
        let mut next = None;
        for (name, value) in page {
            match (self.joined.get_mut(&name), value) {
                (_, Value::String(token)) if name == NEXT => next = Some(token),
                (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
                // The first page's value of a field that is not a list is kept.
                (Some(_), _) => {}
                (None, value) => {
                    self.joined.insert(name, value);
                }
            }
        }
        let next = next.filter(|token| !token.is_empty());
        if let Some(token) = &next
            && !self.seen.insert(token.clone())
        {
            return Err(server_error(
                "the server returned the same page token twice",
            ));
        }
        Ok(next)
    }

    /// Returns the number of items received so far.
    pub(super) fn count(&self) -> usize {
        let lists = self.joined.values().filter_map(Value::as_array);
        lists.map(Vec::len).sum()
    }

    pub(super) fn into_text(self) -> String {
        format!("{:#}\n", Value::Object(self.joined))
    }
}

fn server_error(message: &str) -> CliError {
    CliError::new(&Error::new(ErrorKind::ServerError, message), Phase::Call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_and_other_fields_appear_once() {
        let mut pages = Pages::default();
        let first = br#"{"assets": [1], "total": 3, "nextPageToken": "b"}"#;
        assert_eq!(pages.add(first).unwrap().as_deref(), Some("b"));
        let second = br#"{"assets": [2, 3], "total": 3, "extra": []}"#;
        assert_eq!(pages.add(second).unwrap(), None);
        let all: Value = serde_json::from_str(&pages.into_text()).unwrap();
        assert_eq!(
            all,
            serde_json::json!({"assets": [1, 2, 3], "total": 3, "extra": []})
        );
    }

    #[test]
    fn repeated_page_and_response_without_pages_are_errors() {
        let mut pages = Pages::default();
        let page = br#"{"nextPageToken": "a"}"#;
        assert!(pages.add(page).is_ok());
        assert!(pages.add(page).is_err());
        assert!(pages.add(b"[1]").is_err());
        assert!(pages.add(b"").is_err());
    }
}
