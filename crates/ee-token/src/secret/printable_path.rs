//! Paths in types that people print.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::display_path;

/// A path whose `Display` and `Debug` show it as [`display_path`] does: without secrets that
/// were put where a path belongs, and without characters that steer a terminal.
///
/// ```
/// use ee_token::PrintablePath;
///
/// let path = PrintablePath::from("1//0gSecret");
/// assert_eq!(format!("{path} {path:?}"), "[redacted] \"[redacted]\"");
/// assert!(path.is_relative());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrintablePath(PathBuf);

impl PrintablePath {
    /// The path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl<P: Into<PathBuf>> From<P> for PrintablePath {
    fn from(path: P) -> Self {
        Self(path.into())
    }
}

impl Deref for PrintablePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for PrintablePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for PrintablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display_path(&self.0))
    }
}

impl fmt::Debug for PrintablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_path(&self.0).fmt(f)
    }
}
