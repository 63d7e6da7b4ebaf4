//! Earth Engine's login file: `~/.config/earthengine/credentials`.
//!
//! Beside a login, other programs write into it: the `earthengine` command the key of a service
//! account, and SEPAL an access token that it replaces before it expires.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::{
    AccessToken, ErrorKind as Token, Remedy, Scopes, SecretString, TokenFuture, TokenSource,
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::input::file::{read, read_async};
use crate::input::json::{JsonObject, ProjectId};
use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::input::quote::clipped;
use crate::input::restored::restored;
use crate::input::shell::shell_quoted;
use crate::kinds::account_name::login_command;
use crate::kinds::credential::Credential;
use crate::kinds::identity::{Identity, UserLogin};
use crate::kinds::oauth_clients::{CLIENT_ID, CLIENT_SECRET, shared_client_id};
use crate::kinds::service_account::{self, ServiceAccountKey};
use crate::kinds::user_login::{Login, RefreshToken, check_refresh_token};
use crate::{CredentialKind, CredentialOptions, Error, Warning};

/// The login's flow and time. Other clients ignore these fields.
pub(crate) const LOGIN_MODE: &str = "rust_login_mode";
pub(crate) const LOGIN_AT: &str = "rust_login_at";
/// The fields of SEPAL's token.
pub(crate) const TOKEN: &str = "access_token";
pub(crate) const TOKEN_EXPIRY: &str = "access_token_expiry_date";
/// The host of the `earthengine` command's default `url`.
const DEFAULT_HOST: &str = "//earthengine.googleapis.com";
/// The flow whose logins expire.
const NOTEBOOK: &str = "notebook";
/// <https://developers.google.com/earth-engine/guides/auth>
const NOTEBOOK_LIFETIME: TimeDelta = TimeDelta::days(7);

/// The contents of Earth Engine's login file. Every field is optional: without a login,
/// `earthengine set_project` writes a project alone.
///
/// ```
/// use ee_credentials::EarthEngineFile;
///
/// let file = EarthEngineFile::from_json(r#"{"project": "my-project"}"#)?;
/// assert_eq!(file.project(), Some("my-project"));
/// assert!(!file.has_login());
/// # Ok::<(), ee_credentials::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EarthEngineFile {
    refresh_token: Option<SecretString>,
    client_id: String,
    client_secret: SecretString,
    scopes: Option<Scopes>,
    project: Option<String>,
    mode: Option<String>,
    made_at: Option<DateTime<Utc>>,
    /// The service account of the `earthengine` command, and its key or the path of it.
    account: Option<(String, SecretString)>,
    /// SEPAL's token.
    token: Option<AccessToken>,
    /// The `earthengine` command's API key and URL, which are ignored.
    has_api_key: bool,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Fields {
    refresh_token: Option<SecretString>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
    scopes: Option<Scopes>,
    project: Option<ProjectId>,
    project_id: Option<ProjectId>,
}

