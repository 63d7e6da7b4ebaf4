//! The Earth Engine configuration of a project.

use std::fmt;

use http::Method;
use serde::{Deserialize, Deserializer};
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
    /// How the project is registered.
    #[serde(default)]
    pub registration_state: Registration,
    /// The maximum number of concurrent exports, if limited.
    #[serde(default)]
    pub max_concurrent_exports: Option<u32>,
}

/// How a project is registered for Earth Engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Registration {
    /// Registered for commercial use.
    Commercial,
    /// Registered for noncommercial use: research, education, nonprofits.
    NotCommercial,
    /// Not registered.
    NotRegistered,
    /// The server did not report the state.
    #[default]
    Unspecified,
    /// The state was not requested.
    Unverified,
    /// A state that this version does not know.
    Other(String),
}

impl Registration {
    /// Returns the API's name of the state, such as `REGISTERED_COMMERCIALLY`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Commercial => "REGISTERED_COMMERCIALLY",
            Self::NotCommercial => "REGISTERED_NOT_COMMERCIALLY",
            Self::NotRegistered => "NOT_REGISTERED",
            Self::Unspecified => "REGISTRATION_STATE_UNSPECIFIED",
            Self::Unverified => "UNVERIFIED",
            Self::Other(state) => state,
        }
    }

    fn from_state(state: String) -> Self {
        // Only a name is kept, because another text could echo a secret.
        let is_name = |text: &str| {
            text.len() <= 64 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        match state.as_str() {
            "REGISTERED_COMMERCIALLY" => Self::Commercial,
            "REGISTERED_NOT_COMMERCIALLY" => Self::NotCommercial,
            "NOT_REGISTERED" => Self::NotRegistered,
            "" | "REGISTRATION_STATE_UNSPECIFIED" => Self::Unspecified,
            name if is_name(name) => Self::Other(state),
            _ => Self::Unspecified,
        }
    }
}

impl<'de> Deserialize<'de> for Registration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Option::<String>::deserialize(deserializer)?;
        Ok(Self::from_state(state.unwrap_or_default()))
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_registration_state_is_kept_only_if_it_is_a_name() {
        let read = |state: &str| serde_json::from_value::<Registration>(json!(state)).unwrap();
        assert_eq!(read("SOMETHING_NEW").as_str(), "SOMETHING_NEW");
        for text in ["ya29.an-echo", "something new", &"A".repeat(65)] {
            assert_eq!(read(text), Registration::Unspecified);
        }
        let null: ProjectConfig = serde_json::from_str(r#"{"registrationState": null}"#).unwrap();
        assert_eq!(null.registration_state, Registration::Unspecified);
    }
}
