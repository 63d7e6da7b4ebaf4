//! Workload tags.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ee_token::Remedy;
use ee_token::internal::Quoted;

use crate::{Error, ErrorKind};

/// A label for computing time in Earth Engine's usage statistics and on the bill: 1 to 63
/// characters of `a-z`, `0-9`, `-` and `_`, starting and ending with a letter or digit.
///
/// ```
/// use ee_rest::WorkloadTag;
///
/// let tag: WorkloadTag = "flood-map_2026".parse()?;
/// assert_eq!(tag.as_str(), "flood-map_2026");
/// assert!("Flood map".parse::<WorkloadTag>().is_err());
/// # Ok::<(), ee_rest::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadTag(Arc<str>);

impl WorkloadTag {
    /// Validates a tag.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidRequest`] if Earth Engine would reject the tag.
    pub fn new(tag: &str) -> Result<Self, Error> {
        let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = tag.as_bytes();
        let valid = bytes.len() <= 63
            && ends(bytes.first())
            && ends(bytes.last())
            && bytes
                .iter()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if valid {
            return Ok(Self(tag.into()));
        }
        Err(Error::new(
            ErrorKind::InvalidRequest,
            format!("{} is not a valid workload tag", Quoted(tag)),
        )
        .with_remedy(
            Remedy::new(
                "Use 1 to 63 lowercase letters, digits, - and _, starting and ending with a letter or digit.",
            )
            .url("https://developers.google.com/earth-engine/guides/workload_tags"),
        ))
    }

    /// Returns the tag as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for WorkloadTag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkloadTag {
    type Err = Error;

    fn from_str(tag: &str) -> Result<Self, Error> {
        Self::new(tag)
    }
}

impl fmt::Display for WorkloadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_python_clients_rules() {
        let longest = "a".repeat(63);
        for tag in ["a", "0", "a-b", "a_b", "a--__b", "2026-run", &longest] {
            assert_eq!(WorkloadTag::new(tag).unwrap().to_string(), tag);
        }
        let too_long = "a".repeat(64);
        for tag in [
            "", "-", "_a", "a-", "A", "a b", "a.b", "ä", "a\n", "a\0b", "١", &too_long,
        ] {
            let error = WorkloadTag::new(tag).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{tag:?}");
            assert!(!error.remedy().text.is_empty());
        }
        // The message is bounded however long the tag is.
        let error = WorkloadTag::new(&"x".repeat(1 << 20)).unwrap_err();
        assert!(error.to_string().len() < 200);
    }
}
