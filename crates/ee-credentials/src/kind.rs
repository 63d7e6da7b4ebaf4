//! The kinds and the sources of credentials.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;

use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

/// The kind of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// A service account key.
    ServiceAccount,
    /// A user login in gcloud's format.
    AuthorizedUser,
    /// A user login in Earth Engine's format.
    EarthEngineFile,
    /// Workload or workforce identity federation.
    ExternalAccount,
    /// A user login through workforce identity federation.
    ExternalAccountAuthorizedUser,
    /// A service account that another credential impersonates.
    ImpersonatedServiceAccount,
    /// A service identity of Google Distributed Cloud.
    GdchServiceAccount,
    /// The service account of a machine on Google Cloud.
    MetadataServer,
    /// An access token, or a source of tokens, from the caller.
    AccessToken,
    /// An API key.
    ApiKey,
}

impl CredentialKind {
    const ALL: [Self; 10] = [
        Self::ServiceAccount,
        Self::AuthorizedUser,
        Self::EarthEngineFile,
        Self::ExternalAccount,
        Self::ExternalAccountAuthorizedUser,
        Self::ImpersonatedServiceAccount,
        Self::GdchServiceAccount,
        Self::MetadataServer,
        Self::AccessToken,
        Self::ApiKey,
    ];

    /// Returns the stable name, as JSON has it: for most files, the value of their field `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service_account",
            Self::AuthorizedUser => "authorized_user",
            Self::EarthEngineFile => "earthengine_file",
            Self::ExternalAccount => "external_account",
            Self::ExternalAccountAuthorizedUser => "external_account_authorized_user",
            Self::ImpersonatedServiceAccount => "impersonated_service_account",
            Self::GdchServiceAccount => "gdch_service_account",
            Self::MetadataServer => "metadata_server",
            Self::AccessToken => "access_token",
            Self::ApiKey => "api_key",
        }
    }

    /// Describes the kind to users: `service account key`.
    pub fn description(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service account key",
            Self::AuthorizedUser => "user login",
            Self::EarthEngineFile => "Earth Engine login",
            Self::ExternalAccount => "identity federation",
            Self::ExternalAccountAuthorizedUser => "workforce login",
            Self::ImpersonatedServiceAccount => "impersonated service account",
            Self::GdchServiceAccount => "service identity of Google Distributed Cloud",
            Self::MetadataServer => "service account of this machine",
            Self::AccessToken => "access token",
            Self::ApiKey => "API key",
        }
    }
}

/// Parses the name that [`CredentialKind::as_str`] returns.
impl FromStr for CredentialKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOptions,
                format!("{:?} is not a kind of credential", clipped(name)),
            )
            .with_remedy(Remedy::new(format!(
                "The kinds are {}.",
                Self::ALL.map(Self::as_str).join(", ")
            )))
        })
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

/// Where a credential was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialSource {
    /// The caller created it.
    InMemory,
    /// The caller passed its file or its text to the search.
    Explicit,
    /// The login of a named account: the caller's, or the one in `EARTHENGINE_ACCOUNT`.
    Account,
    /// The variable `EARTHENGINE_TOKEN`.
    EnvEarthEngineToken,
    /// Earth Engine's login file.
    EarthEngineFile,
    /// The file in the variable `GOOGLE_APPLICATION_CREDENTIALS`.
    EnvGoogleApplicationCredentials,
    /// The file of `gcloud auth application-default login`.
    GcloudAdc,
    /// The metadata server of a machine on Google Cloud.
    MetadataServer,
}

impl CredentialSource {
    /// The sources that a search may be restricted to, in its order.
    pub(crate) const SEARCHED: [Self; 5] = [
        Self::EnvEarthEngineToken,
        Self::EarthEngineFile,
        Self::EnvGoogleApplicationCredentials,
        Self::GcloudAdc,
        Self::MetadataServer,
    ];

    /// Returns the stable name, as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InMemory => "caller",
            Self::Explicit => "flag",
            Self::Account => "account",
            Self::EnvEarthEngineToken => "env:EARTHENGINE_TOKEN",
            Self::EarthEngineFile => "earthengine_file",
            Self::EnvGoogleApplicationCredentials => "env:GOOGLE_APPLICATION_CREDENTIALS",
            Self::GcloudAdc => "gcloud_adc",
            Self::MetadataServer => "metadata_server",
        }
    }

    /// Describes the source to users: `Earth Engine's login file`.
    pub fn description(self) -> &'static str {
        match self {
            Self::InMemory => "the program",
            Self::Explicit => "the credentials option",
            Self::EnvEarthEngineToken => "EARTHENGINE_TOKEN",
            Self::EarthEngineFile => "Earth Engine's login file",
            Self::Account => "the login of an account",
            Self::EnvGoogleApplicationCredentials => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::GcloudAdc => "gcloud's login",
            Self::MetadataServer => "the metadata server",
        }
    }
}

/// Parses the name of a source that is searched: [`CredentialSource::as_str`], also without `env:`.
impl FromStr for CredentialSource {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let is_named = |source: &Self| {
            let own = source.as_str();
            own == name || own.strip_prefix("env:") == Some(name)
        };
        Self::SEARCHED.into_iter().find(is_named).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOptions,
                format!("{:?} is not a source of credentials", clipped(name)),
            )
            .with_remedy(Remedy::new(format!(
                "The sources are {}.",
                Self::SEARCHED.map(Self::as_str).join(", ")
            )))
        })
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_parsed_from_its_name() {
        for source in CredentialSource::SEARCHED {
            assert_eq!(source.as_str().parse::<CredentialSource>().unwrap(), source);
        }
        assert!("EARTHENGINE_TOKEN".parse::<CredentialSource>().is_ok());
        for name in ["", "flag", "caller", "account", "metadata"] {
            let error = name.parse::<CredentialSource>().unwrap_err();
            assert!(error.remedy().text.contains("gcloud_adc"));
        }
    }

    #[test]
    fn kind_is_parsed_from_its_name() {
        for kind in CredentialKind::ALL {
            assert_eq!(kind.as_str().parse::<CredentialKind>().unwrap(), kind);
        }
        let error = "wizard".parse::<CredentialKind>().unwrap_err();
        assert!(error.remedy().text.contains("service_account"));
    }
}
