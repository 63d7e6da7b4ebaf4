//! The Earth Engine configuration of a project.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{Client, Error};

/// The Earth Engine configuration of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProjectConfig {
    /// The name: `projects/P/config`.
    #[serde(default)]
    pub name: String,
    /// The registration state: `REGISTERED_NOT_COMMERCIALLY`, ….
    #[serde(default)]
    pub registration_state: String,
    /// The maximum number of concurrent exports, if limited.
    #[serde(default)]
    pub max_concurrent_exports: Option<u32>,
}

impl Client {
    /// Returns the project's Earth Engine configuration.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// println!("{}", client.config().await?.registration_state);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn config(&self) -> Result<ProjectConfig, Error> {
        self.get_json("config").await
    }

    /// Sets the project's maximum number of concurrent exports, the only setting that Earth Engine
    /// lets clients change.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let config = client.update_config(5).await?;
    /// assert_eq!(config.max_concurrent_exports, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn update_config(&self, max_concurrent_exports: u32) -> Result<ProjectConfig, Error> {
        self.request(Method::PATCH, "config")
            // In snake case, as the Python client sends it.
            .query("updateMask", "max_concurrent_exports")
            .json(&json!({"maxConcurrentExports": max_concurrent_exports}))
            // Setting the same value twice has no further effect.
            .idempotent(true)
            .send()
            .await?
            .json()
    }
}
