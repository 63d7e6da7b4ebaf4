//! The configuration of credentials without secrets, for workers on other machines.

use std::fmt;
use std::path::{Path, PathBuf};

use ee_token::internal::{display_path, is_unsafe_for_display};
use ee_token::{HttpClient, Remedy, Scopes};
use serde::{Deserialize, Serialize};

use crate::input::file::without_blocking;
use crate::input::quote::clipped;
use crate::kinds::impersonated::builder::ImpersonationBuilder;
use crate::kinds::impersonated::config::ImpersonationConfig;
use crate::{
    AccountName, CredentialKind, CredentialOptions, CredentialSource, Credentials, Environment,
    Error, ErrorKind, Search,
};

/// The version of [`CredentialConfig`] that this crate writes and reads.
const VERSION: u32 = 1;
/// Bytes of the longest email address (RFC 5321 §4.5.3.1). Projects are shorter.
const LONGEST_NAME: usize = 320;

/// The kind, the location and the options of a credential, without secrets. Serialize it for workers
/// (Dask, Beam, Kubernetes jobs) that have the credential in the same location.
///
/// ```
/// use ee_credentials::{Credentials, Environment, CredentialOptions, CredentialConfig};
/// use ee_token::HttpClient;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let file = dir.path().join("login.json");
/// # std::fs::write(&file, r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "t"}"#)?;
/// let here = Credentials::from_file(&file, &CredentialOptions::default())?;
/// let json = serde_json::to_string(&here.to_config()?)?;
///
/// // On the worker:
/// let config: CredentialConfig = serde_json::from_str(&json)?;
/// let http = HttpClient::default();
/// let there = Credentials::from_config(&config, &Environment::current(), &http).await?;
/// assert_eq!(there.kind(), here.kind());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CredentialConfig {
    /// The version of the format: 1.
    pub version: u32,
    /// The kind of credential: [`CredentialKind::as_str`].
    pub kind: String,
    /// The location of the credential.
    pub found: CredentialLocation,
    /// The principal, if the credential contains it. A worker rejects the credential of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The requested scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The user that a service account acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether a service account signs its own tokens.
    #[serde(default, skip_serializing_if = "is_false")]
    pub self_signed_jwt: bool,
    /// The quota project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_project: Option<String>,
    /// The allowed hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// The service account of the metadata server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_email: Option<String>,
    /// The service that a token of Google Distributed Cloud is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gdch_audience: Option<String>,
    /// The impersonated service accounts, in order. Each one impersonates the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impersonation: Vec<ImpersonationConfig>,
}

/// The location of a credential on any machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CredentialLocation {
    /// The file at this path.
    File(String),
    /// The variable `EARTHENGINE_TOKEN`, or the file in the variable
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    Variable(String),
    /// Earth Engine's login file.
    EarthEngineFile,
    /// The login of the account with this name.
    Account(String),
    /// The file of `gcloud auth application-default login`.
    GcloudAdc,
    /// The metadata server.
    MetadataServer,
}

impl fmt::Debug for CredentialLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => {
                let path = display_path(Path::new(path));
                f.debug_tuple("File").field(&path).finish()
            }
            Self::Variable(name) => f.debug_tuple("Variable").field(&clipped(name)).finish(),
            Self::EarthEngineFile => f.write_str("EarthEngineFile"),
            Self::Account(name) => f.debug_tuple("Account").field(&clipped(name)).finish(),
            Self::GcloudAdc => f.write_str("GcloudAdc"),
            Self::MetadataServer => f.write_str("MetadataServer"),
        }
    }
}

const EARTHENGINE_TOKEN: &str = "EARTHENGINE_TOKEN";
const APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

fn is_false(value: &bool) -> bool {
    !value
}

