//! What Earth Engine knows about a project.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{Client, Error};

/// What Earth Engine knows about a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProjectConfig {
    /// `projects/P/config`.
    #[serde(default)]
    pub name: String,
    /// How the project is registered: `REGISTERED_NOT_COMMERCIALLY`, ….
    #[serde(default)]
    pub registration_state: String,
    /// How many exports may run at once, where that is limited.
    #[serde(default)]
    pub max_concurrent_exports: Option<u32>,
}

impl Client {
    /// What Earth Engine knows about the project.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// println!("{}", client.config().await?.registration_state);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn config(&self) -> Result<ProjectConfig, Error> {
        self.get_json("config").await
    }

    /// Sets how many exports of the project may run at once: the one thing about a project
    /// that Earth Engine lets clients change.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let config = client.update_config(5).await?;
    /// assert_eq!(config.max_concurrent_exports, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn update_config(&self, max_concurrent_exports: u32) -> Result<ProjectConfig, Error> {
        self.request(Method::PATCH, "config")
            // The Python client spells the mask so.
            .query("updateMask", "max_concurrent_exports")
            .json(&json!({"maxConcurrentExports": max_concurrent_exports}))
            // Set twice is set.
            .idempotent(true)
            .send()
            .await?
            .json()
    }
}
