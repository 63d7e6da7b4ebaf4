//! A project in a list, and its state.

use crate::{ErrorKind, Registration};

/// A Cloud project that the principal can access.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedProject {
    /// The project ID.
    pub id: String,
    /// The project number. Empty if the server did not report it.
    pub number: String,
    /// The display name, which is not unique. Empty if the server did not report a valid one (of
    /// at most 30 characters).
    pub name: String,
    /// Whether the Earth Engine API is enabled.
    pub api: ApiState,
    /// How the project is registered for Earth Engine.
    pub registration: Registration,
    /// Why the registration is not known, if it is not.
    pub error: Option<ErrorKind>,
}

impl ListedProject {
    /// Returns whether Earth Engine can be used with the project, as far as is known.
    pub fn is_ready(&self) -> bool {
        self.api == ApiState::Enabled
            && matches!(
                self.registration,
                Registration::Commercial | Registration::NotCommercial
            )
    }
}

/// Whether the Earth Engine API is enabled in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiState {
    /// The API is enabled.
    Enabled,
    /// The API is not enabled.
    Disabled,
    /// The principal may not see the state, or the server did not report it.
    Unknown,
}

impl ApiState {
    /// Returns the name in JSON: `enabled`, `disabled` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}
