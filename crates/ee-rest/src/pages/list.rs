//! List requests.

use std::fmt;
use std::marker::PhantomData;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::request::finite::to_value;
use crate::{Client, Error, ItemStream, PageCursor, Pages};

/// A request for a list: set its options, then read its [`items`](Self::items) or
/// [`pages`](Self::pages). Nothing is sent before they are polled.
#[must_use = "a list request does nothing until its items or pages are polled"]
pub struct ListRequest<T> {
    client: Client,
    /// The path, or the first validation error.
    path: Result<String, Error>,
    key: &'static str,
    options: ListOptions,
    of: PhantomData<fn() -> T>,
}

/// The options of a list, in the query or in the body.
enum ListOptions {
    Query(Vec<(String, String)>),
    Body(Map<String, Value>),
}

const PAGE_TOKEN: &str = "pageToken";

impl ListOptions {
    /// Removes and returns the first page's token, which must not be sent with later pages.
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
        Self::new(client, Ok(path), key, ListOptions::Query(Vec::new()))
    }

    /// Like [`get`](Self::get), for a path that may be invalid. The first page reports the error.
    pub(crate) fn get_checked(
        client: &Client,
        path: Result<String, Error>,
        key: &'static str,
    ) -> Self {
        Self::new(client, path, key, ListOptions::Query(Vec::new()))
    }

    pub(crate) fn post(
        client: &Client,
        path: &str,
        key: &'static str,
        body: Map<String, Value>,
    ) -> Self {
        Self::new(client, Ok(path.to_owned()), key, ListOptions::Body(body))
    }

    fn new(
        client: &Client,
        path: Result<String, Error>,
        key: &'static str,
        options: ListOptions,
    ) -> Self {
        Self {
            client: client.clone(),
            path,
            key,
            options,
            of: PhantomData,
        }
    }

    /// Sets the maximum number of items per page. The server may return fewer.
    pub fn page_size(self, items: u32) -> Self {
        // The API has signed integers.
        self.option("pageSize", items.min(i32::MAX.unsigned_abs()))
    }

    /// Sets a filter: `properties.x>=1 AND startTime>="2024-01-01T00:00:00Z"`, for example.
    pub fn filter(self, filter: &str) -> Self {
        self.option("filter", filter)
    }

    /// Sets any other option of the API. Null (`()`, for example) removes it. With a `pageToken`, the
    /// list starts at that page.
    pub fn option(mut self, name: &str, value: impl Serialize) -> Self {
        let value = match to_value(&format!("the option `{name}`"), value) {
            Ok(value) => value,
            Err(error) => {
                self.path = self.path.and(Err(error));
                return self;
            }
        };
        match &mut self.options {
            ListOptions::Body(body) => {
                body.insert(name.to_owned(), value);
            }
            ListOptions::Query(query) => {
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

    /// Returns the pages, each of which is fetched by a request of its own.
    pub fn pages(self) -> Pages<T> {
        let Self {
            client,
            path,
            mut options,
            ..
        } = self;
        let page_token = options.take_page_token();
        let pages = Pages::new(self.key, move |token| {
            let path = match &path {
                Ok(path) => path,
                Err(error) => return client.request(Method::GET, "").with_error(error.clone()),
            };
            match &options {
                ListOptions::Query(query) => {
                    let mut request = client.request(Method::GET, path);
                    for (name, value) in query {
                        request = request.query(name, value);
                    }
                    match token {
                        Some(token) => request.query(PAGE_TOKEN, token),
                        None => request,
                    }
                }
                ListOptions::Body(body) => {
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

    /// Returns the items of all pages.
    pub fn items(self) -> ItemStream<T> {
        self.pages().items()
    }
}

/// A request for a computed list, created by [`Client::compute_features`] or
/// [`Client::compute_images`]. The expression filters the collection, so there is no filter:
///
/// ```compile_fail
/// # fn f(client: ee_rest::Client, collection: serde_json::Value) -> Result<(), ee_rest::Error> {
/// client.compute_images(&collection)?.filter("a=1");
/// # Ok(()) }
/// ```
#[must_use = "a list request does nothing until its items or pages are polled"]
pub struct ComputedListRequest<T>(pub(crate) ListRequest<T>);

impl<T: DeserializeOwned + Send + 'static> ComputedListRequest<T> {
    /// Sets the maximum number of items per page. The server may return fewer.
    pub fn page_size(self, items: u32) -> Self {
        Self(self.0.page_size(items))
    }

    /// Sets any other option of the API; see [`ListRequest::option`].
    pub fn option(self, name: &str, value: impl Serialize) -> Self {
        Self(self.0.option(name, value))
    }

    /// Returns the pages, each of which is fetched by a request of its own.
    pub fn pages(self) -> Pages<T> {
        self.0.pages()
    }

    /// Returns a stream of the items of all pages.
    pub fn items(self) -> ItemStream<T> {
        self.0.items()
    }
}

impl<T> fmt::Debug for ComputedListRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for ListRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListRequest")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
