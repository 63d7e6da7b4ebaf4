//! Cloud projects: how one is spelled, and which can never be used.

pub(crate) mod list;
pub(crate) mod registration;
pub(crate) mod resolve;
pub(crate) mod search;
pub(crate) mod suggest;

use std::fmt;

use ee_credentials::Warning;
pub use ee_credentials::is_google_sdk_project;
use ee_token::{Remedy, is_unsafe_for_display};

use crate::{Error, ErrorKind};

/// The project that requests are routed through and billed to, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Project {
    /// Its id, or its number.
    pub id: String,
    /// Where it was found.
    pub source: ProjectSource,
    /// What somebody should know of the choice: that another place names another project.
    pub warnings: Vec<Warning>,
}

/// Where a project was found. The variants stand in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProjectSource {
    /// The caller named it.
    Explicit,
    /// `EARTHENGINE_PROJECT`.
    EnvEarthEngineProject,
    /// `EE_PROJECT_ID`.
    EnvEeProjectId,
    /// The `project` of Earth Engine's own credentials file.
    EarthEngineFile,
    /// `GOOGLE_CLOUD_QUOTA_PROJECT`.
    EnvQuotaProject,
    /// The credential's quota project.
    CredentialsQuotaProject,
    /// `GOOGLE_CLOUD_PROJECT`.
    EnvGoogleCloudProject,
    /// `GCLOUD_PROJECT`.
    EnvGcloudProject,
    /// The project that the credential itself belongs to.
    CredentialsProject,
    /// gcloud's active configuration.
    GcloudConfig,
    /// The metadata server, where the credential is the machine's.
    MetadataServer,
    /// The project that owns the OAuth client of the credential.
    OauthClient,
}

impl ProjectSource {
    /// All of them, in the order in which they are tried.
    pub const ORDER: [Self; 12] = [
        Self::Explicit,
        Self::EnvEarthEngineProject,
        Self::EnvEeProjectId,
        Self::EarthEngineFile,
        Self::EnvQuotaProject,
        Self::CredentialsQuotaProject,
        Self::EnvGoogleCloudProject,
        Self::EnvGcloudProject,
        Self::CredentialsProject,
        Self::GcloudConfig,
        Self::MetadataServer,
        Self::OauthClient,
    ];

    /// Whether this place is looked at before what the credentials say.
    pub(crate) fn is_before_credentials(self) -> bool {
        Self::ORDER
            .iter()
            .take_while(|source| **source != Self::CredentialsQuotaProject)
            .any(|source| *source == self)
    }

    /// Its stable name, as `eectl --json` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "flag",
            Self::EnvEarthEngineProject => "env:EARTHENGINE_PROJECT",
            Self::EnvEeProjectId => "env:EE_PROJECT_ID",
            Self::EarthEngineFile => "earthengine_file",
            Self::EnvQuotaProject => "env:GOOGLE_CLOUD_QUOTA_PROJECT",
            Self::CredentialsQuotaProject => "credentials_quota_project",
            Self::EnvGoogleCloudProject => "env:GOOGLE_CLOUD_PROJECT",
            Self::EnvGcloudProject => "env:GCLOUD_PROJECT",
            Self::CredentialsProject => "credentials_project",
            Self::GcloudConfig => "gcloud_config",
            Self::MetadataServer => "metadata_server",
            Self::OauthClient => "oauth_client",
        }
    }
}

