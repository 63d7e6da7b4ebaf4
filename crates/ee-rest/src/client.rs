//! The client.

use std::fmt;
use std::sync::{Arc, Mutex};

use ee_token::{HttpClient, SecretString};
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::request::path::LastUrl;
use crate::send::concurrency::Limiter;
use crate::send::events::Signals;
use crate::send::rate::Pace;
use crate::send::retry_budget::RetryBudget;
use crate::{Auth, ClientBuilder, Error, ErrorKind, RequestBuilder, WorkloadTag};

/// Sends authenticated requests to the Earth Engine API, in the name of one project.
///
/// Cheap to clone; clones share everything.
///
/// - A token that the server does not take (401) is renewed, and the request sent once more;
///   a hundred such refusals at once cost one renewal.
/// - What failed for the moment is sent again as the [retry policy](ee_token::RetryPolicy)
///   says: failed connections, time-outs, the statuses 429, 500, 502, 503 and 504, and a 403
///   for a rate limit. What may have been done already is sent again only if doing it twice
///   is no different from doing it once: GET, HEAD, PUT, DELETE, and the POSTs that compute or
///   read (`value:compute`, `image:computePixels`, `maps`, …). An export or import carries a
///   `requestId` that is made once, by which the server knows its repetition. Another POST or
///   PATCH is sent again only if it never got there, or a rate limit turned it away.
/// - No more requests are under way at once than Earth Engine takes; the others wait for
///   their turn.
/// - Dropping the future of a call cancels it.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) options: ClientBuilder,
    pub(crate) shared: Arc<Shared>,
    pub(crate) base: Url,
    /// Where the base URL leads to: the emulator, perhaps.
    pub(crate) target: Url,
    pub(crate) workload_tag: Option<WorkloadTag>,
    /// What every request carries.
    pub(crate) headers: HeaderMap,
    pub(crate) api_key: Option<Arc<SecretString>>,
}

/// What all clones of a client have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) pace: Option<Pace>,
    pub(crate) budget: RetryBudget,
    pub(crate) signals: Signals,
    pub(crate) last_url: Mutex<LastUrl>,
}

impl Client {
    /// Starts to set up a client. No option must be set; without a project, paths must be
    /// whole.
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

    /// The options that this client was built with, to build another: for a second project on
    /// the same connections and tokens, for example. It has limits of its own, as a project
    /// has.
    pub fn to_builder(&self) -> ClientBuilder {
        self.0.options.clone()
    }

    /// The same client with another default workload tag, for a part of the program. Limits
    /// and connections stay shared. Empty is none.
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
    /// [`ErrorKind::InvalidRequest`] for what is no [`WorkloadTag`].
    pub fn with_workload_tag(&self, tag: &str) -> Result<Self, Error> {
        let mut inner = Inner::clone(&self.0);
        inner.workload_tag = match tag {
            "" => None,
            tag => Some(WorkloadTag::new(tag)?),
        };
        inner.options = inner.options.workload_tag(tag);
        Ok(Self(Arc::new(inner)))
    }

    /// The default workload tag.
    pub fn workload_tag(&self) -> Option<&WorkloadTag> {
        self.0.workload_tag.as_ref()
    }

    /// The same client, which asks for a profile of every computation, or does not.
    #[must_use]
    pub fn with_profiling(&self, yes: bool) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.options = inner.options.profiling(yes);
        Self(Arc::new(inner))
    }

    /// How many requests may be under way at present: the limit that was set, or less after
    /// the server had too many. None without a limit.
    pub fn concurrency_limit(&self) -> Option<usize> {
        Some(self.0.shared.limiter.as_ref()?.limit())
    }

    /// The project that relative paths are under.
    pub fn project(&self) -> Option<&str> {
        self.0.options.project.as_deref()
    }

    /// Where requests go.
    pub fn base_url(&self) -> &Url {
        &self.0.base
    }

    /// The connections that requests go over, and the count of them.
    pub fn http(&self) -> &HttpClient {
        &self.0.options.http
    }

    /// Starts a request. The path is relative to the project (`config`, `value:compute`),
    /// begins with `projects/`, or begins with the version (`v1/…`). It is given as it reads,
    /// not encoded; a path with `..`, `?`, `#`, a backslash, a control character or an empty
    /// part is refused when the request is sent.
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

    /// Gets JSON.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let config: serde_json::Value = client.get_json("config").await?;
    /// # let _ = config; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`RequestBuilder::send`], and [`ErrorKind::InvalidResponse`] for a reply that is
    /// not the JSON expected.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.request(Method::GET, path).send().await?.json()
    }

    /// Posts JSON and gets JSON.
    ///
    /// # Errors
    /// As [`Client::get_json`].
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

    /// Computes the value of an expression (`{"result": …, "values": {…}}`).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let two: f64 = client
    ///     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 2}}}))
    ///     .await?;
    /// # let _ = two; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn compute<T: DeserializeOwned>(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        #[derive(Serialize)]
        struct Call<'a, E: ?Sized> {
            expression: &'a E,
        }
        #[derive(Deserialize)]
        struct Reply<T> {
            result: Option<T>,
        }
        let response = self
            .request(Method::POST, "value:compute")
            .json(&Call { expression })
            .send()
            .await?;
        match response.json::<Reply<T>>()?.result {
            Some(result) => Ok(result),
            // Null is a value too, for those who expect it.
            None => T::deserialize(Value::Null).map_err(|_| {
                Error::after(
                    response.attempts(),
                    ErrorKind::InvalidResponse,
                    "the computed value is null",
                )
            }),
        }
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
