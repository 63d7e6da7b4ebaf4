//! A list that is about to be asked for.

use std::fmt;
use std::marker::PhantomData;

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{Client, Error, ItemStream, PageCursor, Pages};

/// A list that is about to be asked for: choose what is on it, then take its
/// [`items`](Self::items) or its [`pages`](Self::pages). Nothing is sent until they are asked
/// for.
#[must_use = "a list is asked for by its items or pages"]
pub struct ListRequest<T> {
    client: Client,
    path: Result<String, Error>,
    key: &'static str,
    how: How,
    of: PhantomData<fn() -> T>,
}

/// Where the options of a list go.
enum How {
    Query(Vec<(String, String)>),
    Body(Map<String, Value>),
}

const PAGE_TOKEN: &str = "pageToken";

impl How {
    /// Takes out the page that the list begins at, which the pages after it must not repeat.
    fn take_page_token(&mut self) -> Option<String> {
        match self {
            Self::Query(query) => {
                let at = query.iter().position(|(name, _)| name == PAGE_TOKEN)?;
                Some(query.remove(at).1)
            }
            Self::Body(body) => match body.remove(PAGE_TOKEN)? {
                Value::Null => None,
                Value::String(token) => Some(token),
                other => Some(other.to_string()),
            },
        }
        .filter(|token| !token.is_empty())
    }
}

impl<T: DeserializeOwned + Send + 'static> ListRequest<T> {
    pub(crate) fn get(client: &Client, path: String, key: &'static str) -> Self {
        Self::new(client, Ok(path), key, How::Query(Vec::new()))
    }

    /// A list whose path may have turned out wrong; whoever asks for it is told.
    pub(crate) fn get_checked(
        client: &Client,
        path: Result<String, Error>,
        key: &'static str,
    ) -> Self {
        Self::new(client, path, key, How::Query(Vec::new()))
    }

    pub(crate) fn post(
        client: &Client,
        path: &str,
        key: &'static str,
        body: Map<String, Value>,
    ) -> Self {
        Self::new(client, Ok(path.to_owned()), key, How::Body(body))
    }

    fn new(client: &Client, path: Result<String, Error>, key: &'static str, how: How) -> Self {
        Self {
            client: client.clone(),
            path,
            key,
            how,
            of: PhantomData,
        }
    }

    /// How many items there may be on a page; the server may put fewer.
    pub fn page_size(self, items: u32) -> Self {
        self.option("pageSize", items)
    }

    /// Which items: `properties.x>=1 AND startTime>="2024-01-01T00:00:00Z"`, for example
    /// (<https://google.aip.dev/160>).
    pub fn filter(self, filter: &str) -> Self {
        self.option("filter", filter)
    }

    /// Sets any other option that the API knows; `null` is none. With a `pageToken` the list
    /// begins at that page.
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        match &mut self.how {
            How::Body(body) => {
                body.insert(name.to_owned(), value);
            }
            How::Query(query) => {
                query.retain(|(other, _)| other != name);
                let value = match value {
                    Value::Null => return self,
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                query.push((name.to_owned(), value));
            }
        }
        self
    }

    /// The pages, one request each.
    pub fn pages(self) -> Pages<T> {
        let Self {
            client,
            path,
            mut how,
            ..
        } = self;
        let page_token = how.take_page_token();
        let pages = Pages::new(self.key, move |token| {
            let path = match &path {
                Ok(path) => path,
                Err(error) => return client.request(Method::GET, "").failed(error.clone()),
            };
            match &how {
                How::Query(query) => {
                    let mut request = client.request(Method::GET, path);
                    for (name, value) in query {
                        request = request.query(name, value);
                    }
                    match token {
                        Some(token) => request.query(PAGE_TOKEN, token),
                        None => request,
                    }
                }
                How::Body(body) => {
                    let request = client.request(Method::POST, path);
                    match token {
                        None => request.json(body),
                        Some(token) => {
                            let mut body = body.clone();
                            body.insert(PAGE_TOKEN.into(), json!(token));
                            request.json(&body)
                        }
                    }
                }
            }
        });
        match page_token {
            Some(_) => pages.resume(PageCursor {
                page_token,
                skip: 0,
            }),
            None => pages,
        }
    }

    /// The items, page after page.
    pub fn items(self) -> ItemStream<T> {
        self.pages().items()
    }
}

impl<T> fmt::Debug for ListRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListRequest")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
