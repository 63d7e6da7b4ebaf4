//! The verified client.

use std::sync::Arc;

use ee_credentials::{Credentials, SearchStep, Warning};
use ee_rest::{
    Algorithm, Assets, Batch, Client, Export, ListRequest, MapRequest, Operation, Operations,
    PixelsRequest, ProjectConfig, RequestBuilder, ThumbnailKind, ThumbnailRequest,
};
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::{ConnectStats, EarthEngineBuilder};
use crate::refusal::{ErrorContext, explain};
use crate::{Error, Project, Registration};

/// A client that has found its credentials and its project, and verified that they may use
/// Earth Engine. Cheap to clone; clones share everything.
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
    pub(crate) init_message: Option<String>,
    pub(crate) context: ErrorContext,
    pub(crate) effort: ConnectStats,
}

impl EarthEngine {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Starts with nothing set: everything is found where the other clients find it.
    pub fn builder() -> EarthEngineBuilder {
        EarthEngineBuilder::default()
    }

    /// The project, and where it was found.
    pub fn project(&self) -> &Project {
        &self.0.project
    }

    /// How the project is registered.
    pub fn registration(&self) -> &Registration {
        &self.0.registration
    }

    /// What Earth Engine wants to be shown when a program starts, if anything.
    pub fn init_message(&self) -> Option<&str> {
        self.0.init_message.as_deref()
    }

    /// The credentials, and where they were found.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// What works, and should be changed all the same: about the credentials and the choice
    /// of the project.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        let project = self.0.project.warnings.iter();
        self.0.credentials.warnings().iter().chain(project)
    }

    /// What the search for credentials found at each step.
    pub fn search_steps(&self) -> &[SearchStep] {
        &self.0.searched
    }

    /// What connecting cost.
    pub fn connect_stats(&self) -> ConnectStats {
        self.0.effort
    }

    /// The request layer. Its errors are the servers' own; [`EarthEngine::explain`] adds what
    /// they mean.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Starts a request. A relative path is put under `v1/projects/P/`, one that starts with
    /// `projects/` under `v1/`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.0.client.request(method, path)
    }

    /// Computes the value of an expression (`value:compute`).
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn compute<T: DeserializeOwned>(
        &self,
        expression: &impl Serialize,
    ) -> Result<T, Error> {
        self.explained(self.0.client.compute(expression).await)
    }

    /// Gets a resource, as [`EarthEngine::request`] finds it.
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.explained(self.0.client.get_json(path).await)
    }

    /// Posts JSON and reads the reply.
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.explained(self.0.client.post_json(path, body).await)
    }

    /// The calls about assets: get, list, create, copy, …. As with all calls of the request
    /// layer, `?` turns their errors into explained ones, and [`EarthEngine::explain`] adds
    /// this client's account and project.
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

    /// The calls about long-running operations: get, list, cancel, wait, ….
    pub fn operations(&self) -> Operations {
        self.0.client.operations()
    }

    /// Starts a batch: many calls in one request.
    pub fn batch(&self) -> Batch {
        self.0.client.batch()
    }

    /// Computes an image's pixels; see [`Client::compute_pixels`].
    pub fn compute_pixels(&self, expression: &impl Serialize) -> PixelsRequest {
        self.0.client.compute_pixels(expression)
    }

    /// Gets the pixels of an asset; see [`Client::get_pixels`].
    pub fn get_pixels(&self, id: &str) -> PixelsRequest {
        self.0.client.get_pixels(id)
    }

    /// Computes the features of a collection; see [`Client::compute_features`].
    ///
    /// # Errors
    /// For an expression that cannot be written as JSON.
    pub fn compute_features<T: DeserializeOwned + Send + 'static>(
        &self,
        expression: &impl Serialize,
    ) -> Result<ListRequest<T>, Error> {
        self.explained(self.0.client.compute_features(expression))
    }

    /// Makes a map of an image; see [`Client::map`].
    pub fn map(&self, expression: &impl Serialize) -> MapRequest {
        self.0.client.map(expression)
    }

    /// Makes a thumbnail; see [`Client::thumbnail`].
    pub fn thumbnail(&self, expression: &impl Serialize, kind: ThumbnailKind) -> ThumbnailRequest {
        self.0.client.thumbnail(expression, kind)
    }

    /// Starts an export; see [`Client::export`].
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn export(&self, export: Export) -> Result<Operation, Error> {
        self.explained(self.0.client.export(export).await)
    }

    /// The functions that expressions may call.
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn algorithms(&self) -> Result<Vec<Algorithm>, Error> {
        self.explained(self.0.client.algorithms().await)
    }

    /// What Earth Engine knows about the project.
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn config(&self) -> Result<ProjectConfig, Error> {
        self.explained(self.0.client.config().await)
    }

    /// Sets how many exports of the project may run at once.
    ///
    /// # Errors
    /// What Earth Engine refused, explained.
    pub async fn update_config(&self, max_concurrent_exports: u32) -> Result<ProjectConfig, Error> {
        self.explained(self.0.client.update_config(max_concurrent_exports).await)
    }

    /// Says what an error of the request layer means for this client's account and project,
    /// and what to do about it.
    pub fn explain(&self, error: ee_rest::Error) -> Error {
        explain(error, &self.0.context)
    }

    fn explained<T>(&self, result: Result<T, ee_rest::Error>) -> Result<T, Error> {
        result.map_err(|error| self.explain(error))
    }
}
