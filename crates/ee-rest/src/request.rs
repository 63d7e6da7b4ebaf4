//! One request.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::RetryPolicy;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

use crate::builder::{API_KEY, QUOTA_PROJECT, check_project, quota_project};
use crate::path::Route;
use crate::send::exchange;
use crate::{Client, Error, ErrorKind, Response};

/// A request on its way to be sent; made by [`Client::request`].
///
/// What cannot be sent is reported by [`send`](Self::send), so that the calls chain.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    project: Option<String>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
    max_reply: Option<usize>,
    /// What was wrong with the first thing that was wrong.
    mistake: Option<Error>,
}

/// A request that was found to make sense. Its body is made once; attempts share it.
pub(crate) struct Prepared {
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) max_reply: usize,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: String) -> Self {
        Self {
            client,
            method,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            project: None,
            retry: None,
            timeout: None,
            max_reply: None,
            mistake: None,
        }
    }

    /// Adds a query parameter. Both are encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets the body to this value's JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => return self.body(json, "application/json"),
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
        request.body = Some(bytes.into());
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
            self.headers.insert(name, value);
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
        self.project = Some(project.into());
        self
    }

    /// How this request is sent again; [`ClientBuilder::retry_policy`](crate::ClientBuilder::retry_policy) otherwise.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// How long one attempt may take; [`ClientBuilder::timeout`](crate::ClientBuilder::timeout) otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The longest reply that is read, in bytes; [`ClientBuilder::max_reply`](crate::ClientBuilder::max_reply) otherwise.
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = Some(bytes);
        self
    }

    /// Sends it, and reads the whole reply.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidRequest`] or [`ErrorKind::NoProject`] before anything is sent;
    /// - [`ErrorKind::Token`] if there is no token to send;
    /// - [`ErrorKind::Api`] if the server refused (any status but 2xx);
    /// - [`ErrorKind::Network`] or [`ErrorKind::Timeout`] if no answer came;
    /// - [`ErrorKind::InvalidResponse`] if the reply is longer than allowed.
    ///
    /// After all retries, it is the last failure that is returned.
    pub async fn send(self) -> Result<Response, Error> {
        let client = self.client.clone();
        exchange(&client.0, self.prepare()?).await
    }

    fn mistake(&mut self, error: Error) {
        self.mistake.get_or_insert(error);
    }

    fn prepare(self) -> Result<Prepared, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let client = &self.client.0;
        let options = &client.options;
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let project = self.project.as_deref().or(options.project.as_deref());
        let route = Route::new(&self.path, project)?;
        let mut url = route.url(&client.base)?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut headers = client.headers.clone();
        let billed = match (&self.project, &options.quota_project) {
            (Some(project), None) => quota_project(project)?,
            _ => client.quota_project.clone(),
        };
        if let Some(billed) = billed.filter(|_| !route.is_discovery()) {
            headers.insert(QUOTA_PROJECT, billed);
        }
        // Google's front ends refuse a POST that does not say how long it is (411).
        if self.body.is_none() && matches!(self.method, Method::POST | Method::PUT) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers.extend(self.headers);
        Ok(Prepared {
            method: self.method,
            route,
            url,
            headers,
            body: self.body,
            retry: self.retry.unwrap_or_else(|| options.retry.clone()),
            timeout: self.timeout.unwrap_or(options.timeout),
            max_reply: self.max_reply.unwrap_or(options.max_reply),
        })
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