impl Credentials {
    /// Returns the configuration of these credentials without secrets, for another machine.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for credentials from text, a key or a token, which have no location
    /// on another machine.
    pub fn to_config(&self) -> Result<CredentialConfig, Error> {
        if let Some((source, step)) = self.impersonated_from() {
            let mut config = source.to_config()?;
            config.impersonation.push(step.clone());
            if let Some(last) = config.impersonation.last_mut() {
                let scopes = self.scopes().map(|s| s.iter().map(str::to_owned).collect());
                last.scopes = scopes;
                last.quota_project = self.quota_project().map(str::to_owned);
            }
            return Ok(config);
        }
        let found = self.config_location()?;
        let options = self.options().ok_or_else(no_location)?;
        Ok(CredentialConfig {
            version: VERSION,
            kind: self.kind().as_str().to_owned(),
            found,
            principal: self.principal().map(str::to_owned),
            scopes: options
                .scopes
                .as_ref()
                .map(|scopes| scopes.iter().map(str::to_owned).collect()),
            subject: options.subject.clone(),
            self_signed_jwt: options.self_signed_jwt,
            quota_project: self.quota_project().map(str::to_owned),
            allowed_hosts: options.allowed_hosts.clone(),
            service_account_email: options.service_account_email.clone(),
            gdch_audience: options.gdch_audience.clone(),
            impersonation: Vec::new(),
        })
    }

    /// Creates the credentials of a configuration with the secret on this machine.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if the location contains none; [`ErrorKind::InvalidOptions`] if
    /// the configuration is invalid, or if the location contains another kind or another account;
    /// as [`Credentials::from_file`] otherwise.
    pub async fn from_config(
        config: &CredentialConfig,
        environment: &Environment,
        http: &HttpClient,
    ) -> Result<Self, Error> {
        config.check_names()?;
        if config.version != VERSION {
            return Err(wrong(format!(
                "the configuration has version {}, and only {VERSION} is supported",
                config.version
            )));
        }
        let options = config.options(environment, http);
        let search = Search::new(environment.clone(), options.clone());
        let found = match &config.found {
            CredentialLocation::File(path) => {
                search
                    .with_file(path)
                    .check_only(CredentialSource::Explicit)
                    .await?
            }
            CredentialLocation::Variable(name) if name == EARTHENGINE_TOKEN => {
                search
                    .check_only(CredentialSource::EnvEarthEngineToken)
                    .await?
            }
            CredentialLocation::Variable(name) if name == APPLICATION_CREDENTIALS => {
                search
                    .check_only(CredentialSource::EnvGoogleApplicationCredentials)
                    .await?
            }
            CredentialLocation::Variable(name) => {
                return Err(wrong(format!(
                    "the configuration names the variable {:?}, which is not a source of credentials",
                    clipped(name)
                )));
            }
            CredentialLocation::EarthEngineFile => {
                search.check_only(CredentialSource::EarthEngineFile).await?
            }
            CredentialLocation::Account(name) => {
                search
                    .with_account(name)
                    .check_only(CredentialSource::Account)
                    .await?
            }
            CredentialLocation::GcloudAdc => search.check_only(CredentialSource::GcloudAdc).await?,
            CredentialLocation::MetadataServer => {
                search.check_only(CredentialSource::MetadataServer).await?
            }
        };
        config.check(&found)?;
        let mut credentials = found;
        for step in &config.impersonation {
            let options = CredentialOptions {
                subject: None,
                scopes: None,
                quota_project: None,
                ..options.clone()
            };
            let path = credentials.path().map(ToOwned::to_owned);
            let impersonation = ImpersonationBuilder::new(credentials, step.clone());
            credentials = without_blocking(path, move || impersonation.build(&options)).await?;
        }
        Ok(credentials)
    }

