//! The client builder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ee_token::internal::sensitive_header;
use ee_token::{Endpoint, HttpClient, Remedy, SecretString};
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::{Inner, Shared};
use crate::error::explain::ProjectOrigin;
use crate::project_id::{LEGACY_PROJECT, ProjectId};
use crate::request::options::{RequestOptions, request_options};
use crate::request::path::check_base;
use crate::send::admission::Admission;
use crate::send::admission::control::CONCURRENCY;
use crate::send::driver::Driver;
use crate::send::events::{Events, Listener};
use crate::{Auth, Client, ClientEvent, Error, ErrorKind};

pub(crate) const API_CLIENT: HeaderName = HeaderName::from_static("x-goog-api-client");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(crate) const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// The value of `x-goog-api-client`, which identifies the client library.
pub(crate) const CLIENT_VERSION: &str = concat!(
    "ee-rust/",
    env!("CARGO_PKG_VERSION"),
    " rust/",
    env!("EE_REST_RUSTC_VERSION")
);
/// Google's front ends compress only for user agents that have the word `gzip`
/// (developers.google.com/drive/api/guides/performance and its like).
#[cfg(feature = "gzip")]
const USER_AGENT_NAME: &str = concat!("ee-rust/", env!("CARGO_PKG_VERSION"), " (gzip)");
#[cfg(not(feature = "gzip"))]
const USER_AGENT_NAME: &str = concat!("ee-rust/", env!("CARGO_PKG_VERSION"));

/// A builder for [`Client`], created by [`Client::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    pub(crate) auth: Auth,
    pub(crate) http: HttpClient,
    pub(crate) project: Option<String>,
    pub(crate) project_origin: Option<ProjectOrigin>,
    pub(crate) quota_project: Option<String>,
    pub(crate) principal: Option<String>,
    base_url: Option<Url>,
    high_volume: bool,
    user_agent: Option<String>,
    pub(crate) requests: RequestOptions,
    max_concurrent_requests: Option<usize>,
    per_second: Option<f64>,
    listener: Option<Listener>,
}

request_options!(ClientBuilder, requests);

/// The methods from [`retry_policy`](Self::retry_policy) to
/// [`max_response_size`](Self::max_response_size) set the options of each request, which
/// [`RequestBuilder`](crate::RequestBuilder) overrides for one request.
impl ClientBuilder {
    pub(crate) fn new(auth: Auth, http: HttpClient) -> Self {
        Self {
            auth,
            http,
            project: None,
            project_origin: None,
            quota_project: None,
            principal: None,
            base_url: None,
            high_volume: false,
            user_agent: None,
            requests: RequestOptions::default(),
            max_concurrent_requests: Some(CONCURRENCY),
            per_second: None,
            listener: None,
        }
    }

    /// Sets the Cloud project, by ID or number. Relative paths are resolved under it, and it is
    /// billed unless [`quota_project`](Self::quota_project) is set.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Sets the Cloud project that requests are billed to (`x-goog-user-project`), if it is not
    /// the [`project`](Self::project). The project `earthengine-legacy` is never sent.
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Sets the principal of the credentials, usually an email address. Errors name it, and their
    /// remedies grant it the missing roles.
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// Sets the API's base URL, without the version. Defaults to Earth Engine's. Overrides
    /// [`high_volume`](Self::high_volume). The credentials are sent to this host, so it must be
    /// one that you trust.
    pub fn base_url(mut self, url: Url) -> Self {
        self.base_url = Some(url);
        self
    }

    /// Uses the high-volume endpoint, which is meant for many small concurrent requests.
    pub fn high_volume(mut self, yes: bool) -> Self {
        self.high_volume = yes;
        self
    }

    /// Sets a product token that is put before this library's in `User-Agent`: `my-program/1.0`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the maximum number of concurrent requests, or removes the limit with `None`. Defaults
    /// to 40, which is Earth Engine's limit for a project.
    ///
    /// Further requests wait in FIFO order. Each 429 lowers the limit, and it grows again when there
    /// are none, so that processes that share a quota divide it. All clones of a client share the
    /// limit. Without a limit, the server rejects excess requests with 429.
    ///
    /// ```
    /// # use ee_rest::{Auth, Client};
    /// # use ee_token::{Endpoints, HttpClient};
    /// # let builder = Client::builder(Auth::api_key("AIza-mine".into()), HttpClient::new(Endpoints::google()));
    /// let client = builder.clone().max_concurrent_requests(10).build()?;
    /// assert_eq!(client.concurrency_limit(), Some(10));
    ///
    /// let unlimited = builder.max_concurrent_requests(None).build()?;
    /// assert_eq!(unlimited.concurrency_limit(), None);
    /// # Ok::<(), ee_rest::Error>(())
    /// ```
    pub fn max_concurrent_requests(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.max_concurrent_requests = limit.into();
        self
    }

    /// Limits how many requests start per second. Unlimited by default. Earth Engine's limit for a
    /// project is 100.
    pub fn rate_limit(mut self, requests: f64) -> Self {
        self.per_second = Some(requests);
        self
    }

