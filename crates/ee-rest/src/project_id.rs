//! Project IDs.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;
use ee_token::internal::Quoted;

use crate::{Error, ErrorKind};

/// The shared project of accounts from before Cloud projects were required. It cannot be billed.
pub(crate) const LEGACY_PROJECT: &str = "earthengine-legacy";

/// The ID of a Cloud project (6 to 30 lowercase letters, digits and hyphens, optionally after a
/// domain and a colon) or its number.
///
/// ```
/// use ee_rest::ProjectId;
///
/// let project: ProjectId = "example.com:my-project".parse()?;
/// assert_eq!(project.as_str(), "example.com:my-project");
///
/// let error = ProjectId::new("My Project").unwrap_err();
/// assert!(error.remedy().text.contains("my-project"));
/// # Ok::<(), ee_rest::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(String);

impl ProjectId {
    /// Validates an ID.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidProject`] if no project can have this ID. The remedy suggests
    /// the nearest valid one.
    pub fn new(id: impl Into<String>) -> Result<Self, Error> {
        let id = id.into();
        Self::check(&id)?;
        Ok(Self(id))
    }

    /// Validates an ID without storing it.
    pub(crate) fn check(id: &str) -> Result<(), Error> {
        if Self::is_valid(id) {
            return Ok(());
        }
        let rule = "A project ID has 6 to 30 lowercase letters, digits and hyphens, and starts with a letter";
        let remedy = match nearest(id) {
            Some(near) => format!("{rule}. Did you mean {near}?"),
            None => format!("{rule}. The Cloud console lists it next to the project's name."),
        };
        Err(Error::new(
            ErrorKind::InvalidProject,
            format!("{} is not a valid Cloud project ID", Quoted(id)),
        )
        .with_remedy(
            Remedy::new(remedy).url("https://console.cloud.google.com/cloud-resource-manager"),
        ))
    }

    /// Returns whether this is a valid ID or number.
    pub fn is_valid(id: &str) -> bool {
        if !id.is_empty() && id.len() <= 20 && id.bytes().all(|b| b.is_ascii_digit()) {
            return true;
        }
        let id = match id.split_once(':') {
            Some((domain, id)) if is_domain(domain) => id,
            Some(_) => return false,
            None => id,
        };
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (6..=30).contains(&id.len())
            && id.bytes().all(inner)
            && id.starts_with(|c: char| c.is_ascii_lowercase())
            && !id.ends_with('-')
    }

    /// Returns the ID as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is a project number.
    pub fn is_number(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_digit())
    }
}

impl AsRef<str> for ProjectId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<ProjectId> for String {
    fn from(id: ProjectId) -> Self {
        id.0
    }
}

impl FromStr for ProjectId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        Self::new(id)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether this is the domain of a domain-scoped project, such as
/// `example.com:my-project`.
fn is_domain(domain: &str) -> bool {
    domain.len() <= 253
        && domain.contains('.')
        && domain.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Returns the valid ID that was probably meant.
fn nearest(id: &str) -> Option<String> {
    let text = id.trim().trim_matches(['"', '\'', '/']);
    let text = text.strip_prefix("projects/").unwrap_or(text);
    let text = text.split('/').next().unwrap_or(text);
    let mut near = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() {
            near.push(c.to_ascii_lowercase());
        } else if !near.ends_with('-') {
            near.push('-');
        }
    }
    let near = near.trim_matches('-');
    (near != id && ProjectId::is_valid(near)).then(|| near.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_numbers_and_domain_scoped_ids_are_valid() {
        let longest = "a".repeat(30);
        for good in [
            "my-project",
            "ee-jane",
            "abcdef",
            "a12345",
            "123456789012",
            "example.com:my-project",
            &longest,
        ] {
            assert_eq!(ProjectId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn other_texts_are_invalid() {
        let too_long = "a".repeat(31);
        let far_too_long = "a".repeat(200);
        for bad in [
            "",
            " ",
            "My Project",
            "projects/x",
            "short",
            "-project",
            "project-",
            "1project",
            "ProJect",
            "my_project",
            "my.project",
            "a/b",
            "proj ect",
            "проект",
            "no:such-project",
            "exämple.com:my-project",
            "my-project\n",
            "123456789012345678901",
            &too_long,
            &far_too_long,
        ] {
            let error = ProjectId::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidProject, "{bad:?}");
            assert!(!error.remedy().text.is_empty());
        }
    }

    #[test]
    fn nearest_valid_id_is_suggested() {
        for (bad, near) in [
            ("My Project", Some("my-project")),
            ("projects/my-project", Some("my-project")),
            ("projects/my-project/assets/x", Some("my-project")),
            (" my_project ", Some("my-project")),
            ("\"my-project\"", Some("my-project")),
            ("projects/x", None),
            ("", None),
            (&"x".repeat(200), None),
        ] {
            assert_eq!(nearest(bad).as_deref(), near, "{bad}");
        }
    }

    #[test]
    fn message_is_short_and_has_no_control_characters() {
        let id = format!("\u{1b}[31m{}", "x".repeat(1000));
        let message = ProjectId::new(id).unwrap_err().to_string();
        assert!(
            message.len() < 150 && !message.contains('\u{1b}'),
            "{message}"
        );
    }

    proptest::proptest! {
        #[test]
        fn valid_id_is_suggested_for_its_misspellings(
            id in "[a-z][a-z0-9]{2,9}-[a-z0-9]{1,9}[a-z0-9]",
        ) {
            assert!(ProjectId::is_valid(&id));
            let scoped = format!("example.com:{id}");
            assert!(ProjectId::is_valid(&scoped));
            for bad in [id.to_uppercase(), id.replace('-', " "), format!("projects/{id}")] {
                assert!(!ProjectId::is_valid(&bad));
                let near = nearest(&bad);
                assert_eq!(near.as_ref(), Some(&id));
            }
        }
    }
}