impl EarthEngineFile {
    /// Reads the file's text. Unknown fields and `token_uri` are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) that names the field, or says what
    /// the text is instead.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::read(text, &Location::InMemory)
    }

    pub(crate) fn read(text: &str, location: &Location) -> Result<Self, Error> {
        Self::from_object(&JsonObject::parse(&restored(text), location)?)
    }

    pub(crate) fn from_object(object: &JsonObject<'_>) -> Result<Self, Error> {
        // The Python client reads a copy of gcloud's file as a login too.
        if let Some(other) = object.kind()?
            && other != CredentialKind::AuthorizedUser.as_str()
        {
            return Err(other_kind(&object.location, &other));
        }
        let fields: Fields = object.read()?;
        let client_id = fields.client_id.unwrap_or_else(|| CLIENT_ID.to_owned());
        let client_secret = match fields.client_secret {
            Some(secret) => secret,
            None if client_id == CLIENT_ID || fields.refresh_token.is_none() => {
                CLIENT_SECRET.into()
            }
            // Earth Engine's secret belongs to Earth Engine's client only.
            None => object.field("client_secret")?,
        };
        // An invalid note about the login does not make the login invalid.
        let note = |name| object.field::<Option<String>>(name).ok().flatten();
        let key = object.field::<Option<SecretString>>("private_key");
        Ok(Self {
            account: note("account").zip(key.ok().flatten()),
            token: token(object)?,
            has_api_key: object.has("cloud_api_key"),
            url: note("url").filter(|url| !url.trim_end_matches('/').ends_with(DEFAULT_HOST)),
            refresh_token: fields.refresh_token,
            client_id,
            client_secret,
            scopes: fields.scopes,
            project: (fields.project.or(fields.project_id)).map(ProjectId::into_string),
            mode: note(LOGIN_MODE),
            made_at: note(LOGIN_AT)
                .and_then(|text| DateTime::parse_from_rfc3339(&text).ok())
                .map(|time| time.to_utc()),
        })
    }

    /// Creates a login with Earth Engine's client from a refresh token alone.
    pub(crate) fn from_refresh_token(refresh_token: &str) -> Self {
        Self {
            refresh_token: Some(refresh_token.into()),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.into(),
            scopes: None,
            project: None,
            mode: None,
            made_at: None,
            account: None,
            token: None,
            has_api_key: false,
            url: None,
        }
    }

    /// Returns the Cloud project.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Returns the scopes that the login requested, if the file contains them.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Whether the file contains a login.
    pub fn has_login(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// Whether the file contains a login, a service account with its key, or a token.
    pub(crate) fn has_credentials(&self) -> bool {
        self.has_login() || self.account.is_some() || self.token.is_some()
    }

    /// Whether both files contain the same login, service account or token.
    pub(crate) fn is_same_login(&self, other: &Self) -> bool {
        let secret = |file: &Self| {
            let secrets = [
                file.refresh_token.as_ref().map(SecretString::expose_secret),
                file.account.as_ref().map(|(_, key)| key.expose_secret()),
                file.token.as_ref().map(AccessToken::secret),
            ];
            secrets.map(|secret| secret.map(|text| Zeroizing::new(text.to_owned())))
        };
        let name = |file: &Self| file.account.as_ref().map(|(name, _)| name.clone());
        self.has_credentials()
            && self.client_id == other.client_id
            && name(self) == name(other)
            && secret(self) == secret(other)
    }

    /// Returns the login flow, such as `localhost` or `notebook`. Files of other programs do not
    /// contain it.
    pub fn login_mode(&self) -> Option<&str> {
        self.mode.as_deref()
    }

    /// Returns the time of the login, if the file contains it.
    pub fn login_made_at(&self) -> Option<DateTime<Utc>> {
        self.made_at
    }

    /// Returns the time at which a notebook login expires, 7 days after the login. Other logins have
    /// no expiry.
    pub fn login_expires_at(&self) -> Option<DateTime<Utc>> {
        let is_notebook = self.mode.as_deref() == Some(NOTEBOOK);
        self.made_at
            .filter(|_| is_notebook && self.has_login())?
            .checked_add_signed(NOTEBOOK_LIFETIME)
    }

    /// Returns warnings: that the login expires, and that fields of other programs are ignored.
    pub(crate) fn warnings(&self, location: &Location) -> Vec<Warning> {
        let ignored = |field: &str, remedy: &'static str| {
            Warning::new(
                "file_field_ignored",
                format!("{location}: the field `{field}` is ignored"),
                Remedy::new(remedy),
            )
        };
        let mut all: Vec<_> = self.expiry_warning(location).into_iter().collect();
        if self.account.is_some() && self.has_login() {
            all.push(ignored(
                "private_key",
                "The login in the same file is used, as in ee.Initialize(). To use the service account, remove `refresh_token`.",
            ));
        }
        if self.url.is_some() {
            all.push(ignored(
                "url",
                "Only the `earthengine` command reads it. A program can set the URL with EarthEngineBuilder::base_url, or high_volume(true) for the high-volume endpoint.",
            ));
        }
        if self.has_api_key {
            all.push(ignored(
                "cloud_api_key",
                "Only the `earthengine` command reads it. A program can pass the key with EarthEngineBuilder::api_key.",
            ));
        }
        all
    }

    /// Returns the warning that the login expires.
    pub(crate) fn expiry_warning(&self, location: &Location) -> Option<Warning> {
        let end = self.login_expires_at()?;
        let (verb, advice) = if end <= Utc::now() {
            ("expired", "Log in again")
        } else {
            ("expires", "Log in again before then")
        };
        Some(Warning::new(
            "login_expires",
            format!(
                "this login was made in a notebook, where logins expire after 7 days: it {verb} on {}",
                end.format("%Y-%m-%d at %H:%M UTC")
            ),
            Remedy::new(format!("{advice}. On a machine with a browser, a login with --mode=localhost does not expire."))
                .command(format!("{} --force", login_command(location))),
        ))
    }

    #[cfg(feature = "login")]
    pub(crate) fn into_refresh_token(self) -> Option<SecretString> {
        self.refresh_token
    }

    /// Creates the credential of the login.
    pub(crate) fn load(
        self,
        location: &Location,
        options: &CredentialOptions,
    ) -> Result<Credential, Error> {
        let expires_at = self.login_expires_at();
        if !self.has_login()
            && let Some((account, key)) = self.account
        {
            let credential = service_account::load(key_of(account, &key, location)?, options)?;
            return Ok(match self.project {
                Some(project) => credential.project(Some(project)),
                None => credential,
            });
        }
        options.reject_subject(CredentialKind::EarthEngineFile)?;
        if !self.has_login()
            && let Some(token) = self.token
        {
            let source = SavedToken {
                location: location.clone(),
                token,
            };
            // SEPAL writes a file for each user: the same file is the same account.
            let identity = Identity::account(location.to_string());
            return Ok(
                Credential::new(CredentialKind::EarthEngineFile, Arc::new(source))
                    .identity(identity)
                    .project(self.project),
            );
        }
        let Some(refresh_token) = self.refresh_token else {
            return Err(location
                .invalid_field("refresh_token", "is missing, so the file contains no login")
                .with_remedy(Remedy::new("Log in.").command(login_command(location))));
        };
        check_refresh_token(&refresh_token, location)?;
        let client_id = shared_client_id(&self.client_id);
        let source = Arc::new(RefreshToken {
            expires_at,
            owner: OnceLock::new(),
            client_id: client_id.clone(),
            client_secret: self.client_secret,
            refresh_token,
            rapt: None,
            // The file's own `scopes` are not sent: requesting one that the user did not grant on
            // the consent page fails.
            scopes: options.scopes.clone(),
            endpoint: Login::endpoint(options),
            login: Login::EarthEngine,
            location: location.clone(),
            principal: None,
        });
        Ok(
            Credential::new(CredentialKind::EarthEngineFile, source.clone())
                .login(Some(UserLogin::new(source)))
                .project(self.project)
                .oauth_client_id(client_id)
                .scopes(options.scopes.clone()),
        )
    }
}