    /// Registers a callback for [`ClientEvent`]s: quota status, server messages, profiles and
    /// retries. It runs in the task of the call and must not block.
    ///
    /// ```
    /// # use ee_rest::{Auth, Client, ClientEvent};
    /// # use ee_token::{Endpoints, HttpClient};
    /// # let http = HttpClient::new(Endpoints::google());
    /// let client = Client::builder(Auth::api_key("AIza-mine".into()), http)
    ///     .on_event(|event| {
    ///         if let ClientEvent::QuotaStatus { restricted: true, .. } = event {
    ///             eprintln!("restricted mode: this will take longer");
    ///         }
    ///     })
    ///     .build()?;
    /// # let _ = client;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_event(mut self, listener: impl Fn(&ClientEvent<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Builds the client. Sends no request.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidProject`] if the project is not a valid [`ProjectId`], and
    /// [`ErrorKind::InvalidRequest`] if the API key or user agent is not valid in a header, if the base URL is neither HTTPS nor loopback, if the workload tag is
    /// invalid, or if a limit is zero or not a number.
    pub fn build(self) -> Result<Client, Error> {
        let endpoints = self.http.endpoints();
        let base = match &self.base_url {
            Some(url) => url,
            None if self.high_volume => endpoints.url(Endpoint::EarthEngineHighVolume),
            None => endpoints.url(Endpoint::EarthEngine),
        }
        .clone();
        check_base(&base)?;
        let target = endpoints.resolve(&base).map_err(|error| {
            let remedy = Remedy::new(
                "Use an https URL without a user name, or an http URL of this machine.",
            );
            Error::new(ErrorKind::InvalidRequest, error.to_string())
                .with_cause(error)
                .or_remedy(remedy)
        })?;
        if let Some(project) = &self.project {
            ProjectId::check(project)?;
        }
        // Capacity for the headers of a request and of the HTTP library: rehashing is expensive.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(API_CLIENT, HeaderValue::from_static(CLIENT_VERSION));
        headers.insert(USER_AGENT, user_agent(self.user_agent.as_deref())?);
        // reqwest would otherwise add this to each request.
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.auth.tokens.is_some() {
            // Reserves the slot that each request overwrites with its token.
            headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer"));
        }
        if let Some(key) = &self.auth.api_key {
            headers.insert(API_KEY, api_key(key)?);
        }
        let billed = self.quota_project.as_deref().or(self.project.as_deref());
        if let Some(billed) = billed.map(quota_project).transpose()?.flatten() {
            headers.insert(QUOTA_PROJECT, billed);
        }
        if let Some(error) = self.requests.error {
            return Err(error);
        }
        Ok(Client(Arc::new(Inner {
            shared: Arc::new(self.shared()?),
            // A clone has no spare capacity.
            headers: headers.clone(),
            base,
            target,
            api_key: self.auth.api_key.clone().map(Arc::new),
            options: self,
        })))
    }

    fn shared(&self) -> Result<Shared, Error> {
        let zero_limit = |what: &str| {
            Error::invalid_request(
                format!("a limit of {what} would block every request"),
                "Set a limit greater than zero, or none.",
            )
        };
        if self.max_concurrent_requests == Some(0) {
            return Err(zero_limit("0 concurrent requests"));
        }
        // The time between the starts of two requests.
        let spacing = |per_second: f64| {
            let spacing = Duration::try_from_secs_f64(per_second.recip());
            let spacing = spacing.ok().filter(|_| per_second > 0.0);
            spacing.ok_or_else(|| zero_limit(&format!("{per_second} requests per second")))
        };
        let spacing = self.per_second.map(spacing).transpose()?;
        Ok(Shared {
            admission: Admission::new(self.max_concurrent_requests, spacing),
            driver: Driver::new(),
            events: Events::new(self.listener.clone()),
            last_url: Default::default(),
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("project", &self.project)
            .field("quota_project", &self.quota_project)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Sets where the project came from, which errors about it say.
pub fn with_project_origin(mut builder: ClientBuilder, origin: ProjectOrigin) -> ClientBuilder {
    builder.project_origin = Some(origin);
    builder
}

/// Returns the quota project header, or `None` for the legacy project, which cannot be billed.
pub(crate) fn quota_project(project: &str) -> Result<Option<HeaderValue>, Error> {
    ProjectId::check(project)?;
    let header = HeaderValue::from_str(project).ok();
    Ok(header.filter(|_| project != LEGACY_PROJECT))
}

fn user_agent(prefix: Option<&str>) -> Result<HeaderValue, Error> {
    match prefix.map(str::trim).filter(|prefix| !prefix.is_empty()) {
        None => Ok(HeaderValue::from_static(USER_AGENT_NAME)),
        Some(prefix) => {
            HeaderValue::from_str(&format!("{prefix} {USER_AGENT_NAME}")).map_err(|_| {
                Error::invalid_request(
                    format!("the user agent {prefix:?} is not a valid header value"),
                    "Use visible ASCII characters and spaces.",
                )
            })
        }
    }
}

pub(crate) fn api_key(key: &SecretString) -> Result<HeaderValue, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidRequest,
            "the API key is empty or contains characters that are not allowed in a header",
        )
        .with_remedy(
            Remedy::new("Copy the key again, without spaces or line breaks.")
                .url("https://console.cloud.google.com/apis/credentials"),
        )
    };
    let text = key.expose_secret();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid());
    }
    sensitive_header(&[text]).map_err(|_| invalid())
}
