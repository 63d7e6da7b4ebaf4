//! Words of shell commands, for remedies.

use std::path::Path;

use ee_token::internal::display_path;

/// Quotes a path as one word of a command.
pub(crate) fn shell_quoted(path: &Path) -> String {
    let path = display_path(path);
    if is_plain_word(&path) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Whether every shell takes the text as one word without quotes, and no program as an option.
pub(crate) fn is_plain_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}
