//! The error of this crate.

use ee_token::internal::error_type;

error_type! {
    /// The error of this crate. One word wide and cheap to clone.
    Error, ErrorKind
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is invalid: an address that is not on loopback, an API key instead of credentials.
    InvalidOptions,
    /// The broker cannot listen at an address or a socket path.
    Listen,
    /// The ledger cannot be opened.
    Ledger,
    /// A private directory or a file in it cannot be created.
    PrivateDirectory,
    /// No broker responds, or its response is invalid.
    NoBroker,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::InvalidOptions,
        Self::Listen,
        Self::Ledger,
        Self::PrivateDirectory,
        Self::NoBroker,
    ];

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        match self {
            Self::InvalidOptions => "Change the option that the message names.",
            Self::Listen => "Use another port or path, or stop the program that uses this one.",
            Self::Ledger => "Check the path and the permissions of the file and its directory.",
            Self::PrivateDirectory => {
                "Check the permissions and the free space of the directory for temporary files."
            }
            Self::NoBroker => "Start a broker with `eectl serve`, or check the address or path.",
        }
    }

    /// Whether the error can go away on retry.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Listen | Self::NoBroker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_remedy() {
        for kind in ErrorKind::ALL {
            let error = Error::new(*kind, "failed");
            assert!(error.remedy().text.len() > 20, "{kind:?}");
            assert_eq!(error.is_transient(), kind.is_transient());
        }
    }
}
