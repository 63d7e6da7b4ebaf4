//! Lists that come in pages.

pub(crate) mod list;

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, RequestBuilder, Response};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it; may be nothing, even if other pages follow.
    pub items: Vec<T>,
    /// The token of the next page; none on the last.
    pub next_page_token: Option<String>,
}

/// A place in a list, to go on from: in another process too, as it can be serialized.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    /// The token of the page; none for the first.
    pub page_token: Option<String>,
    /// How many items of that page come before.
    pub skip: usize,
}

/// Makes the request for the page with this token.
type Ask = Arc<dyn Fn(Option<&str>) -> RequestBuilder + Send + Sync>;
type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

/// The pages of a list, fetched one after the other as they are asked for: a [`Stream`] of
/// [`Page`]s, and of items by [`items`](Self::items).
///
/// Each page is a request of its own, with retries and the renewal of tokens. After the first
/// error the stream ends; [`position`](Self::position) then is the page that failed, where
/// [`resume`](Self::resume) goes on. Nothing is lost and nothing comes twice.
///
/// ```no_run
/// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
/// let mut pages = client.operations().list().page_size(100).pages();
/// while let Some(page) = pages.next_page().await {
///     println!("{} operations", page?.items.len());
/// }
/// # Ok(()) }
/// ```
pub struct Pages<T> {
    ask: Ask,
    key: Arc<str>,
    /// None behind the last page.
    at: Option<PageCursor>,
    failed: bool,
    fetching: Option<Fetching<T>>,
}

impl<T: DeserializeOwned + Send + 'static> Pages<T> {
    /// The pages of any list of the API. `ask` makes the request for the page with the token;
    /// `key` is the field of the reply that holds the items.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use ee_rest::Pages;
    ///
    /// let pages: Pages<serde_json::Value> = Pages::new("featureViews", move |token| {
    ///     let request = client.request(http::Method::GET, "featureViews");
    ///     match token {
    ///         Some(token) => request.query("pageToken", token),
    ///         None => request,
    ///     }
    /// });
    /// let all = pages.items().all().await?;
    /// # let _ = all; Ok(()) }
    /// ```
    pub fn new(
        key: &str,
        ask: impl Fn(Option<&str>) -> RequestBuilder + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            key: key.into(),
            at: Some(PageCursor::default()),
            failed: false,
            fetching: None,
        }
    }

    /// Goes on at a place that [`position`](Self::position) or [`ItemStream::position`] told.
    #[must_use]
    pub fn resume(mut self, at: PageCursor) -> Self {
        self.at = Some(at);
        self.failed = false;
        self.fetching = None;
        self
    }

    /// The page that comes next, or that failed; none after the last.
    pub fn position(&self) -> Option<&PageCursor> {
        self.at.as_ref()
    }

    /// The next page; none after the last, and after an error.
    pub async fn next_page(&mut self) -> Option<Result<Page<T>, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The items of the pages.
    pub fn items(self) -> ItemStream<T> {
        ItemStream {
            at: self.at.clone(),
            pages: self,
            ready: VecDeque::new(),
        }
    }

    fn fetch(&self, at: &PageCursor) -> Fetching<T> {
        let token = at.page_token.clone();
        let request = (self.ask)(token.as_deref());
        let key = self.key.clone();
        let skip = at.skip;
        Box::pin(async move {
            let response = request.send().await?;
            let mut page = read(&response, &key)?;
            if page.next_page_token.is_some() && page.next_page_token == token {
                return Err(invalid(
                    &response,
                    "names itself as the next page".to_owned(),
                ));
            }
            page.items.drain(..skip.min(page.items.len()));
            Ok(page)
        })
    }
}

impl<T: DeserializeOwned + Send + 'static> Stream for Pages<T> {
    type Item = Result<Page<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let pages = self.get_mut();
        let at = match &pages.at {
            Some(at) if !pages.failed => at,
            _ => return Poll::Ready(None),
        };
        let fetching = match pages.fetching.take() {
            Some(fetching) => fetching,
            None => pages.fetch(at),
        };
        let fetching = pages.fetching.insert(fetching);
        let result = ready!(fetching.as_mut().poll(context));
        pages.fetching = None;
        match &result {
            Ok(page) => {
                pages.at = page.next_page_token.as_ref().map(|next| PageCursor {
                    page_token: Some(next.clone()),
                    skip: 0,
                });
            }
            Err(_) => pages.failed = true,
        }
        Poll::Ready(Some(result))
    }
}

/// The items of a list, page after page; made by [`Pages::items`]. A [`Stream`] that ends
/// after the first error.
pub struct ItemStream<T> {
    pages: Pages<T>,
    ready: VecDeque<T>,
    at: Option<PageCursor>,
}

impl<T: DeserializeOwned + Send + 'static> ItemStream<T> {
    /// Where the next item is, to [go on](Pages::resume) from; none after the last.
    pub fn position(&self) -> Option<&PageCursor> {
        self.at.as_ref()
    }

    /// The next item; none after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// All that are left, in memory.
    ///
    /// # Errors
    /// The first.
    pub async fn all(mut self) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }
}

// ItemStream are moved, never pinned.
impl<T> Unpin for ItemStream<T> {}
impl<T> Unpin for Pages<T> {}

impl<T: DeserializeOwned + Send + 'static> Stream for ItemStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let items = self.get_mut();
        loop {
            if let Some(item) = items.ready.pop_front() {
                if items.ready.is_empty() {
                    // All of the page is given.
                    items.at.clone_from(&items.pages.at);
                } else if let Some(at) = &mut items.at {
                    at.skip = at.skip.saturating_add(1);
                }
                return Poll::Ready(Some(Ok(item)));
            }
            let asked = items.pages.at.clone();
            match ready!(Pin::new(&mut items.pages).poll_next(context)) {
                Some(Ok(page)) => {
                    items.ready = page.items.into();
                    items.at = if items.ready.is_empty() {
                        items.pages.at.clone()
                    } else {
                        asked
                    };
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("key", &self.key)
            .field("over", &self.at.is_none())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream")
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

/// Reads a page. No list at all is an empty one, as Google leaves empty fields out.
pub(crate) fn read<T: DeserializeOwned>(response: &Response, key: &str) -> Result<Page<T>, Error> {
    let mut reply: Map<String, Value> = response.json()?;
    let next_page_token = match reply.remove("nextPageToken") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token).filter(|token| !token.is_empty()),
        Some(_) => {
            return Err(invalid(
                response,
                "has a `nextPageToken` that is no text".to_owned(),
            ));
        }
    };
    let items = match reply.remove(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            return Err(invalid(
                response,
                format!("has a field `{key}` that is no list"),
            ));
        }
    };
    let items = items.into_iter().enumerate().map(|(number, item)| {
        serde_json::from_value(item).map_err(|error| {
            invalid(
                response,
                format!(
                    "has an item that is not of the form expected: {key}[{number}]: {}",
                    without_values(&error.to_string())
                ),
            )
        })
    });
    Ok(Page {
        items: items.collect::<Result<_, _>>()?,
        next_page_token,
    })
}

/// What a parser says, without the reply's own words.
fn without_values(said: &str) -> &str {
    match said.rfind(", expected ") {
        Some(at) => &said[at + 2..],
        None if said.starts_with("missing field") => said,
        None => "wrong type",
    }
}

fn invalid(response: &Response, what: String) -> Error {
    Error::after(
        response.attempts(),
        ErrorKind::InvalidResponse,
        format!("the answer to {} {what}", response.name),
    )
}