/// Returns the key of the `earthengine` command's service account: a path, or the key itself.
fn key_of(
    account: String,
    key: &SecretString,
    location: &Location,
) -> Result<ServiceAccountKey, Error> {
    const FIELD: &str = "private_key";
    let from_text = |text: &str, location: &Location| match text.contains("-----BEGIN") {
        true if !text.starts_with('{') => {
            ServiceAccountKey::of_account(account.clone(), text, location)
        }
        _ => ServiceAccountKey::from_object(&JsonObject::parse(text, location)?),
    };
    let text = restored(key.expose_secret());
    let is_key = text.starts_with('{') || text.contains("-----BEGIN");
    if is_key {
        return from_text(&text, &location.part(FIELD));
    }
    let path = Path::new(&*text);
    PathSetting::Field(location, FIELD).check(path)?;
    let file = Location::file(path);
    let contents = read(&file).map_err(|error| match error.is_transient() {
        true => error,
        false => location
            .invalid_field(FIELD, format_args!("cannot be used: {error}"))
            .with_remedy(Remedy::new(
                "Set it to the path of the service account's key, or log in.",
            )),
    })?;
    from_text(&restored(&contents.text), &file)
}

/// Reads SEPAL's token. Its expiry is in milliseconds.
fn token(object: &JsonObject<'_>) -> Result<Option<AccessToken>, Error> {
    let expiry = object.field::<Option<u64>>(TOKEN_EXPIRY);
    // Without a date, it is the response of a token endpoint.
    let (Ok(Some(expiry)), Ok(Some(secret))) =
        (expiry, object.field::<Option<SecretString>>(TOKEN))
    else {
        return Ok(None);
    };
    let invalid = |why: &str| object.location.invalid_field(TOKEN_EXPIRY, why);
    let end = i64::try_from(expiry)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    let end = end.ok_or_else(|| invalid("is not a date in milliseconds"))?;
    let token = AccessToken::new(secret.expose_secret()).map_err(|error| {
        object
            .location
            .invalid_field(TOKEN, format_args!("cannot be used: {error}"))
    })?;
    Ok(Some(token.with_expiry(end)))
}

