//! How a client is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ee_token::{ExposeSecret, HttpClient, Remedy, RetryPolicy, SecretString};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::Inner;
use crate::path::{check_base, check_segment};
use crate::{Auth, Client, Error, ErrorKind};

pub(crate) const API_CLIENT: HeaderName = HeaderName::from_static("x-goog-api-client");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(crate) const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Who sends the request, as Google's statistics want it.
const CLIENT_VERSION: &str = concat!(
    "ee-rust/",
    env!("CARGO_PKG_VERSION"),
    " rust/",
    env!("EE_REST_RUSTC_VERSION")
);
const USER_AGENT_NAME: &str = concat!("ee-rust/", env!("CARGO_PKG_VERSION"));

/// The project of accounts that had none of their own. It pays for nobody, so it is never
/// sent as the quota project.
const LEGACY_PROJECT: &str = "earthengine-legacy";

/// Earth Engine gives an interactive request five minutes. Half a minute more, and its own
/// answer arrives instead of our time-out.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(330);

/// Earth Engine's largest replies (pixels) stay under 50 MB.
const MAX_REPLY: usize = 128 * 1024 * 1024;

/// The options of a [`Client`]; made by [`Client::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    pub(crate) auth: Auth,
    pub(crate) http: HttpClient,
    pub(crate) project: Option<String>,
    pub(crate) quota_project: Option<String>,
    base_url: Option<Url>,
    high_volume: bool,
    user_agent: Option<String>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Duration,
    pub(crate) max_reply: usize,
}

impl ClientBuilder {
    pub(crate) fn new(auth: Auth, http: HttpClient) -> Self {
        Self {
            auth,
            http,
            project: None,
            quota_project: None,
            base_url: None,
            high_volume: false,
            user_agent: None,
            retry: RetryPolicy::default(),
            timeout: ATTEMPT_TIMEOUT,
            max_reply: MAX_REPLY,
        }
    }

    /// The Cloud project, as an id or a number: relative paths are under it, and it is billed
    /// unless there is a [`quota_project`](Self::quota_project).
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The Cloud project that requests are billed to (`x-goog-user-project`), where it is
    /// not the [`project`](Self::project). The name `earthengine-legacy` is never sent.
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// The API's base URL, without the version; Earth Engine's own otherwise. Beats
    /// [`high_volume`](Self::high_volume). The token is sent there: name hosts that you trust.
    pub fn base_url(mut self, url: Url) -> Self {
        self.base_url = Some(url);
        self
    }

    /// Uses the endpoint for many small requests at once.
    pub fn high_volume(mut self, yes: bool) -> Self {
        self.high_volume = yes;
        self
    }

    /// A name in front of this library's in the user agent: `my-program/1.0`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// How requests that failed for the moment are sent again: 5 times within 10 minutes if
    /// nothing else is said. No attempt outlives the policy's
    /// [`total`](RetryPolicy::total), which so is the deadline of the whole call.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long one attempt may take, from the connection to the last byte of the reply: 5½
    /// minutes if nothing else is said, a little more than Earth Engine gives a request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest reply that is read, in bytes: 128 MiB if nothing else is said. A longer
    /// one is an error, not an allocation. (Of a refusal, no more than 64 KiB are ever read.)
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }

    /// The client. No request is made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a project, an API key or a user agent that cannot
    /// stand in a header or a path, and for a base URL that is not HTTPS (or on loopback).
    pub fn build(self) -> Result<Client, Error> {
        let endpoints = self.http.endpoints();
        let base = match &self.base_url {
            Some(url) => url,
            None if self.high_volume => &endpoints.earth_engine_high_volume,
            None => &endpoints.earth_engine,
        }
        .clone();
        check_base(&base)?;
        endpoints.resolve(&base).map_err(|error| {
            Error::new(ErrorKind::InvalidRequest, error.to_string()).caused_by(error)
        })?;
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(API_CLIENT, HeaderValue::from_static(CLIENT_VERSION));
        headers.insert(USER_AGENT, user_agent(self.user_agent.as_deref())?);
        if let Some(key) = &self.auth.api_key {
            headers.insert(API_KEY, api_key(key)?);
        }
        let billed = self.quota_project.as_deref().or(self.project.as_deref());
        let quota_project = billed.map(quota_project).transpose()?.flatten();
        Ok(Client(Arc::new(Inner {
            headers,
            quota_project,
            base,
            api_key: self.auth.api_key.clone().map(Arc::new),
            options: self,
        })))
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

/// Checks what will be a segment of every path.
pub(crate) fn check_project(project: &str) -> Result<(), Error> {
    let why = match check_segment(project) {
        Ok(()) if project.contains('/') => "it has a slash",
        Ok(()) => return Ok(()),
        Err(_) if project.is_empty() => "it is empty",
        Err(why) => why,
    };
    Err(no_such_project(project, why))
}

/// The header that names who is billed; none for the project that pays for nobody.
pub(crate) fn quota_project(project: &str) -> Result<Option<HeaderValue>, Error> {
    check_project(project)?;
    if project == LEGACY_PROJECT {
        return Ok(None);
    }
    HeaderValue::from_str(project)
        .map(Some)
        .map_err(|_| no_such_project(project, "it has a control character"))
}

fn no_such_project(project: &str, why: &str) -> Error {
    let shown: String = project.chars().take(80).collect();
    Error::new(
        ErrorKind::InvalidRequest,
        format!("{shown:?} cannot be a Cloud project: {why}"),
    )
    .with_remedy(Remedy::new(
        "Give the project's id alone, such as my-project-123, or its number.",
    ))
}

fn user_agent(prefix: Option<&str>) -> Result<HeaderValue, Error> {
    match prefix.map(str::trim).filter(|prefix| !prefix.is_empty()) {
        None => Ok(HeaderValue::from_static(USER_AGENT_NAME)),
        Some(prefix) => {
            HeaderValue::from_str(&format!("{prefix} {USER_AGENT_NAME}")).map_err(|_| {
                Error::new(
                    ErrorKind::InvalidRequest,
                    format!("the user agent {prefix:?} cannot stand in a header"),
                )
            })
        }
    }
}

fn api_key(key: &SecretString) -> Result<HeaderValue, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidRequest,
            "the API key is empty or has characters that cannot stand in a header",
        )
        .with_remedy(
            Remedy::new("Copy the key again, without blanks or line ends.")
                .url("https://console.cloud.google.com/apis/credentials"),
        )
    };
    let text = key.expose_secret();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid());
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}
