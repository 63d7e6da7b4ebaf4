//! The request builder.

pub(crate) mod body_fields;
pub(crate) mod finite;
pub(crate) mod idempotency;
pub(crate) mod name;
pub(crate) mod options;
pub(crate) mod path;
pub(crate) mod prepared;
pub(crate) mod workload_tag;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::builder::API_KEY;
use crate::request::finite::to_vec;
use crate::request::options::request_options;
use crate::request::prepared::{JSON, RequestParts};
use crate::send::{exchange, exchange_streaming};
use crate::{Client, Error, Response, StreamingResponse};

/// A builder for a request, created by [`Client::request`].
///
/// Invalid values are reported by [`send`](Self::send), so that calls can be chained.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    /// Boxed because every chained call moves it.
    parts: Box<RequestParts>,
}

request_options!(RequestBuilder, parts.options);

impl Client {
    /// Starts a request. The path is relative to the project (`config`, `value:compute`), or
    /// starts with `projects/` or the version (`v1/…`). It must not be percent-encoded. A path
    /// with `..`, `?`, `#`, a backslash, a control character or an empty segment is rejected when
    /// the request is sent.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let page = client
    ///     .request(http::Method::GET, "projects/earthengine-public/assets/COPERNICUS:listAssets")
    ///     .query("pageSize", "10")
    ///     .send()
    ///     .await?;
    /// println!("{} bytes after {} attempt(s)", page.bytes().len(), page.attempts());
    /// # Ok(()) }
    /// ```
    pub fn request(&self, method: Method, path: impl Into<String>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path.into())
    }

    /// Sends a GET request and deserializes the JSON response.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let config: serde_json::Value = client.get_json("config").await?;
    /// # let _ = config; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`RequestBuilder::send`]. Returns [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) if the response is not
    /// the expected JSON.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.request(Method::GET, path).send().await?.json()
    }

    /// Sends a POST request with a JSON body and deserializes the JSON response.
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        self.request(Method::POST, path)
            .json(body)
            .send()
            .await?
            .json()
    }
}

/// The methods from [`retry_policy`](Self::retry_policy) to
/// [`max_response_size`](Self::max_response_size) override the client's options for this request.
impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: String) -> Self {
        let parts = Box::new(RequestParts {
            method,
            path,
            ..RequestParts::default()
        });
        Self { client, parts }
    }

    /// Adds a query parameter. The name and value are percent-encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parts.query.push((name.into(), value.into()));
        self
    }

    /// Sets the body to the JSON serialization of `value`.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match to_vec("the request body", value) {
            Ok(json) => {
                self.parts.content_type = Some(HeaderValue::from_static(JSON));
                self.parts.body = Some(json.into());
            }
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Sets the body and its content type.
    pub fn body(self, bytes: impl Into<Bytes>, content_type: &str) -> Self {
        let mut request = self.header(CONTENT_TYPE, content_type);
        request.parts.body = Some(bytes.into());
        request
    }

    /// Sets a header, replacing the client's value. Headers that authenticate the request or frame
    /// its body cannot be set.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let ours = [
            &AUTHORIZATION,
            &API_KEY,
            &HOST,
            &CONTENT_LENGTH,
            &TRANSFER_ENCODING,
        ];
        if ours.contains(&&name) {
            self.record_error(Error::invalid_request(
                format!("the header {name} is set by the client"),
                "Do not set this header. Set credentials with the client's `Auth`.",
            ));
        } else if let Ok(value) = HeaderValue::from_str(value) {
            if name == CONTENT_TYPE {
                self.parts.content_type = Some(value);
            } else {
                self.parts.headers.retain(|(other, _)| *other != name);
                self.parts.headers.push((name, value));
            }
        } else {
            // The value is not shown: it may be a secret.
            self.record_error(Error::invalid_request(
                format!("the value of the header {name} is not a valid header value"),
                "Use visible ASCII characters and spaces.",
            ));
        }
        self
    }

    /// Overrides the client's project for this request.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.parts.project = Some(project.into());
        self
    }

    /// Sets whether the request is idempotent, overriding what its method and path imply. Only
    /// idempotent requests are retried when the response was lost.
    pub fn idempotent(mut self, yes: bool) -> Self {
        self.parts.idempotent = Some(yes);
        self
    }

    /// Sends the request and reads the whole response.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest), [`ErrorKind::InvalidProject`](crate::ErrorKind::InvalidProject) or [`ErrorKind::NoProject`](crate::ErrorKind::NoProject)
    ///   before anything is sent;
    /// - the kind of the token source's error if no access token could be obtained (see
    ///   [`Error::token_error`]);
    /// - [`ErrorKind::ApiDisabled`](crate::ErrorKind::ApiDisabled), [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded), … if
    ///   the server responded with a status other than 2xx (see [`Error::api`]);
    /// - [`ErrorKind::Network`](crate::ErrorKind::Network) or [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if there was no response;
    /// - [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) if the response is too long;
    /// - [`ErrorKind::Usage`](crate::ErrorKind::Usage) outside of a tokio runtime.
    ///
    /// After retries, the error is that of the last attempt, even if the deadline then passed
    /// while queueing or waiting for a token. If the token source fails permanently, its error is
    /// returned instead.
    pub async fn send(self) -> Result<Response, Error> {
        let request = self.parts.prepare(&self.client.0)?;
        exchange(self.client, request).await
    }

    /// Sends the request and returns as soon as the response headers arrive, so that the body can
    /// be read in chunks.
    ///
    /// Failures are retried as by [`send`](Self::send) until the response begins, and never
    /// afterwards. The [`timeout`](Self::timeout) applies to the headers and then to each chunk;
    /// the [`deadline`](Self::deadline), if set, to the whole body.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub async fn send_streaming(self) -> Result<StreamingResponse, Error> {
        let request = self.parts.prepare(&self.client.0)?;
        exchange_streaming(self.client, request).await
    }

    /// Marks the request as invalid: [`send`](Self::send) returns this error.
    pub(crate) fn with_error(mut self, why: Error) -> Self {
        self.record_error(why);
        self
    }

    /// Returns a copy of the request.
    pub(crate) fn copy(&self) -> Self {
        Self {
            client: self.client.clone(),
            parts: self.parts.clone(),
        }
    }

    /// Returns the deadline of the whole call, if there is one.
    pub(crate) fn total_deadline(&self) -> Option<Duration> {
        let client = &self.client.0.options.requests;
        self.parts.options.deadline.or(client.deadline)
    }

    fn record_error(&mut self, error: Error) {
        self.parts.options.record_error(error);
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.parts.method)
            .field("path", &self.parts.path)
            .finish_non_exhaustive()
    }
}
