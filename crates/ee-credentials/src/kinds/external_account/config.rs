//! What a federation is, wherever its subject tokens come from.

use std::fmt;
use std::time::Duration;

use ee_token::{Remedy, SecretString};

use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::external_account::{AWS4_REQUEST, BEARER_TYPES, MTLS, Source};
use crate::{Error, ErrorKind};

/// What IAM allows a token of a service account to live (`token_lifetime_seconds`).
const LIFETIMES: std::ops::RangeInclusive<u64> = 600..=43_200;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A provider of a workload or workforce identity pool, for
/// [`Credentials::from_subject_token`](crate::Credentials::from_subject_token): what a file of
/// the type `external_account` says, without the source of the subject token.
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
///     &CredentialOptions::google(),
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
    /// The account that is acted as, where no URL says so.
    pub(crate) email: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) client: Option<(String, SecretString)>,
    pub(crate) user_project: Option<String>,
    pub(crate) quota_project: Option<String>,
}

impl ExternalAccountConfig {
    /// The provider with this full name (`//iam.googleapis.com/…/providers/ID`), for subject
    /// tokens of this type: `urn:ietf:params:oauth:token-type:jwt`, `…:id_token` or `…:saml2`.
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

    /// Acts as the service account with this address. The subject needs the role
    /// `roles/iam.workloadIdentityUser` on it.
    #[must_use]
    pub fn impersonate(mut self, email: impl AsRef<str>) -> Self {
        self.email = Some(email.as_ref().to_owned());
        self
    }

    /// How long the service account's tokens live, from 600 to 43,200 s; an hour unless set.
    #[must_use]
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Authenticates an OAuth client to the token exchange (HTTP Basic).
    #[must_use]
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.client = Some((id.into(), secret.into()));
        self
    }

    /// The project that a workforce pool's exchange is charged to.
    #[must_use]
    pub fn workforce_user_project(mut self, project: impl Into<String>) -> Self {
        self.user_project = Some(project.into());
        self
    }

    /// The project that requests are billed to.
    #[must_use]
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Reads a file's fields.
    pub(crate) fn from_document(document: &Document) -> Result<Self, Error> {
        let owned = |name| Ok::<_, Error>(document.text(name)?.map(str::to_owned));
        let client_secret = document.secret("client_secret")?;
        let client = match owned("client_id")? {
            Some(id) => Some((id, client_secret.unwrap_or_default())),
            None if client_secret.is_some() => {
                return Err(document
                    .location
                    .invalid_field("client_id", "is missing, and there is a `client_secret`"));
            }
            None => None,
        };
        let lifetime = match document.part("service_account_impersonation")? {
            Some(part) => part.number("token_lifetime_seconds")?,
            None => None,
        };
        Ok(Self {
            audience: document.required_text("audience")?.to_owned(),
            subject_token_type: document.required_text("subject_token_type")?.to_owned(),
            token_url: Some(document.required_text("token_url")?.to_owned()),
            impersonation_url: owned("service_account_impersonation_url")?,
            email: None,
            lifetime: lifetime.map_or(DEFAULT_LIFETIME, Duration::from_secs),
            client,
            user_project: document.project("workforce_pool_user_project")?,
            quota_project: document.project("quota_project_id")?,
        })
    }

    /// What a file and a program can get wrong alike.
    pub(crate) fn check(&self, location: &Location) -> Result<(), Error> {
        if self.audience.trim().is_empty() {
            return Err(location.invalid_field("audience", "is empty"));
        }
        let types = [AWS4_REQUEST, MTLS];
        let known = BEARER_TYPES.into_iter().chain(types);
        if !known
            .into_iter()
            .any(|known| known == self.subject_token_type)
        {
            return Err(unknown_token_type(location, &self.subject_token_type));
        }
        if self.user_project.is_some() && !self.is_workforce() {
            return Err(location.invalid_field(
                "workforce_pool_user_project",
                "is for workforce pools, and `audience` names none",
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

    /// Whether the pool is one of people: `//iam.googleapis.com/locations/L/workforcePools/…`.
    pub(crate) fn is_workforce(&self) -> bool {
        self.audience
            .strip_prefix("//iam.googleapis.com/locations/")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(location, rest)| {
                !location.is_empty() && rest.starts_with("workforcePools/")
            })
    }

    /// The number of the pool's project, or what a workforce pool is charged to.
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

fn unknown_token_type(location: &Location, found: &str) -> Error {
    Error::new(
        ErrorKind::InvalidFile,
        format!(
            "{location}: the field `subject_token_type` is {:?}, which is no type of subject token",
            clipped(found)
        ),
    )
    .with_remedy(Remedy::new(format!(
        "Known are {}, {AWS4_REQUEST} and {MTLS}.",
        BEARER_TYPES.join(", ")
    )))
}

/// A type that exists, and does not fit the source.
pub(crate) fn wrong_token_type(location: &Location, found: &str, source: &Source) -> Error {
    let known = BEARER_TYPES.contains(&found) || [AWS4_REQUEST, MTLS].contains(&found);
    if !known {
        return unknown_token_type(location, found);
    }
    let fitting = match source {
        Source::Aws(_) => AWS4_REQUEST,
        Source::Certificate(_) => MTLS,
        _ => "urn:ietf:params:oauth:token-type:jwt, …:id_token or …:saml2",
    };
    location.invalid_field(
        "subject_token_type",
        format_args!(
            "is {found}, and a subject token from {} is {fitting}",
            source.noun()
        ),
    )
}
