//! Whether a project may use Earth Engine, as `projects/P/config` says.

use std::fmt;

use serde::Deserialize;

/// How a project is registered for Earth Engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum Registration {
    /// For commercial use.
    Commercial,
    /// For noncommercial use: research, education, the public good.
    NotCommercial,
    /// Not at all.
    NotRegistered,
    /// The server does not say.
    Unspecified,
    /// It was not asked.
    Unverified,
    /// A state that is newer than this library.
    Other(String),
}

impl Registration {
    /// The server's name of the state.
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
}

impl From<String> for Registration {
    fn from(state: String) -> Self {
        match state.as_str() {
            "REGISTERED_COMMERCIALLY" => Self::Commercial,
            "REGISTERED_NOT_COMMERCIALLY" => Self::NotCommercial,
            "NOT_REGISTERED" => Self::NotRegistered,
            "" | "REGISTRATION_STATE_UNSPECIFIED" => Self::Unspecified,
            _ => Self::Other(state),
        }
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reply of `projects/P/config`, as far as initialization needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectConfig {
    #[serde(default)]
    pub(crate) registration_state: Option<Registration>,
}
