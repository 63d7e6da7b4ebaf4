//! The project that was selected, and where it came from.

use std::fmt;

use ee_credentials::Warning;
use ee_rest::internal::ProjectOrigin;

/// The project that requests are sent for and billed to, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Project {
    /// The project ID or number.
    pub id: String,
    /// Where the project was found.
    pub source: ProjectSource,
    /// Non-fatal problems with the choice, for example another source that names another project.
    pub warnings: Vec<Warning>,
}

/// Where a project was found. The variants are in search order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProjectSource {
    /// Set by the caller.
    Explicit,
    /// `EARTHENGINE_PROJECT`.
    EnvEarthEngineProject,
    /// `EE_PROJECT_ID`.
    EnvEeProjectId,
    /// The field `project` of Earth Engine's login file.
    EarthEngineFile,
    /// `GOOGLE_CLOUD_QUOTA_PROJECT`.
    EnvQuotaProject,
    /// The quota project of the credential.
    CredentialsQuotaProject,
    /// `GOOGLE_CLOUD_PROJECT`.
    EnvGoogleCloudProject,
    /// `GCLOUD_PROJECT`.
    EnvGcloudProject,
    /// The project that the credential belongs to.
    CredentialsProject,
    /// gcloud's active configuration.
    GcloudConfig,
    /// The metadata server, for credentials of the machine.
    MetadataServer,
    /// The project that owns the OAuth client of the credential.
    OauthClient,
}

impl ProjectSource {
    /// All sources, in search order.
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

    /// Returns whether this source comes before the credentials.
    pub(crate) fn is_before_credentials(self) -> bool {
        Self::ORDER
            .iter()
            .take_while(|source| **source != Self::CredentialsQuotaProject)
            .any(|source| *source == self)
    }

    /// Returns the stable name, as `eectl --json` prints it.
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

    /// Describes the source to users: `Earth Engine's login file`.
    pub fn description(self) -> &'static str {
        match self {
            Self::Explicit => "the project option",
            Self::EarthEngineFile => "Earth Engine's login file",
            Self::CredentialsQuotaProject => "the credential's quota project",
            Self::CredentialsProject => "the credential",
            Self::GcloudConfig => "gcloud's configuration",
            Self::MetadataServer => "the metadata server",
            Self::OauthClient => "the credential's OAuth client",
            variable => variable.as_str().trim_start_matches("env:"),
        }
    }
}

/// Where a project came from, for messages.
impl From<ProjectSource> for ProjectOrigin {
    fn from(source: ProjectSource) -> Self {
        Self {
            name: source.description(),
            is_typed: source == ProjectSource::Explicit,
        }
    }
}

impl fmt::Display for ProjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}
