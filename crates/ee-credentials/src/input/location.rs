//! Locations of credentials, as error messages name them.

use std::fmt;
use std::path::{Path, PathBuf};

use ee_token::Remedy;
use ee_token::internal::PrintablePath;

use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

/// The remedy for a credential that was changed or damaged.
pub(crate) const DOWNLOAD_AGAIN: &str =
    "Download or create the credential again, and use it unchanged.";

/// The location of a text.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    File {
        path: PrintablePath,
        /// The environment variable that contains the path.
        named_by: Option<&'static str>,
    },
    Variable(&'static str),
    /// Text from the caller.
    InMemory,
    /// An object inside another credential.
    Part {
        whole: Box<Location>,
        field: String,
    },
    /// Another source of text: a server's response, a program's output.
    Other(String),
}

impl Location {
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: PrintablePath::from(path),
            named_by: None,
        }
    }

    /// Returns the location of a file that a variable names.
    pub(crate) fn named(path: impl Into<PathBuf>, variable: &'static str) -> Self {
        Self::File {
            path: PrintablePath::from(path),
            named_by: Some(variable),
        }
    }

    /// Returns the location of the object in a field.
    pub(crate) fn part(&self, field: impl Into<String>) -> Self {
        Self::Part {
            whole: Box::new(self.clone()),
            field: field.into(),
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Part { whole, .. } => whole.path(),
            _ => None,
        }
    }

    /// Returns the error for text that cannot be used.
    pub(crate) fn invalid(&self, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::InvalidFile, format!("{self}: {why}"))
    }

    /// Returns the error for a field that cannot be used.
    pub(crate) fn invalid_field(&self, field: &str, why: impl fmt::Display) -> Error {
        self.invalid(format_args!("the field `{}` {why}", clipped(field)))
            .with_remedy(Remedy::new(DOWNLOAD_AGAIN))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                named_by: None,
            } => path.fmt(f),
            Self::File {
                path,
                named_by: Some(variable),
            } => write!(f, "{path} (named by {variable})"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::InMemory => f.write_str("the credential given as text"),
            Self::Other(what) => f.write_str(what),
            Self::Part { whole, field } => write!(f, "{whole}: in `{field}`"),
        }
    }
}
