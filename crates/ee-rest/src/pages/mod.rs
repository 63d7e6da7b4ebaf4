//! Paginated lists.

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

use crate::{Error, RequestBuilder, Response};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items. May be empty even if more pages follow.
    pub items: Vec<T>,
    /// The token of the next page, or `None` on the last page.
    pub next_page_token: Option<String>,
}

/// A position in a list. It can be serialized, to resume the list in another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    /// The token of the page, or `None` for the first page.
    pub page_token: Option<String>,
    /// The number of items of that page to skip.
    pub skip: usize,
}

/// Builds the request for the page with this token.
type PageRequest = Arc<dyn Fn(Option<&str>) -> RequestBuilder + Send + Sync>;
type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

/// The pages of a list, fetched lazily and in order: a [`Stream`] of [`Page`]s. Use
/// [`items`](Self::items) for a stream of items.
///
/// Each page is fetched by its own request, with retries and token renewal. The stream ends after
/// the first error. [`position`](Self::position) is then the page that failed, where
/// [`resume`](Self::resume) continues without losing or repeating an item.
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
    request: PageRequest,
    key: Arc<str>,
    /// `None` after the last page.
    at: Option<PageCursor>,
    failed: bool,
    fetching: Option<Fetching<T>>,
}

impl<T: DeserializeOwned + Send + 'static> Pages<T> {
    /// Creates the pages of any list of the API. `request` builds the request for the page with the
    /// given token; `key` is the response field that holds the items.
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
        request: impl Fn(Option<&str>) -> RequestBuilder + Send + Sync + 'static,
    ) -> Self {
        Self {
            request: Arc::new(request),
            key: key.into(),
            at: Some(PageCursor::default()),
            failed: false,
            fetching: None,
        }
    }

    /// Resumes at a position returned by [`position`](Self::position) or [`ItemStream::position`].
    #[must_use]
    pub fn resume(mut self, at: PageCursor) -> Self {
        self.at = Some(at);
        self.failed = false;
        self.fetching = None;
        self
    }

    /// Returns the position of the next or failed page, or `None` after the last.
    pub fn position(&self) -> Option<&PageCursor> {
        self.at.as_ref()
    }

    /// Fetches the next page. Returns `None` after the last page or an error.
    pub async fn next_page(&mut self) -> Option<Result<Page<T>, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns a stream of the items.
    pub fn items(self) -> ItemStream<T> {
        ItemStream {
            at: self.at.clone(),
            pages: self,
            ready: VecDeque::new(),
        }
    }

    fn fetch(&self, at: &PageCursor) -> Fetching<T> {
        let token = at.page_token.clone();
        let request = (self.request)(token.as_deref());
        let key = self.key.clone();
        let skip = at.skip;
        Box::pin(async move {
            let response = request.send().await?;
            let mut page = read(&response, &key)?;
            if page.next_page_token.is_some() && page.next_page_token == token {
                return Err(invalid(
                    &response,
                    "has a `nextPageToken` that refers to the same page".to_owned(),
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

/// The items of a list, created by [`Pages::items`]: a [`Stream`] that fetches pages as needed and
/// ends after the first error.
pub struct ItemStream<T> {
    pages: Pages<T>,
    ready: VecDeque<T>,
    at: Option<PageCursor>,
}

impl<T: DeserializeOwned + Send + 'static> ItemStream<T> {
    /// Returns the position of the next item, to [resume](Pages::resume) at, or `None` after the
    /// last.
    pub fn position(&self) -> Option<&PageCursor> {
        self.at.as_ref()
    }

    /// Returns the next item, or `None` after the last item or an error.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Collects all remaining items.
    ///
    /// # Errors
    /// Returns the first error.
    pub async fn all(mut self) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }
}

// Both types can be moved while being polled.
impl<T> Unpin for ItemStream<T> {}
impl<T> Unpin for Pages<T> {}

impl<T: DeserializeOwned + Send + 'static> Stream for ItemStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let items = self.get_mut();
        loop {
            if let Some(item) = items.ready.pop_front() {
                if items.ready.is_empty() {
                    // The page is used up.
                    items.at.clone_from(&items.pages.at);
                } else if let Some(at) = &mut items.at {
                    at.skip = at.skip.saturating_add(1);
                }
                return Poll::Ready(Some(Ok(item)));
            }
            let page_start = items.pages.at.clone();
            match ready!(Pin::new(&mut items.pages).poll_next(context)) {
                Some(Ok(page)) => {
                    items.ready = page.items.into();
                    items.at = if items.ready.is_empty() {
                        items.pages.at.clone()
                    } else {
                        page_start
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
            .field("done", &self.at.is_none())
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

/// Parses a page. A missing list is empty, because Google omits empty fields.
pub(crate) fn read<T: DeserializeOwned>(response: &Response, key: &str) -> Result<Page<T>, Error> {
    let mut fields: Map<String, Value> = response.json()?;
    let next_page_token = match fields.remove("nextPageToken") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token).filter(|token| !token.is_empty()),
        Some(_) => {
            return Err(invalid(
                response,
                "has a `nextPageToken` that is not a string".to_owned(),
            ));
        }
    };
    let items = match fields.remove(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            return Err(invalid(
                response,
                format!("has a field `{key}` that is not an array"),
            ));
        }
    };
    let items = items.into_iter().enumerate().map(|(number, item)| {
        serde_json::from_value(item).map_err(|error| {
            invalid(
                response,
                format!(
                    "has an invalid item: {key}[{number}]: {}",
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

/// Removes the quoted values from a serde error message.
fn without_values(message: &str) -> &str {
    match message.rfind(", expected ") {
        Some(at) => &message[at + 2..],
        None if message.starts_with("missing field") => message,
        None => "wrong type",
    }
}

fn invalid(response: &Response, what: String) -> Error {
    Error::invalid_response(
        response.attempts(),
        format!("the response to {} {what}", response.name),
    )
}
