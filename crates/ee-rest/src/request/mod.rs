//! One request.

pub(crate) mod body_fields;
pub(crate) mod idempotency;
pub(crate) mod path;
pub(crate) mod workload_tag;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::{AccessToken, RetryPolicy};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

use crate::builder::{API_KEY, QUOTA_PROJECT, check_project, quota_project};
use crate::client::Inner;
use crate::request::body_fields::add_fields;
use crate::request::path::Route;
use crate::send::events::PROFILING;
use crate::send::{exchange, exchange_streaming};
use crate::{Client, Error, ErrorKind, Response, StreamingResponse, WorkloadTag};

/// A request on its way to be sent; made by [`Client::request`].
///
/// What cannot be sent is reported by [`send`](Self::send), so that the calls chain.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    /// Boxed, since it is moved from call to call.
    draft: Box<Draft>,
}

/// What was said of a request so far.
#[derive(Clone, Default)]
struct Draft {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    content_type: Option<HeaderValue>,
    body: Option<Bytes>,
    project: Option<String>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    max_response_size: Option<usize>,
    idempotent: Option<bool>,
    /// None if nothing was said; the inner one for no tag.
    workload_tag: Option<Option<WorkloadTag>>,
    profiling: Option<bool>,
    /// What was wrong with the first thing that was wrong.
    mistake: Option<Error>,
}

/// A request that was found to make sense. Its body is made once; attempts share it.
pub(crate) struct Prepared {
    pub(crate) name: Name,
    /// What was said of it, but for its name.
    draft: Box<Draft>,
    /// The project that it is billed to, where that is another than the client's, or none.
    billed: Option<Option<HeaderValue>>,
    pub(crate) idempotent: bool,
}

/// The request as messages call it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Name {
    pub(crate) method: Method,
    pub(crate) route: Route,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.route)
    }
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: String) -> Self {
        let draft = Box::new(Draft {
            method,
            path,
            ..Draft::default()
        });
        Self { client, draft }
    }

    /// Adds a query parameter. Both are encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.draft.query.push((name.into(), value.into()));
        self
    }

    /// Sets the body to this value's JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => {
                self.draft.content_type = Some(HeaderValue::from_static(JSON));
                self.draft.body = Some(json.into());
            }
            Err(error) => self.mistake(
                Error::new(
                    ErrorKind::InvalidRequest,
                    "the body of the request cannot be written as JSON",
                )
                .with_source(error),
            ),
        }
        self
    }

    /// Sets the body to these bytes of this content type.
    pub fn body(self, bytes: impl Into<Bytes>, content_type: &str) -> Self {
        let mut request = self.header(CONTENT_TYPE, content_type);
        request.draft.body = Some(bytes.into());
        request
    }

    /// Sets a header, in the place of the client's own where it has one. Those that
    /// authenticate, and those that frame the body, cannot be set.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let ours = [
            &AUTHORIZATION,
            &API_KEY,
            &HOST,
            &CONTENT_LENGTH,
            &TRANSFER_ENCODING,
        ];
        if ours.contains(&&name) {
            self.mistake(Error::new(
                ErrorKind::InvalidRequest,
                format!("the header {name} is set by the client"),
            ));
        } else if let Ok(value) = HeaderValue::from_str(value) {
            if name == CONTENT_TYPE {
                self.draft.content_type = Some(value);
            } else {
                self.draft.headers.retain(|(other, _)| *other != name);
                self.draft.headers.push((name, value));
            }
        } else {
            // Not the value: it may be something that should not be shown.
            self.mistake(Error::new(
                ErrorKind::InvalidRequest,
                format!("the value for the header {name} cannot stand in a header"),
            ));
        }
        self
    }

    /// Sends this request in the name of another project than the client's.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.draft.project = Some(project.into());
        self
    }

    /// How this request is sent again; [`ClientBuilder::retry_policy`](crate::ClientBuilder::retry_policy) otherwise.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.draft.retry = Some(retry);
        self
    }

    /// How long one attempt may take; [`ClientBuilder::timeout`](crate::ClientBuilder::timeout) otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.timeout = Some(timeout);
        self
    }

    /// How long this call may take in all; [`ClientBuilder::deadline`](crate::ClientBuilder::deadline) otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.draft.deadline = Some(deadline);
        self
    }

    /// Whether sending it twice is no different from sending it once, where method and path
    /// do not say so or say otherwise. Only such a request is sent again when it got lost.
    pub fn idempotent(mut self, yes: bool) -> Self {
        self.draft.idempotent = Some(yes);
        self
    }

    /// The label under which its computing time is counted;
    /// [`ClientBuilder::workload_tag`](crate::ClientBuilder::workload_tag) otherwise. Empty is
    /// none. A `workloadTag` in the body beats both. Methods that know no tag are sent none.
    pub fn workload_tag(mut self, tag: impl AsRef<str>) -> Self {
        match tag.as_ref() {
            "" => self.draft.workload_tag = Some(None),
            tag => match WorkloadTag::new(tag) {
                Ok(tag) => self.draft.workload_tag = Some(Some(tag)),
                Err(error) => self.mistake(error),
            },
        }
        self
    }

    /// Asks for a profile of the computation; [`Response::profile_id`] then has its id.
    pub fn profiling(mut self, yes: bool) -> Self {
        self.draft.profiling = Some(yes);
        self
    }

    /// The longest reply that is read, in bytes; [`ClientBuilder::max_response_size`](crate::ClientBuilder::max_response_size)
    /// otherwise, and for [`send_streaming`](Self::send_streaming) any.
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.draft.max_response_size = Some(bytes);
        self
    }

    /// Sends it, and reads the whole reply.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidRequest`] or [`ErrorKind::NoProject`] before anything is sent;
    /// - [`ErrorKind::Token`] if there is no token to send;
    /// - [`ErrorKind::Api`] if the server refused (any status but 2xx);
    /// - [`ErrorKind::Network`] or [`ErrorKind::Timeout`] if no answer came;
    /// - [`ErrorKind::InvalidResponse`] if the reply is longer than allowed;
    /// - [`ErrorKind::Runtime`] outside of a tokio runtime.
    ///
    /// After all retries, it is the last failure that is returned, even if there was no time for
    /// the next turn or token; where a token is refused for good, the reason for that.
    pub async fn send(self) -> Result<Response, Error> {
        let client = &*self.client.0;
        let mut request = self.draft.prepare(client)?;
        exchange(client, &mut request).await
    }

    /// Sends it, and returns as soon as the reply begins, to be read piece by piece.
    ///
    /// It is sent again as by [`send`](Self::send), but not once the reply has begun: what
    /// was read cannot be taken back. The [`timeout`](Self::timeout) is for the beginning,
    /// and then for each piece anew; the [`deadline`](Self::deadline), if there is one, for
    /// all of it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_streaming(self) -> Result<StreamingResponse, Error> {
        let client = &*self.client.0;
        let mut request = self.draft.prepare(client)?;
        exchange_streaming(client, &mut request).await
    }

    /// A request that is not sent, for this reason.
    pub(crate) fn failed(mut self, why: Error) -> Self {
        self.mistake(why);
        self
    }

    /// The same request once more.
    pub(crate) fn copy(&self) -> Self {
        Self {
            client: self.client.clone(),
            draft: self.draft.clone(),
        }
    }

    /// How long it may take in all, if there is an end.
    pub(crate) fn time_in_all(&self) -> Option<Duration> {
        self.draft.deadline.or(self.client.0.options.deadline)
    }

    fn mistake(&mut self, error: Error) {
        self.draft.mistake.get_or_insert(error);
    }
}

