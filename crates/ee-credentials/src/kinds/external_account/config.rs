//! A federated credential without the source of its subject tokens.

use std::fmt;
use std::time::Duration;

use ee_token::{Remedy, SecretString};
use serde::Deserialize;

use crate::Error;
use crate::input::json::{JsonObject, ProjectId};
use crate::input::location::Location;
use crate::input::quote::clipped;

/// The type of a subject token that is a signed request to AWS STS.
pub(crate) const AWS4_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
/// The type of a subject token that is a chain of certificates.
pub(crate) const MTLS: &str = "urn:ietf:params:oauth:token-type:mtls";
/// The types of subject tokens from a file, a URL, an executable or a closure.
pub(crate) const BEARER_TYPES: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:saml2",
];
/// The lifetimes that IAM allows (`token_lifetime_seconds`).
const LIFETIMES: std::ops::RangeInclusive<u64> = 600..=43_200;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A provider of a workload or workforce identity pool: the contents of a file of the type
/// `external_account` without the source of the subject token. For
/// [`Credentials::from_subject_token`](crate::Credentials::from_subject_token).
///
/// ```
/// use ee_credentials::{Credentials, ExternalAccountConfig, CredentialOptions};
/// use ee_token::SecretString;
///
/// # fn f() -> Result<(), ee_credentials::Error> {
/// let account = ExternalAccountConfig::new(
///     "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/my-pool/providers/my-idp",
///     "urn:ietf:params:oauth:token-type:jwt",
/// )
/// .impersonate("robot@my-project.iam.gserviceaccount.com");
/// let credentials = Credentials::from_subject_token(
///     account,
///     || async { Ok(SecretString::from("a JWT of my identity provider")) },
///     &CredentialOptions::default(),
/// )?;
/// assert_eq!(credentials.principal(), Some("robot@my-project.iam.gserviceaccount.com"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ExternalAccountConfig {
    pub(crate) audience: String,
    pub(crate) subject_token_type: String,
    pub(crate) token_url: Option<String>,
    pub(crate) impersonation_url: Option<String>,
    /// The account to impersonate, if there is no URL.
    pub(crate) email: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) client: Option<(String, SecretString)>,
    pub(crate) user_project: Option<String>,
    pub(crate) quota_project: Option<String>,
}

#[derive(Deserialize)]
struct ExternalAccountFile {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<ImpersonationFields>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
    workforce_pool_user_project: Option<ProjectId>,
    quota_project_id: Option<ProjectId>,
}

#[derive(Deserialize)]
struct ImpersonationFields {
    token_lifetime_seconds: Option<u64>,
}

impl ExternalAccountConfig {
    /// Creates the configuration of the provider with this full name
    /// (`//iam.googleapis.com/…/providers/ID`), for subject tokens of the type
    /// `urn:ietf:params:oauth:token-type:jwt`, `…:id_token` or `…:saml2`.
    pub fn new(audience: impl Into<String>, subject_token_type: impl Into<String>) -> Self {
        Self {
            audience: audience.into(),
            subject_token_type: subject_token_type.into(),
            token_url: None,
            impersonation_url: None,
            email: None,
            lifetime: DEFAULT_LIFETIME,
            client: None,
            user_project: None,
            quota_project: None,
        }
    }

    /// Impersonates the service account with this email address. The subject needs the role
    /// `roles/iam.workloadIdentityUser` on it.
    #[must_use]
    pub fn impersonate(mut self, email: impl AsRef<str>) -> Self {
        self.email = Some(email.as_ref().to_owned());
        self
    }

    /// Sets the lifetime of the service account's tokens, from 600 to 43,200 s. Defaults to one hour.
    #[must_use]
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Authenticates an OAuth client to the token exchange (HTTP Basic authentication).
    #[must_use]
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.client = Some((id.into(), secret.into()));
        self
    }

    /// Sets the project that a workforce pool's token exchange is billed to.
    #[must_use]
    pub fn workforce_user_project(mut self, project: impl Into<String>) -> Self {
        self.user_project = Some(project.into());
        self
    }

    /// Sets the quota project.
    #[must_use]
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    pub(crate) fn from_object(object: &JsonObject<'_>) -> Result<Self, Error> {
        let file: ExternalAccountFile = object.read()?;
        let client = match (file.client_id, file.client_secret) {
            (Some(id), secret) => Some((id, secret.unwrap_or_default())),
            (None, Some(_)) => {
                return Err(object
                    .location
                    .invalid_field("client_id", "is missing, and `client_secret` is not"));
            }
            (None, None) => None,
        };
        let lifetime = file
            .service_account_impersonation
            .and_then(|impersonation| impersonation.token_lifetime_seconds);
        Ok(Self {
            audience: file.audience,
            subject_token_type: file.subject_token_type,
            token_url: Some(file.token_url),
            impersonation_url: file.service_account_impersonation_url,
            email: None,
            lifetime: lifetime.map_or(DEFAULT_LIFETIME, Duration::from_secs),
            client,
            user_project: file.workforce_pool_user_project.map(ProjectId::into_string),
            quota_project: file.quota_project_id.map(ProjectId::into_string),
        })
    }

    /// Validates the settings of a file or of the caller.
    pub(crate) fn check(&self, location: &Location) -> Result<(), Error> {
        if self.audience.trim().is_empty() {
            return Err(location.invalid_field("audience", "is empty"));
        }
        let mut types = BEARER_TYPES.into_iter().chain([AWS4_REQUEST, MTLS]);
        if !types.any(|known| known == self.subject_token_type) {
            return Err(location
                .invalid_field(
                    "subject_token_type",
                    format_args!(
                        "is {:?}, which is not a type of subject token",
                        clipped(&self.subject_token_type)
                    ),
                )
                .with_remedy(Remedy::new(format!(
                    "The types are {}, {AWS4_REQUEST} and {MTLS}.",
                    BEARER_TYPES.join(", ")
                ))));
        }
        if self.user_project.is_some() && !self.is_workforce() {
            return Err(location.invalid_field(
                "workforce_pool_user_project",
                "is for workforce pools, and `audience` is not one",
            ));
        }
        if !LIFETIMES.contains(&self.lifetime.as_secs()) {
            return Err(location.invalid_field(
                "token_lifetime_seconds",
                format_args!(
                    "is {}, and must be from {} to {}",
                    self.lifetime.as_secs(),
                    LIFETIMES.start(),
                    LIFETIMES.end()
                ),
            ));
        }
        Ok(())
    }

    /// Whether the pool is a workforce pool: `//iam.googleapis.com/locations/L/workforcePools/…`.
    pub(crate) fn is_workforce(&self) -> bool {
        self.audience
            .strip_prefix("//iam.googleapis.com/locations/")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(location, rest)| {
                !location.is_empty() && rest.starts_with("workforcePools/")
            })
    }

    /// Returns the number of the pool's project, or the project that a workforce pool is billed to.
    pub(crate) fn project_number(&self) -> Option<&str> {
        let mut segments = self.audience.split('/').skip_while(|s| *s != "projects");
        let of_pool = segments.nth(1).filter(|number| !number.is_empty());
        of_pool.or(self.user_project.as_deref())
    }
}

impl fmt::Debug for ExternalAccountConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccountConfig")
            .field("audience", &self.audience)
            .field("subject_token_type", &self.subject_token_type)
            .field("impersonation_url", &self.impersonation_url)
            .field("email", &self.email)
            .field("quota_project", &self.quota_project)
            .finish_non_exhaustive()
    }
}
