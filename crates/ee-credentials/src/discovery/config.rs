//! A credential's configuration without its secrets, for workers elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};

use ee_token::{HttpClient, Remedy, Scopes, display_path, is_unsafe_for_display};
use serde::{Deserialize, Serialize};

use crate::input::quote::clipped;
use crate::kinds::impersonated::builder::ImpersonationBuilder;
use crate::kinds::impersonated::config::ImpersonationConfig;
use crate::{
    CredentialKind, CredentialOptions, CredentialSource, Credentials, Environment, Error,
    ErrorKind, Search, without_blocking,
};

/// The form of [`CredentialConfig`] that this version writes and reads.
const VERSION: u32 = 1;
/// The longest mail address (RFC 5321 §4.5.3.1); projects are shorter.
const LONGEST_NAME: usize = 320;

/// What a credential is and where it is found, without its secrets: to be serialized and sent to
/// workers (Dask, Beam, Kubernetes jobs), which find the secret in the same place on their side.
///
/// ```
/// use ee_credentials::{Credentials, Environment, CredentialOptions, CredentialConfig};
/// use ee_token::{Endpoints, HttpClient};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("login.json");
/// # std::fs::write(&file, r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "t"}"#)?;
/// let here = Credentials::from_file(&file, &CredentialOptions::default())?;
/// let json = serde_json::to_string(&here.to_config()?)?;
///
/// // On the worker:
/// let settings: CredentialConfig = serde_json::from_str(&json)?;
/// let http = HttpClient::new(Endpoints::google());
/// let there = Credentials::from_config(&settings, &Environment::current(), &http).await?;
/// assert_eq!(there.kind(), here.kind());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CredentialConfig {
    /// The form of these settings: 1.
    pub version: u32,
    /// The kind of credential: [`CredentialKind::as_str`].
    pub kind: String,
    /// Where it is found.
    pub found: CredentialLocation,
    /// Whose it is, as far as it says so. A worker that finds another's refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The scopes that were asked for outright.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The person that a service account acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether a service account signs its own tokens.
    #[serde(default, skip_serializing_if = "is_false")]
    pub self_signed_jwt: bool,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_project: Option<String>,
    /// Hosts to which the credential may send requests although they are not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// Which of a machine's service accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_email: Option<String>,
    /// What a token of Google Distributed Cloud is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gdch_audience: Option<String>,
    /// The service accounts that are acted as, one through the other, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impersonation: Vec<ImpersonationConfig>,
}