impl fmt::Display for ProjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks that this can be a project: an id (6 to 30 lower-case letters, digits and
/// hyphens, optionally after a domain and a colon) or a number.
///
/// # Errors
/// [`ErrorKind::InvalidProject`], with the nearest valid spelling where there is one, and
/// [`ErrorKind::SdkProject`].
///
/// ```
/// assert!(ee_init::check_project("my-project").is_ok());
/// let error = ee_init::check_project("My Project").unwrap_err();
/// assert!(error.remedy().unwrap().text.contains("my-project"));
/// ```
pub fn check_project(project: &str) -> Result<(), Error> {
    if is_google_sdk_project(project) {
        return Err(Error::new(
            ErrorKind::SdkProject,
            format!("project {project} belongs to a Google SDK and can never be used for Earth Engine"),
        )
        .with_remedy(Remedy::new(
            "Name a Cloud project of your own, for example with --project or EARTHENGINE_PROJECT.",
        )
        .url("https://console.cloud.google.com/projectselector2/home/dashboard")));
    }
    if is_valid(project) {
        return Ok(());
    }
    let shown: String = project
        .chars()
        .filter(|c| !is_unsafe_for_display(*c))
        .take(60)
        .collect();
    let more = if project.chars().count() > 60 {
        "…"
    } else {
        ""
    };
    let rule =
        "A project id has 6 to 30 lower-case letters, digits and hyphens, and begins with a letter";
    let remedy = match nearest(project) {
        Some(near) => format!("{rule}. Did you mean {near}?"),
        None => format!(
            "{rule}; it stands in the Cloud console's project list, beside the project's name."
        ),
    };
    Err(Error::new(
        ErrorKind::InvalidProject,
        format!("\"{shown}{more}\" cannot be a Cloud project's id"),
    )
    .with_remedy(
        Remedy::new(remedy).url("https://console.cloud.google.com/cloud-resource-manager"),
    ))
}

fn is_valid(project: &str) -> bool {
    if !project.is_empty() && project.len() <= 20 && project.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let id = match project.split_once(':') {
        Some((domain, id)) if is_domain(domain) => id,
        Some(_) => return false,
        None => project,
    };
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (6..=30).contains(&id.len())
        && id.bytes().all(inner)
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
}

/// The domain before the colon of a domain-scoped project, such as `example.com:my-project`.
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

/// The valid spelling that was probably meant.
fn nearest(project: &str) -> Option<String> {
    let text = project.trim().trim_matches(['"', '\'', '/']);
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
    (near != project && is_valid(near)).then(|| near.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(project: &str) -> Option<ErrorKind> {
        check_project(project).err().map(|e| e.kind())
    }

    #[test]
    fn what_is_no_project_is_quoted_without_what_steers_a_terminal_or_cannot_be_seen() {
        let error = check_project("my\u{1b}\u{202e}\u{200b} project").unwrap_err();
        assert!(error.to_string().contains("my project"), "{error}");
    }

    #[test]
    fn ids_numbers_and_domain_scoped_ids_are_projects() {
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
            assert_eq!(kind(good), None, "{good}");
        }
    }

    #[test]
    fn everything_else_is_not() {
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
            "my-project\n",
            "123456789012345678901",
            &too_long,
            &far_too_long,
        ] {
            assert_eq!(kind(bad), Some(ErrorKind::InvalidProject), "{bad:?}");
        }
    }

    #[test]
    fn the_nearest_spelling_is_suggested_where_there_is_one() {
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
    fn a_projects_message_is_short_and_has_no_control_characters() {
        let message = check_project(&format!("\u{1b}[31m{}", "x".repeat(1000)))
            .unwrap_err()
            .to_string();
        assert!(
            message.len() < 120 && !message.contains('\u{1b}'),
            "{message}"
        );
    }

    #[test]
    fn projects_of_sdks_are_never_taken() {
        for number in ee_credentials::SDK_PROJECTS {
            assert_eq!(kind(number), Some(ErrorKind::SdkProject));
        }
    }

    proptest::proptest! {
        #[test]
        fn an_id_by_the_rule_is_a_project_and_is_suggested_for_what_is_spelt_like_it(
            id in "[a-z][a-z0-9]{2,9}-[a-z0-9]{1,9}[a-z0-9]",
        ) {
            assert_eq!(kind(&id), None);
            assert_eq!(kind(&format!("example.com:{id}")), None);
            for near in [id.to_uppercase(), id.replace('-', " "), format!("projects/{id}")] {
                assert_eq!(kind(&near), Some(ErrorKind::InvalidProject));
                assert_eq!(nearest(&near).as_ref(), Some(&id));
            }
        }
    }
}