    fn config_location(&self) -> Result<CredentialLocation, Error> {
        Ok(match (self.source(), self.path()) {
            (CredentialSource::EnvEarthEngineToken, _) => {
                CredentialLocation::Variable(EARTHENGINE_TOKEN.into())
            }
            (CredentialSource::EnvGoogleApplicationCredentials, _) => {
                CredentialLocation::Variable(APPLICATION_CREDENTIALS.into())
            }
            (CredentialSource::EarthEngineFile, _) => CredentialLocation::EarthEngineFile,
            (CredentialSource::Account, path) => {
                let name = path
                    .and_then(AccountName::of_file)
                    .ok_or_else(no_location)?;
                CredentialLocation::Account(name.as_str().to_owned())
            }
            (CredentialSource::GcloudAdc, _) => CredentialLocation::GcloudAdc,
            (CredentialSource::MetadataServer, _) => CredentialLocation::MetadataServer,
            (CredentialSource::InMemory | CredentialSource::Explicit, Some(path)) => {
                CredentialLocation::File(absolute(path)?)
            }
            (CredentialSource::InMemory | CredentialSource::Explicit, None) => {
                return Err(no_location());
            }
        })
    }
}

impl CredentialConfig {
    fn options(&self, environment: &Environment, http: &HttpClient) -> CredentialOptions {
        CredentialOptions {
            scopes: self
                .scopes
                .as_ref()
                .map(Scopes::new)
                .filter(|scopes| !scopes.is_empty()),
            subject: self.subject.clone(),
            self_signed_jwt: self.self_signed_jwt,
            allowed_hosts: self.allowed_hosts.clone(),
            quota_project: self.quota_project.clone(),
            service_account_email: self.service_account_email.clone(),
            gdch_audience: self.gdch_audience.clone(),
            environment: Some(environment.clone()),
            ..CredentialOptions::new(http.clone())
        }
    }

    /// Rejects a credential of another kind or another account in the same location.
    fn check(&self, found: &Credentials) -> Result<(), Error> {
        let kind = found.kind();
        if kind.as_str() != self.kind {
            return Err(wrong(format!(
                "the configuration is of a credential of the kind {:?}, and its location contains one of the kind {:?}",
                clipped(&self.kind),
                kind.as_str()
            )));
        }
        // Each machine has its own account.
        match (&self.principal, found.principal()) {
            (Some(sent), Some(here)) if sent != here && kind != CredentialKind::MetadataServer => {
                Err(wrong(format!(
                    "the configuration is of {:?}, and its location contains a credential of {here}",
                    clipped(sent)
                )))
            }
            _ => Ok(()),
        }
    }

    /// Rejects names that cannot be shown in messages.
    fn check_names(&self) -> Result<(), Error> {
        let own = [
            ("subject", &self.subject),
            ("quota_project", &self.quota_project),
            ("gdch_audience", &self.gdch_audience),
        ];
        let steps = self.impersonation.iter();
        let of_steps = steps.map(|step| ("quota_project", &step.quota_project));
        for (field, name) in own.into_iter().chain(of_steps) {
            let is_name =
                |name: &String| name.len() <= LONGEST_NAME && !name.contains(is_unsafe_for_display);
            if !name.as_ref().is_none_or(is_name) {
                return Err(wrong(format!(
                    "the field `{field}` of the configuration is not a name"
                )));
            }
        }
        let of_steps = self.impersonation.iter().map(|step| &step.scopes);
        for scopes in of_steps.chain([&self.scopes]).flatten() {
            if Scopes::new(scopes) != Scopes::from_untrusted(scopes) {
                return Err(wrong(
                    "the field `scopes` of the configuration contains invalid scopes".into(),
                ));
            }
        }
        Ok(())
    }
}

fn absolute(path: &Path) -> Result<String, Error> {
    let absolute: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.into_os_string().into_string().map_err(|_| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "the path {} is not UTF-8, so it cannot be serialized",
                display_path(path)
            ),
        )
        .with_remedy(Remedy::new("Rename the file."))
    })
}

fn no_location() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "these credentials have no location that another machine could use, and a configuration contains no secrets",
    )
    .with_remedy(Remedy::new(
        "Store the credential in a file or a variable (GOOGLE_APPLICATION_CREDENTIALS, EARTHENGINE_TOKEN) on both machines, and load it from there.",
    ))
}

fn wrong(why: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, why).with_remedy(Remedy::new(
        "Create the configuration again with the credentials that the worker should use, or install those on the worker.",
    ))
}

#[cfg(test)]
mod tests;
