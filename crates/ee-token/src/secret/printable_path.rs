//! Paths in messages and in `Debug`.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::redact;
use crate::secret::sanitize::is_unsafe_for_display;

/// A path whose `Display` and `Debug` show it as [`display_path`] does: without secrets that were
/// entered in place of a path, and without characters that control a terminal.
///
/// ```
/// use ee_token::internal::PrintablePath;
///
/// let path = PrintablePath::from("1//0gSecret");
/// assert_eq!(format!("{path} {path:?}"), "[redacted] \"[redacted]\"");
/// assert!(path.is_relative());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrintablePath(PathBuf);

impl PrintablePath {
    /// Returns the unchanged path.
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

/// Returns a path for use in messages: without secrets, and with U+FFFD for each character that is
/// [unsafe for display](is_unsafe_for_display).
///
/// ```
/// use std::path::Path;
/// use ee_token::internal::display_path;
///
/// assert_eq!(display_path(Path::new("/home/jane/key.json")), "/home/jane/key.json");
/// assert_eq!(display_path(Path::new("/tmp/a\u{1b}[2Jb")), "/tmp/a\u{fffd}[2Jb");
/// assert_eq!(display_path(Path::new("GOCSPX-abcdef")), "[redacted]");
/// ```
pub fn display_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !text.contains(is_unsafe_for_display) {
        return redact(&text, &[]).into_owned();
    }
    let visible: String = text
        .chars()
        .filter(|c| !is_unsafe_for_display(*c))
        .collect();
    let visible = Zeroizing::new(visible);
    let redacted = redact(&visible, &[]);
    if *redacted != **visible {
        return redacted.into_owned();
    }
    text.replace(is_unsafe_for_display, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_secrets_and_control_characters() {
        for (path, shown) in [
            (
                "/home/jane/My Keys/ÄÖ 森/key.json",
                "/home/jane/My Keys/ÄÖ 森/key.json",
            ),
            (
                "/home/jane\u{1b}]0;x\u{7}",
                "/home/jane\u{fffd}]0;x\u{fffd}",
            ),
            ("/home/a\nerror: b", "/home/a\u{fffd}error: b"),
            ("/home/\u{202e}nosj.yek", "/home/\u{fffd}nosj.yek"),
            ("ya29.a0\u{200b}Af", "[redacted]"),
            (
                "{\"refresh_token\": \"a\nbcd\"}",
                "{\"refresh_token\": \"[redacted]\"}",
            ),
        ] {
            assert_eq!(display_path(Path::new(path)), shown);
        }
    }
}