impl Draft {
    fn prepare(mut self: Box<Self>, client: &Inner) -> Result<Prepared, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let options = &client.options;
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let project = self.project.as_deref().or(options.project.as_deref());
        let route = Route::new(std::mem::take(&mut self.path), project)?;
        let billed = match (&self.project, &options.quota_project) {
            _ if route.is_discovery() => Some(None),
            (Some(project), None) => Some(quota_project(project)?),
            _ => None,
        };
        let idempotent = self.add_fields(&route, client);
        Ok(Prepared {
            billed,
            idempotent: self.idempotent.unwrap_or(idempotent),
            name: Name {
                method: std::mem::take(&mut self.method),
                route,
            },
            draft: self,
        })
    }

    /// Adds the fields of ours. Returns whether the request then is idempotent.
    fn add_fields(&mut self, route: &Route, client: &Inner) -> bool {
        let tag = match &self.workload_tag {
            Some(tag) => tag.as_ref(),
            None => client.workload_tag.as_ref(),
        };
        let json = self.content_type.as_ref();
        let json = json.is_some_and(|value| value.as_bytes().starts_with(JSON.as_bytes()));
        let body = self.body.as_mut().filter(|_| json);
        add_fields(&self.method, route, tag, &mut self.query, body)
    }
}

impl Prepared {
    /// One attempt, with the emulator in the place of the host.
    pub(crate) fn attempt(
        &self,
        client: &Inner,
        token: Option<&AccessToken>,
    ) -> Result<reqwest::Request, Error> {
        let mut attempt = reqwest::Request::new(self.name.method.clone(), self.url(client)?);
        *attempt.headers_mut() = self.headers(client, token);
        *attempt.body_mut() = self.draft.body.clone().map(reqwest::Body::from);
        Ok(attempt)
    }

    fn url(&self, client: &Inner) -> Result<Url, Error> {
        let last = &client.shared.last_url;
        let mut url = self.name.route.url_after(last, &client.target)?;
        if !self.draft.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.draft.query);
        }
        Ok(url)
    }

    fn headers(&self, client: &Inner, token: Option<&AccessToken>) -> HeaderMap {
        // A copy is cheaper than a map that is filled header by header.
        let mut headers = client.headers.clone();
        match &self.billed {
            None => {}
            Some(Some(billed)) => {
                headers.insert(QUOTA_PROJECT, billed.clone());
            }
            Some(None) => {
                headers.remove(QUOTA_PROJECT);
            }
        }
        let draft = &self.draft;
        if draft.profiling.unwrap_or(client.options.profiling) {
            headers.insert(PROFILING, HeaderValue::from_static("1"));
        }
        // Google's front ends refuse a POST that does not say how long it is (411).
        if draft.body.is_none() && matches!(self.name.method, Method::POST | Method::PUT) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(content_type) = &draft.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        for (name, value) in &draft.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header().clone());
        }
        headers
    }

    pub(crate) fn retry_policy<'a>(&'a self, client: &'a Inner) -> &'a RetryPolicy {
        self.draft.retry.as_ref().unwrap_or(&client.options.retry)
    }

    pub(crate) fn timeout(&self, client: &Inner) -> Duration {
        self.draft.timeout.unwrap_or(client.options.timeout)
    }

    pub(crate) fn deadline(&self, client: &Inner) -> Option<Duration> {
        self.draft.deadline.or(client.options.deadline)
    }

    pub(crate) fn max_response_size(&self, client: &Inner) -> usize {
        self.own_max_reply()
            .unwrap_or(client.options.max_response_size)
    }

    /// The same, if it was given to this request.
    pub(crate) fn own_max_reply(&self) -> Option<usize> {
        self.draft.max_response_size
    }
}

const JSON: &str = "application/json";

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.draft.method)
            .field("path", &self.draft.path)
            .finish_non_exhaustive()
    }
}
