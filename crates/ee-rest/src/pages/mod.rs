//! Paginated lists.

pub(crate) mod list;
mod raw;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[cfg(fuzzing)]
use crate::Response;
use crate::pages::raw::RawPage;
use crate::{Error, RequestBuilder};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items. May be empty even if more pages follow.
    pub items: Vec<T>,
    /// The token of the next page, or `None` on the last page.
    pub next_page_token: Option<String>,
    /// The locations that the server could not reach, whose items are missing.
    pub unreachable: Vec<String>,
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
type Fetching = Pin<Box<dyn Future<Output = Result<RawPage, Error>> + Send>>;

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
    fetching: Option<Fetching>,
    /// The hashes of the tokens of earlier pages. A list that returns to one would never end.
    seen: HashSet<u64>,
    hasher: RandomState,
    of: PhantomData<fn() -> T>,
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
            seen: HashSet::new(),
            hasher: RandomState::new(),
            of: PhantomData,
        }
    }

    /// Resumes at a position returned by [`position`](Self::position) or [`ItemStream::position`].
    #[must_use]
    pub fn resume(mut self, at: PageCursor) -> Self {
        self.at = Some(at);
        self.failed = false;
        self.fetching = None;
        self.seen.clear();
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
            page: None,
            unreachable: Vec::new(),
        }
    }

    fn fetch(&self, at: &PageCursor) -> Fetching {
        let request = (self.request)(at.page_token.as_deref());
        let key = self.key.clone();
        let skip = at.skip;
        Box::pin(async move {
            let mut page = RawPage::read(request.send().await?, &key)?;
            page.skip(skip)?;
            Ok(page)
        })
    }

    /// Fetches the next page without parsing its items.
    fn poll_raw(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RawPage, Error>>> {
        let at = match &self.at {
            Some(at) if !self.failed => at,
            _ => return Poll::Ready(None),
        };
        let fetching = match self.fetching.take() {
            Some(fetching) => fetching,
            None => self.fetch(at),
        };
        let fetching = self.fetching.insert(fetching);
        let result = ready!(fetching.as_mut().poll(context));
        self.fetching = None;
        let result = result.and_then(|page| match self.advance(&page) {
            true => Ok(page),
            false => Err(page.invalid("has the `nextPageToken` of an earlier page")),
        });
        self.failed = result.is_err();
        Poll::Ready(Some(result))
    }

    /// Moves on to the next page. Returns whether it is a new one.
    fn advance(&mut self, page: &RawPage) -> bool {
        let hash = |token: &String| self.hasher.hash_one(token);
        let current = self.at.as_ref().and_then(|at| at.page_token.as_ref());
        self.seen.extend(current.map(hash));
        let next = page.next_page_token.as_ref();
        if next.map(hash).is_some_and(|hash| self.seen.contains(&hash)) {
            return false;
        }
        self.at = next.map(|token| PageCursor {
            page_token: Some(token.clone()),
            skip: 0,
        });
        true
    }
}

impl<T: DeserializeOwned + Send + 'static> Stream for Pages<T> {
    type Item = Result<Page<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let pages = self.get_mut();
        let page_start = pages.at.clone();
        let result = ready!(pages.poll_raw(context));
        Poll::Ready(result.map(|page| {
            let page = page?.parse();
            if page.is_err() {
                pages.failed = true;
                pages.at = page_start;
            }
            page
        }))
    }
}

/// The items of a list, created by [`Pages::items`]: a [`Stream`] that fetches pages as needed,
/// parses one item at a time, and ends after the first error.
pub struct ItemStream<T> {
    pages: Pages<T>,
    page: Option<RawPage>,
    at: Option<PageCursor>,
    unreachable: Vec<String>,
}

impl<T: DeserializeOwned + Send + 'static> ItemStream<T> {
    /// Returns the position of the next item, to [resume](Pages::resume) at, or `None` after the
    /// last.
    pub fn position(&self) -> Option<&PageCursor> {
        self.at.as_ref()
    }

    /// Returns the locations that the server could not reach so far, whose items are missing.
    pub fn unreachable(&self) -> &[String] {
        &self.unreachable
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
            if let Some(page) = &mut items.page
                && let Some(item) = page.next_item()
            {
                if item.is_err() {
                    items.pages.failed = true;
                    items.page = None;
                } else if page.is_empty() {
                    // The page is used up.
                    items.at.clone_from(&items.pages.at);
                } else if let Some(at) = &mut items.at {
                    at.skip = at.skip.saturating_add(1);
                }
                return Poll::Ready(Some(item));
            }
            let page_start = items.pages.at.clone();
            match ready!(items.pages.poll_raw(context)) {
                Some(Ok(mut page)) => {
                    for location in std::mem::take(&mut page.unreachable) {
                        if !items.unreachable.contains(&location) {
                            items.unreachable.push(location);
                        }
                    }
                    items.at = if page.is_empty() {
                        items.pages.at.clone()
                    } else {
                        page_start
                    };
                    items.page = Some(page);
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
            .field("position", &self.at.as_ref().map(|at| at.skip))
            .finish_non_exhaustive()
    }
}

/// Parses a page. A missing list is empty, because Google omits empty fields.
#[cfg(fuzzing)]
pub(crate) fn read<T: DeserializeOwned>(response: &Response, key: &str) -> Result<Page<T>, Error> {
    RawPage::read(response.clone(), key)?.parse()
}
