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
            // Only a name is shown: a text could be an echo of what was sent.
            name if is_name(name) => Self::Other(state),
            _ => Self::Unspecified,
        }
    }
}

/// Whether it can be the name of a state, as Google writes them.
fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_known_has_a_name_or_is_none() {
        let read = |state: &str| Registration::from(state.to_owned());
        assert_eq!(read("SOMETHING_NEW").as_str(), "SOMETHING_NEW");
        for text in ["ya29.an-echo", "something new", &"A".repeat(65)] {
            assert_eq!(read(text), Registration::Unspecified);
        }
    }
}