/// A token that another program writes to a file, and replaces before it expires.
#[derive(Debug)]
struct SavedToken {
    location: Location,
    token: AccessToken,
}

impl SavedToken {
    async fn current(&self) -> Result<AccessToken, Error> {
        if self.location.path().is_none() {
            return Ok(self.token.clone());
        }
        read_async(&self.location, |location| {
            let file = EarthEngineFile::read(&read(location)?.text, location)?;
            file.token
                .filter(|_| file.refresh_token.is_none())
                .ok_or_else(|| {
                    location
                        .invalid(
                            "it contained an access token, and now contains another credential",
                        )
                        .with_remedy(Remedy::new(
                            "Restart the program to use the new credential.",
                        ))
                })
        })
        .await
    }
}

impl TokenSource for SavedToken {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let token = self.current().await.map_err(Error::into_token_error)?;
            match token.expires_at() {
                Some(end) if end <= Utc::now() => Err(ee_token::Error::new(
                    Token::Expired,
                    format!(
                        "{}: the access token expired on {}",
                        self.location,
                        end.format("%Y-%m-%d at %H:%M UTC")
                    ),
                )
                .with_remedy(Remedy::new(
                    "SEPAL writes a new token while you are logged in: open SEPAL, and connect your Google account again if it asks for that.",
                ))),
                _ => Ok(token),
            }
        })
    }
}

/// The error for a file of another type.
fn other_kind(location: &Location, kind: &str) -> Error {
    let noun = match kind {
        "service_account" => "a service account key".to_owned(),
        other => format!("a credential of the type {:?}", clipped(other)),
    };
    let error = location.invalid(format_args!(
        "it is {noun}, and not a login of Earth Engine's client"
    ));
    match location.path() {
        Some(path) => error.with_remedy(
            Remedy::new("Move the file elsewhere and name it with GOOGLE_APPLICATION_CREDENTIALS.")
                .command(format!(
                    "export GOOGLE_APPLICATION_CREDENTIALS={}",
                    shell_quoted(&path.with_file_name("key.json"))
                )),
        ),
        None => error.with_remedy(Remedy::new(
            "Pass it to a function for this type of credential, such as Credentials::from_json.",
        )),
    }
}

#[cfg(test)]
mod tests;
