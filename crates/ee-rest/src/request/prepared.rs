//! Validated requests.

use std::time::Duration;

use bytes::Bytes;
use ee_token::{AccessToken, RetryPolicy};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::Error;
use crate::client::Inner;
use crate::client::builder::{QUOTA_PROJECT, quota_project};
use crate::error::explain::Caller;
use crate::project_id::ProjectId;
use crate::request::body_fields::add_fields;
use crate::request::name::RequestName;
use crate::request::options::RequestOptions;
use crate::request::path::Route;
use crate::send::events::PROFILING;

pub(crate) const JSON: &str = "application/json";

/// Earth Engine allows an interactive request five minutes. The extra 30 seconds let the server's
/// own timeout response arrive first.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(330);

/// Earth Engine's largest responses (pixels) stay under 50 MB.
const MAX_RESPONSE_SIZE: usize = 128 * 1024 * 1024;

/// The values set on a [`RequestBuilder`](crate::RequestBuilder).
#[derive(Clone, Default)]
pub(crate) struct RequestParts {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Option<Bytes>,
    pub(crate) project: Option<String>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) options: RequestOptions,
}

/// A validated request. Its body is serialized once and shared by all attempts.
pub(crate) struct PreparedRequest {
    pub(crate) name: RequestName,
    /// Everything but the method and path, which are in `name`.
    parts: Box<RequestParts>,
    /// Overrides the client's quota project: `Some(None)` sends none.
    billed: Option<Option<HeaderValue>>,
    pub(crate) idempotent: bool,
}

impl RequestParts {
    /// Validates the request.
    pub(crate) fn prepare(mut self: Box<Self>, client: &Inner) -> Result<PreparedRequest, Error> {
        if let Some(error) = self.options.error {
            return Err(error);
        }
        let options = &client.options;
        if let Some(project) = &self.project {
            ProjectId::check(project)?;
        }
        let project = self.project.as_deref().or(options.project.as_deref());
        let route = Route::new(std::mem::take(&mut self.path), project)?;
        let billed = match (&self.project, &options.quota_project) {
            _ if route.is_discovery() => Some(None),
            (Some(project), None) => Some(quota_project(project)?),
            _ => None,
        };
        let idempotent = self.add_fields(&route, client);
        Ok(PreparedRequest {
            billed,
            idempotent: self.idempotent.unwrap_or(idempotent),
            name: RequestName {
                method: std::mem::take(&mut self.method),
                route,
            },
            parts: self,
        })
    }

    /// Adds the workload tag and request ID. Returns whether the request is then idempotent.
    fn add_fields(&mut self, route: &Route, client: &Inner) -> bool {
        let tag = match &self.options.workload_tag {
            Some(tag) => tag.as_ref(),
            None => client.workload_tag(),
        };
        let json = self.content_type.as_ref();
        let json = json.is_some_and(|value| value.as_bytes().starts_with(JSON.as_bytes()));
        let body = self.body.as_mut().filter(|_| json);
        add_fields(&self.method, route, tag, &mut self.query, body)
    }
}

impl PreparedRequest {
    /// Builds one attempt, addressed to the emulator if the client uses one.
    pub(crate) fn attempt(
        &self,
        client: &Inner,
        token: Option<&AccessToken>,
    ) -> Result<reqwest::Request, Error> {
        let mut attempt = reqwest::Request::new(self.name.method.clone(), self.url(client)?);
        *attempt.headers_mut() = self.headers(client, token);
        *attempt.body_mut() = self.parts.body.clone().map(reqwest::Body::from);
        Ok(attempt)
    }

    fn url(&self, client: &Inner) -> Result<Url, Error> {
        let last = &client.shared.last_url;
        let mut url = self.name.route.cached_url(last, &client.target)?;
        if !self.parts.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.parts.query);
        }
        Ok(url)
    }

    fn headers(&self, client: &Inner, token: Option<&AccessToken>) -> HeaderMap {
        // Cloning the map is cheaper than inserting header by header.
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
        let parts = &self.parts;
        if self.option(client, |options| options.profiling) == Some(true) {
            headers.insert(PROFILING, HeaderValue::from_static("1"));
        }
        // Google's front ends reject a POST without a length (411).
        if parts.body.is_none() && matches!(self.name.method, Method::POST | Method::PUT) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(content_type) = &parts.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        for (name, value) in &parts.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header().clone());
        }
        headers
    }

    /// Returns who sends the request, and which project it is billed to.
    pub(crate) fn caller<'a>(&'a self, client: &'a Inner) -> Caller<'a> {
        let own = self.parts.project.as_deref();
        client.caller(own)
    }

    /// Returns the request's own option, or else the client's.
    fn option<T>(&self, client: &Inner, get: impl Fn(&RequestOptions) -> Option<T>) -> Option<T> {
        get(&self.parts.options).or_else(|| get(&client.options.requests))
    }

    pub(crate) fn retry_policy(&self, client: &Inner) -> RetryPolicy {
        self.option(client, |options| options.retry.clone())
            .unwrap_or_default()
    }

    pub(crate) fn timeout(&self, client: &Inner) -> Duration {
        self.option(client, |options| options.timeout)
            .unwrap_or(ATTEMPT_TIMEOUT)
    }

    pub(crate) fn deadline(&self, client: &Inner) -> Option<Duration> {
        self.option(client, |options| options.deadline)
    }

    pub(crate) fn max_response_size(&self, client: &Inner) -> usize {
        self.option(client, |options| options.max_response_size)
            .unwrap_or(MAX_RESPONSE_SIZE)
    }

    /// Returns the limit that was set on this request.
    pub(crate) fn own_max_response_size(&self) -> Option<usize> {
        self.parts.options.max_response_size
    }
}
