//! Words for what a credential is and where it was found.

use std::fmt;

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A service account's private key.
    ServiceAccount,
    /// A person's login, as gcloud writes it.
    AuthorizedUser,
    /// A person's login, as Earth Engine's own clients write it.
    EarthEngineFile,
    /// A token that the program brings, or makes by itself.
    AccessToken,
    /// An API key.
    ApiKey,
}

impl Kind {
    /// Its stable name, as `eectl --json` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service_account",
            Self::AuthorizedUser => "authorized_user",
            Self::EarthEngineFile => "earthengine_file",
            Self::AccessToken => "access_token",
            Self::ApiKey => "api_key",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a credential was found. The variants stand in the order in which they are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The program or the command line gave it.
    Flag,
    /// The variable `EARTHENGINE_TOKEN`.
    EnvEarthEngineToken,
    /// Earth Engine's own credentials file.
    EarthEngineFile,
    /// The file that `GOOGLE_APPLICATION_CREDENTIALS` names.
    EnvApplicationCredentials,
    /// gcloud's file of Application Default Credentials.
    GcloudAdc,
}

impl Origin {
    /// Its stable name, as `eectl --json` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::EnvEarthEngineToken => "env:EARTHENGINE_TOKEN",
            Self::EarthEngineFile => "earthengine_file",
            Self::EnvApplicationCredentials => "env:GOOGLE_APPLICATION_CREDENTIALS",
            Self::GcloudAdc => "gcloud_adc",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
