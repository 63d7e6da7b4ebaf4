//! The verified client.

use std::sync::Arc;
use std::time::Duration;

use ee_credentials::{Credentials, SearchStep, Warning};
use ee_rest::export::{Destination, Kind};
use ee_rest::{
    Assets, Client, ComputePixelsRequest, Export, Operation, Operations, RequestBuilder,
};
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Project, Registration};

/// A client whose credentials and project have been found and verified. Cheap to clone; clones
/// share everything.
///
/// It forwards the most common calls to its [`client`](Self::client), which has all of them:
/// batches, maps, thumbnails, features and the project's configuration.
///
/// ```no_run
/// use ee_init::EarthEngine;
/// use serde_json::json;
///
/// # async fn f() -> Result<(), ee_init::Error> {
/// let ee = EarthEngine::builder().connect().await?;
/// println!("{} from {}", ee.project().id, ee.project().source);
/// let three: i64 = ee
///     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 3}}}))
///     .await?;
/// # let _ = three; Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct EarthEngine(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) credentials: Credentials,
    pub(crate) searched: Vec<SearchStep>,
    pub(crate) project: Project,
    pub(crate) registration: Registration,
    pub(crate) tier: Option<String>,
    pub(crate) init_message: Option<String>,
    pub(crate) stats: ConnectStats,
}

/// What connecting cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectStats {
    /// How many requests were sent, including retries.
    pub requests: u64,
    /// How long connecting took.
    pub elapsed: Duration,
}

impl EarthEngine {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Returns the project and where it was found.
    pub fn project(&self) -> &Project {
        &self.0.project
    }

    /// Returns how the project is registered for Earth Engine.
    pub fn registration(&self) -> &Registration {
        &self.0.registration
    }

    /// Returns the project's tier of noncommercial use, such as `standard`, if the server reports it.
    pub fn tier(&self) -> Option<&str> {
        self.0.tier.as_deref()
    }

    /// Returns the message that Earth Engine asks clients to show at start-up, if any.
    pub fn init_message(&self) -> Option<&str> {
        self.0.init_message.as_deref()
    }

    /// Returns the credentials and where they were found.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// Returns the non-fatal problems with the credentials and the choice of the project.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        let project = self.0.project.warnings.iter();
        self.0.credentials.warnings().iter().chain(project)
    }

    /// Returns the result of each step of the search for credentials.
    pub fn search_steps(&self) -> &[SearchStep] {
        &self.0.searched
    }

    /// Returns how many requests and how much time connecting took.
    pub fn connect_stats(&self) -> ConnectStats {
        self.0.stats
    }

    /// Returns the client of the request layer, which has every call. `?` converts its errors to
    /// this crate's [`Error`].
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Starts a request; see [`Client::request`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.0.client.request(method, path)
    }

    /// Computes the value of an expression (`value:compute`).
    ///
    /// # Errors
    /// Returns Earth Engine's error, with its kind, remedy, project and principal.
    pub async fn compute<T: DeserializeOwned>(
        &self,
        expression: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        Ok(self.0.client.compute(expression).await?)
    }

    /// Gets a resource as JSON; see [`Client::get_json`].
    ///
    /// # Errors
    /// Fails like [`EarthEngine::compute`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        Ok(self.0.client.get_json(path).await?)
    }

    /// Posts JSON and returns the JSON response; see [`Client::post_json`].
    ///
    /// # Errors
    /// Fails like [`EarthEngine::compute`].
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        Ok(self.0.client.post_json(path, body).await?)
    }

    /// Returns the methods for assets: get, list, create, copy, ….
    ///
    /// ```no_run
    /// # async fn f(ee: ee_init::EarthEngine) -> Result<(), ee_init::Error> {
    /// let image = ee.assets().get("CGIAR/SRTM90_V4").await?;
    /// println!("{}", image.name);
    /// # Ok(()) }
    /// ```
    pub fn assets(&self) -> Assets {
        self.0.client.assets()
    }

    /// Returns the methods for long-running operations: get, list, cancel, wait, ….
    pub fn operations(&self) -> Operations {
        self.0.client.operations()
    }

    /// Computes an image's pixels; see [`Client::compute_pixels`].
    pub fn compute_pixels(&self, expression: &(impl Serialize + ?Sized)) -> ComputePixelsRequest {
        self.0.client.compute_pixels(expression)
    }

    /// Starts an export; see [`Client::export`].
    ///
    /// # Errors
    /// Fails like [`EarthEngine::compute`].
    pub async fn export<K: Kind, D: Destination>(
        &self,
        export: Export<K, D>,
    ) -> Result<Operation, Error> {
        Ok(self.0.client.export(export).await?)
    }
}