/// Where a credential is found, on whatever machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CredentialLocation {
    /// The file at this path.
    File(String),
    /// The variable of this name: `EARTHENGINE_TOKEN`, or `GOOGLE_APPLICATION_CREDENTIALS`,
    /// which names a file.
    Variable(String),
    /// Earth Engine's own credentials file.
    EarthEngineFile,
    /// The file that gcloud writes.
    GcloudAdc,
    /// The metadata server of the machine.
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
    /// The configuration of these credentials without a secret, for a worker elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for credentials that were handed to the program as a text, a
    /// key or a token: there is no place where a worker could find them.
    pub fn to_config(&self) -> Result<CredentialConfig, Error> {
        if let Some((source, step)) = self.impersonated_from() {
            let mut settings = source.to_config()?;
            settings.impersonation.push(step.clone());
            if let Some(last) = settings.impersonation.last_mut() {
                let scopes = self.scopes().map(|s| s.iter().map(str::to_owned).collect());
                last.scopes = scopes;
                last.quota_project = self.quota_project().map(str::to_owned);
            }
            return Ok(settings);
        }
        let found = self.config_location()?;
        let options = self.options().ok_or_else(cannot_travel)?;
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

    /// The credentials that these settings describe, with the secret that is found here.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if there are none in the place that the settings name;
    /// [`ErrorKind::InvalidOptions`] if the settings make no sense, or if what is there is of
    /// another kind or somebody else's; as for the place otherwise.
    pub async fn from_config(
        settings: &CredentialConfig,
        environment: &Environment,
        http: &HttpClient,
    ) -> Result<Self, Error> {
        settings.check_names()?;
        if settings.version != VERSION {
            return Err(wrong(format!(
                "the settings have the form {}, and this version knows {VERSION}",
                settings.version
            )));
        }
        let options = settings.options(environment, http);
        let search = Search::new(environment.clone(), options.clone());
        let found = match &settings.found {
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
                    "the settings name the variable {:?}, in which no credentials are looked for",
                    clipped(name)
                )));
            }
            CredentialLocation::EarthEngineFile => {
                search.check_only(CredentialSource::EarthEngineFile).await?
            }
            CredentialLocation::GcloudAdc => search.check_only(CredentialSource::GcloudAdc).await?,
            CredentialLocation::MetadataServer => {
                search.check_only(CredentialSource::MetadataServer).await?
            }
        };
        settings.check(&found)?;
        let mut credentials = found;
        for step in &settings.impersonation {
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
        Ok(match (self.origin(), self.path()) {
            (CredentialSource::EnvEarthEngineToken, _) => {
                CredentialLocation::Variable(EARTHENGINE_TOKEN.into())
            }
            (CredentialSource::EnvGoogleApplicationCredentials, _) => {
                CredentialLocation::Variable(APPLICATION_CREDENTIALS.into())
            }
            (CredentialSource::EarthEngineFile, _) => CredentialLocation::EarthEngineFile,
            (CredentialSource::GcloudAdc, _) => CredentialLocation::GcloudAdc,
            (CredentialSource::MetadataServer, _) => CredentialLocation::MetadataServer,
            (CredentialSource::InMemory | CredentialSource::Explicit, Some(path)) => {
                CredentialLocation::File(absolute(path)?)
            }
            (CredentialSource::InMemory | CredentialSource::Explicit, None) => {
                return Err(cannot_travel());
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

    /// Somebody else's credential in the same place must not be taken for this one.
    fn check(&self, found: &Credentials) -> Result<(), Error> {
        let kind = found.kind();
        if kind.as_str() != self.kind {
            return Err(wrong(format!(
                "the settings are of a credential of the kind {:?}, and {} is there",
                clipped(&self.kind),
                kind
            )));
        }
        // A machine's account is its own, wherever the settings come from, unless it was named.
        match (&self.principal, found.principal()) {
            (Some(sent), Some(here)) if sent != here && kind != CredentialKind::MetadataServer => {
                Err(wrong(format!(
                    "the settings are of {:?}, and the credential that is there is {here}'s",
                    clipped(sent)
                )))
            }
            _ => Ok(()),
        }
    }

    /// What becomes a part of the credentials unseen is shown to people: it must be one line with
    /// an end, and nothing in it may steer a terminal.
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
                return Err(wrong(format!("the settings' `{field}` cannot be a name")));
            }
        }
        let of_steps = self.impersonation.iter().map(|step| &step.scopes);
        for scopes in of_steps.chain([&self.scopes]).flatten() {
            if Scopes::new(scopes) != Scopes::from_untrusted(scopes) {
                return Err(wrong("the settings' `scopes` cannot be scopes".into()));
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
                "the path {} is no UTF-8 text, so it cannot be sent",
                display_path(path)
            ),
        )
        .with_remedy(Remedy::new("Give the file another name."))
    })
}

fn cannot_travel() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "these credentials were handed to the program itself, and a worker elsewhere could not find them: settings never carry a secret",
    )
    .with_remedy(Remedy::new(
        "Put the credential into a file or a variable (GOOGLE_APPLICATION_CREDENTIALS, EARTHENGINE_TOKEN) on both sides, and load it from there.",
    ))
}

fn wrong(why: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, why).with_remedy(Remedy::new(
        "Make the settings anew with the credentials that the worker should have, or give it those.",
    ))
}

#[cfg(test)]
mod tests;
