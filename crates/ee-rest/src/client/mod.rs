//! The API client.

pub(crate) mod builder;

use std::fmt;
use std::sync::{Arc, Mutex};

use ee_token::{HttpClient, SecretString};
use http::HeaderMap;
use url::Url;

use crate::error::explain::Caller;
use crate::request::path::LastUrl;
use crate::send::admission::Admission;
use crate::send::answer::Answer;
use crate::send::driver::Driver;
use crate::send::events::Events;
use crate::{Auth, ClientBuilder, Error, WorkloadTag};

/// A client for the Earth Engine API that sends authenticated requests for one project.
///
/// Cloning is cheap; clones share connections, tokens and limits.
///
/// - **Token renewal.** When the server rejects a token (401), the token is renewed and the request
///   resent once. Concurrent rejections share one renewal.
/// - **Retries.** Transient failures are retried according to the
///   [retry policy](ee_token::RetryPolicy): failed connections, timeouts, the statuses 429, 500,
///   502, 503 and 504, and a 403 for a rate limit. A request that may already have taken effect is
///   retried only if it is idempotent: GET, HEAD, PUT, DELETE, and the POSTs that compute or read
///   (`value:compute`, `image:computePixels`, `maps`, …). Exports and imports carry a `requestId`
///   by which the server detects duplicates. Any other POST or PATCH is retried only if it was
///   never sent or was rejected by a rate limit.
/// - **Concurrency.** Requests beyond Earth Engine's concurrency limit, or beyond this client's
///   share of it, are queued.
/// - **Outages.** While most requests fail, calls wait within their deadlines.
/// - **Tasks.** A call whose future is not polled soon after it was woken continues in a task on its
///   runtime, so that it delays no other call.
/// - **Cancellation.** Dropping the future of a call cancels it.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) options: ClientBuilder,
    pub(crate) shared: Arc<Shared>,
    pub(crate) base: Url,
    /// Where requests for `base` are sent: possibly to the emulator.
    pub(crate) target: Url,
    /// The headers of every request.
    pub(crate) headers: HeaderMap,
    pub(crate) api_key: Option<Arc<SecretString>>,
}

/// The state shared by all clones of a client.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) admission: Arc<Admission>,
    pub(crate) driver: Arc<Driver<Answer>>,
    pub(crate) events: Events,
    pub(crate) last_url: Mutex<LastUrl>,
}

impl Inner {
    pub(crate) fn workload_tag(&self) -> Option<&WorkloadTag> {
        self.options.requests.workload_tag.as_ref()?.as_ref()
    }

    /// Returns who sends a request, and which project it is billed to. `project` is the request's
    /// own.
    pub(crate) fn caller<'a>(&'a self, project: Option<&'a str>) -> Caller<'a> {
        let options = &self.options;
        let other = options.quota_project.as_deref().or(project);
        Caller {
            project: other.or(options.project.as_deref()),
            origin: options.project_origin.filter(|_| other.is_none()),
            principal: options.principal.as_deref(),
        }
    }
}

impl Client {
    /// Creates a builder. All options are optional; without a project, paths must not be relative
    /// to one.
    ///
    /// ```
    /// use ee_rest::{Auth, Client};
    /// use ee_token::{Endpoints, HttpClient};
    ///
    /// let http = HttpClient::new(Endpoints::google());
    /// let client = Client::builder(Auth::api_key("AIza-mine".into()), http)
    ///     .project("my-project")
    ///     .high_volume(true)
    ///     .user_agent("my-program/1.0")
    ///     .build()?;
    /// assert_eq!(client.project(), Some("my-project"));
    /// assert_eq!(client.base_url().host_str(), Some("earthengine-highvolume.googleapis.com"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(auth: Auth, http: HttpClient) -> ClientBuilder {
        ClientBuilder::new(auth, http)
    }

    /// Returns a builder with this client's options, for example to create a client for another
    /// project with the same connections and tokens. The new client does not share this one's
    /// limits.
    pub fn to_builder(&self) -> ClientBuilder {
        self.0.options.clone()
    }

    /// Returns a client with another default workload tag, which shares this client's limits and
    /// connections. An empty string means no tag.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let client = client.with_workload_tag("monthly-report")?;
    /// let three: i64 = client
    ///     .compute(&serde_json::json!({"result": "0", "values": {"0": {"constantValue": 3}}}))
    ///     .await?;
    /// # let _ = three; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if `tag` is not a valid [`WorkloadTag`].
    pub fn with_workload_tag(&self, tag: &str) -> Result<Self, Error> {
        let mut inner = Inner::clone(&self.0);
        inner.options = inner.options.workload_tag(tag);
        match inner.options.requests.error.take() {
            Some(error) => Err(error),
            None => Ok(Self(Arc::new(inner))),
        }
    }

    /// Returns the default workload tag.
    pub fn workload_tag(&self) -> Option<&WorkloadTag> {
        self.0.workload_tag()
    }

    /// Returns a client that requests a profile of every computation, or none.
    #[must_use]
    pub fn with_profiling(&self, yes: bool) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.options = inner.options.profiling(yes);
        Self(Arc::new(inner))
    }

    /// Returns the current concurrency limit: the configured one, or a lower one after rate limit
    /// errors. (A limit of 1 may mean less than one request at a time.) Returns `None` if there is no limit.
    pub fn concurrency_limit(&self) -> Option<usize> {
        self.0.shared.admission.control().limit()
    }

    /// Returns the project that relative paths are resolved under.
    pub fn project(&self) -> Option<&str> {
        self.0.options.project.as_deref()
    }

    /// Returns the base URL.
    pub fn base_url(&self) -> &Url {
        &self.0.base
    }

    /// Returns the HTTP client.
    pub fn http(&self) -> &HttpClient {
        &self.0.options.http
    }

    /// Returns whether the project is in restricted mode, or `None` if the server has not sent a
    /// quota status yet.
    pub fn is_in_restricted_mode(&self) -> Option<bool> {
        self.0.shared.events.is_in_restricted_mode()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.0.base.host_str())
            .field("project", &self.0.options.project)
            .field("auth", &self.0.options.auth)
            .finish_non_exhaustive()
    }
}
