//! A page whose items are parsed one by one: parsed items can be many times as large as their text.

use std::fmt;

use bytes::Bytes;
use ee_token::Remedy;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;

use crate::pages::Page;
use crate::{Error, Response};

/// The maximum size of the parsed items of a [`Page`], without the memory that they own.
const MAX_PARSED_SIZE: usize = 64 * 1024 * 1024;

/// A page and its items that have not been parsed yet.
pub(super) struct RawPage {
    response: Response,
    key: Box<str>,
    pub(super) next_page_token: Option<String>,
    pub(super) unreachable: Vec<String>,
    /// The items, separated by commas.
    rest: Bytes,
    parsed: usize,
}

impl RawPage {
    /// Reads a page. A missing list is empty, because Google omits empty fields.
    pub(super) fn read(response: Response, key: &str) -> Result<Self, Error> {
        let mut json = serde_json::Deserializer::from_slice(&response.body);
        let fields = Fields(key).deserialize(&mut json);
        let fields = fields.and_then(|fields| json.end().map(|()| fields));
        let found = fields.map_err(|error| response.not_json(&error))?;
        let list = found.list.map_or(&[][..], |list| list.get().as_bytes());
        let rest = match list {
            [] | b"null" => Some(Bytes::new()),
            [b'[', items @ .., b']'] => Some(response.body.slice_ref(items)),
            _ => None,
        };
        let token = found.token.map_or(Ok(None), Option::deserialize);
        // Informative, so that an unexpected value fails nothing.
        let unreachable = found.unreachable.map(Vec::deserialize);
        let unreachable = unreachable.and_then(Result::ok).unwrap_or_default();
        let mut page = Self {
            rest: rest.clone().unwrap_or_default(),
            key: key.into(),
            next_page_token: None,
            unreachable,
            parsed: 0,
            response,
        };
        if rest.is_none() {
            return Err(page.invalid(&format!("has a field `{key}` that is not an array")));
        }
        match token {
            Ok(token) => page.next_page_token = token.filter(|token: &String| !token.is_empty()),
            Err(_) => return Err(page.invalid("has a `nextPageToken` that is not a string")),
        }
        page.find_next();
        Ok(page)
    }

    /// Returns whether there are no more items.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Parses the next item.
    pub(super) fn next_item<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>> {
        let mut items = serde_json::Deserializer::from_slice(&self.rest).into_iter();
        let item = items.next()?.map_err(|error| {
            self.invalid(&format!(
                "has an invalid item: {}[{}]: {}",
                self.key,
                self.parsed,
                without_values(&error.to_string())
            ))
        });
        let end = items.byte_offset();
        let _ = self.rest.split_to(end);
        self.parsed += 1;
        self.find_next();
        Some(item)
    }

    /// Moves on to the start of the next item.
    fn find_next(&mut self) {
        let separator = |b: &u8| b.is_ascii_whitespace() || *b == b',';
        let next = self.rest.iter().take_while(|b| separator(b)).count();
        let _ = self.rest.split_to(next);
    }

    /// Skips items, or all if there are fewer.
    pub(super) fn skip(&mut self, items: usize) -> Result<(), Error> {
        for _ in 0..items {
            match self.next_item::<IgnoredAny>() {
                Some(item) => item.map(drop)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Parses all items.
    pub(super) fn parse<T: DeserializeOwned>(mut self) -> Result<Page<T>, Error> {
        let max = MAX_PARSED_SIZE / size_of::<T>().max(1);
        let mut items = Vec::new();
        while let Some(item) = self.next_item() {
            if items.len() == max {
                let error = self.invalid(&format!("has more than {max} items on a page"));
                return Err(error.with_remedy(Remedy::new(
                    "Set a smaller page size, or read the list with `items`, which parses one item at a time.",
                )));
            }
            items.push(item?);
        }
        Ok(Page {
            items,
            next_page_token: self.next_page_token,
            unreachable: self.unreachable,
        })
    }

    pub(super) fn invalid(&self, what: &str) -> Error {
        let response = &self.response;
        Error::invalid_response(
            response.attempts(),
            format!("the response to {} {what}", response.name),
        )
    }
}

/// Finds the field of this name and those that all lists have, without parsing them.
struct Fields<'k>(&'k str);

#[derive(Default)]
struct Found<'de> {
    list: Option<&'de RawValue>,
    token: Option<&'de RawValue>,
    unreachable: Option<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                found.list = Some(map.next_value()?);
            } else if name == "nextPageToken" {
                found.token = Some(map.next_value()?);
            } else if name == "unreachable" {
                found.unreachable = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Removes the quoted values from a serde error message.
fn without_values(message: &str) -> &str {
    match message.rfind(", expected ") {
        Some(at) => &message[at + 2..],
        None if message.starts_with("missing field") => message,
        None => "wrong type",
    }
}
