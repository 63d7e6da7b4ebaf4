//! How a client is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ee_token::{Endpoint, HttpClient, Remedy, RetryPolicy, SecretString, sensitive_header};
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::Inner;
use crate::client::Shared;
use crate::request::path::{check_base, check_segment};
use crate::send::concurrency::{self, Limiter};
use crate::send::events::{Listener, Signals};
use crate::send::rate::Pace;
use crate::send::retry_budget::{self, RetryBudget};
use crate::{Auth, Client, ClientEvent, Error, ErrorKind, WorkloadTag};

pub(crate) const API_CLIENT: HeaderName = HeaderName::from_static("x-goog-api-client");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(crate) const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Who sends the request, as Google's statistics want it.
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
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_response_size: usize,
    workload_tag: Option<String>,
    pub(crate) profiling: bool,
    concurrency: Option<usize>,
    per_second: Option<f64>,
    retry_budget: u32,
    listener: Option<Listener>,
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
            deadline: None,
            max_response_size: MAX_REPLY,
            workload_tag: None,
            profiling: false,
            concurrency: Some(concurrency::CONCURRENCY),
            per_second: None,
            retry_budget: retry_budget::CAPACITY,
            listener: None,
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
    /// [`total`](RetryPolicy::total), counted from the moment when the first one begins.
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

    /// How long a call may take in all: its wait for its turn, every attempt, and the waits
    /// between them. As long as the retry policy allows if nothing else is said, and the wait
    /// for its turn as long as it takes.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How many requests may be under way at once: 40 if nothing else is said, which is what
    /// Earth Engine gives a project. The others wait, in the order in which they were asked
    /// for. The limit halves when the server has too many (429), and grows back as requests
    /// succeed. All clones of a client share it.
    pub fn concurrency_limit(mut self, requests: usize) -> Self {
        self.concurrency = Some(requests);
        self
    }

    /// Puts no limit on the requests under way at once. What is too much for the server
    /// then comes back as 429.
    pub fn no_concurrency_limit(mut self) -> Self {
        self.concurrency = None;
        self
    }

    /// How many requests may begin in a second; as many as can if nothing else is said. Earth
    /// Engine gives a project 100.
    pub fn rate_limit(mut self, requests: f64) -> Self {
        self.per_second = Some(requests);
        self
    }

    /// How much may be sent again while everything fails: 500 if nothing else is said. A
    /// retry takes 5 of it, and 10 after a time-out; when one helps it gives them back, and
    /// any other request that succeeds brings 1. Without enough left a failure is final.
    /// Retries after a 429 are free: the [`concurrency_limit`](Self::concurrency_limit)
    /// holds them back.
    pub fn retry_budget(mut self, capacity: u32) -> Self {
        self.retry_budget = capacity;
        self
    }

    /// The label under which computing time is counted, for every request that takes one.
    /// [`Client::with_workload_tag`] and [`RequestBuilder::workload_tag`](crate::RequestBuilder::workload_tag)
    /// override it. Empty is none.
    pub fn workload_tag(mut self, tag: impl Into<String>) -> Self {
        self.workload_tag = Some(tag.into());
        self
    }

    /// Asks for a profile of every computation; [`ClientEvent::Profile`] and
    /// [`Response::profile_id`](crate::Response::profile_id) have its id.
    pub fn profiling(mut self, yes: bool) -> Self {
        self.profiling = yes;
        self
    }

    /// Calls this with what happens beside the answers: quota status, messages, profiles,
    /// retries. It is called where the request runs and should return soon.
    ///
    /// ```
    /// # use ee_rest::{Auth, Client, ClientEvent};
    /// # use ee_token::{Endpoints, HttpClient};
    /// # let http = HttpClient::new(Endpoints::google());
    /// let client = Client::builder(Auth::api_key("AIza-mine".into()), http)
    ///     .on_event(|signal| {
    ///         if let ClientEvent::QuotaStatus { restricted: true, .. } = signal {
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

    /// The longest reply that is read, in bytes: 128 MiB if nothing else is said. A longer
    /// one is an error, not an allocation. (Of a refusal, no more than 64 KiB are ever read.)
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.max_response_size = bytes;
        self
    }

    /// The client. No request is made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a project, an API key or a user agent that cannot
    /// stand in a header or a path, for a base URL that is not HTTPS (or on loopback), for a
    /// workload tag that is none, and for limits that let nothing through.
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
            Error::new(ErrorKind::InvalidRequest, error.to_string()).context(error)
        })?;
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        // Room for what requests and the HTTP library add: growing its index costs the most.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(API_CLIENT, HeaderValue::from_static(CLIENT_VERSION));
        headers.insert(USER_AGENT, user_agent(self.user_agent.as_deref())?);
        // What the HTTP library would add to each request otherwise.
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.auth.tokens.is_some() {
            // A place for the token of each request.
            headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer"));
        }
        if let Some(key) = &self.auth.api_key {
            headers.insert(API_KEY, api_key(key)?);
        }
        let billed = self.quota_project.as_deref().or(self.project.as_deref());
        if let Some(billed) = billed.map(quota_project).transpose()?.flatten() {
            headers.insert(QUOTA_PROJECT, billed);
        }
        let tag = self.workload_tag.as_deref().filter(|tag| !tag.is_empty());
        let workload_tag = tag.map(WorkloadTag::new).transpose()?;
        Ok(Client(Arc::new(Inner {
            shared: Arc::new(self.shared()?),
            headers,
            base,
            target,
            workload_tag,
            api_key: self.auth.api_key.clone().map(Arc::new),
            options: self,
        })))
    }

    fn shared(&self) -> Result<Shared, Error> {
        let nothing = |what: &str| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("a limit of {what} would let no request through"),
            )
        };
        if self.concurrency == Some(0) {
            return Err(nothing("0 requests at once"));
        }
        let pace = match self.per_second {
            Some(n) => {
                Some(Pace::new(n).ok_or_else(|| nothing(&format!("{n} requests per second")))?)
            }
            None => None,
        };
        Ok(Shared {
            limiter: self.concurrency.map(Limiter::new),
            pace,
            budget: RetryBudget::new(self.retry_budget),
            signals: Signals::new(self.listener.clone()),
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

pub(crate) fn api_key(key: &SecretString) -> Result<HeaderValue, Error> {
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
    sensitive_header(&[text]).map_err(|_| invalid())
}
