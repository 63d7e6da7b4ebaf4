//! A person's login as Earth Engine's own clients keep it: `~/.config/earthengine/credentials`.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::{Remedy, Scopes, SecretString};

use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::shell::shell_quoted;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;
use crate::kinds::user_login::{EARTH_ENGINE_LOGIN, Login, RefreshToken, shared_client_id};
use crate::{CredentialKind, CredentialOptions, Error, Warning};

/// Earth Engine's desktop client. It is in every copy of its Python client (`ee/oauth.py`),
/// and its secret is none: RFC 8252 §8.5.
pub(crate) const CLIENT_ID: &str =
    "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
pub(crate) const CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";

/// By which flow a login was made, and when. Ours: the Python client passes them over.
pub(crate) const LOGIN_MODE: &str = "rust_login_mode";
pub(crate) const LOGIN_AT: &str = "rust_login_at";
/// The flow whose logins end by themselves.
const NOTEBOOK: &str = "notebook";
/// How long they last: <https://developers.google.com/earth-engine/guides/auth>.
const NOTEBOOK_LIFE: TimeDelta = TimeDelta::days(7);

/// What Earth Engine's credentials file says. Every part of it may be missing: a file with a
/// project alone is what `earthengine set_project` leaves without a login.
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
}

impl EarthEngineFile {
    /// Reads the file's text. Keys that are not known are passed over, `token_uri` among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) that names the field, or what
    /// the text is instead.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::read(text, &Location::InMemory)
    }

    pub(crate) fn read(text: &str, location: &Location) -> Result<Self, Error> {
        Self::from_document(&Document::parse(text, location)?)
    }

    pub(crate) fn from_document(document: &Document) -> Result<Self, Error> {
        // Whoever copies gcloud's file here gets what the Python client makes of it: a login.
        if let Some(other) = document.text("type")?
            && other != CredentialKind::AuthorizedUser.as_str()
        {
            return Err(foreign(document, other));
        }
        let client_id = document.text("client_id")?.unwrap_or(CLIENT_ID);
        let refresh_token = document.secret("refresh_token")?;
        let client_secret = match document.secret("client_secret")? {
            Some(secret) => secret,
            None if client_id == CLIENT_ID || refresh_token.is_none() => CLIENT_SECRET.into(),
            // Earth Engine's own secret belongs to Earth Engine's own client only.
            None => document.required_secret("client_secret")?,
        };
        Ok(Self {
            refresh_token,
            client_id: client_id.to_owned(),
            client_secret,
            scopes: document.texts("scopes")?.map(Scopes::new),
            project: document.project("project")?,
            // A note for people: one that makes no sense is no reason to refuse the login.
            mode: document.text(LOGIN_MODE).ok().flatten().map(str::to_owned),
            made_at: document
                .text(LOGIN_AT)
                .ok()
                .flatten()
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
                .map(|time| time.to_utc()),
        })
    }

    /// A login with Earth Engine's own client, of which the refresh token alone is known.
    pub(crate) fn of_refresh_token(refresh_token: &str) -> Self {
        Self {
            refresh_token: Some(refresh_token.into()),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.into(),
            scopes: None,
            project: None,
            mode: None,
            made_at: None,
        }
    }

    /// The Cloud project; an empty one is none.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The scopes that the login asked for, where the file says so.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Whether it holds a login, and not a project alone.
    pub fn has_login(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// By which flow the login was made, where the file says so: `localhost`, `notebook` …
    /// Files that other programs wrote do not.
    pub fn login_mode(&self) -> Option<&str> {
        self.mode.as_deref()
    }

    /// When the login was made, where the file says so.
    pub fn login_made_at(&self) -> Option<DateTime<Utc>> {
        self.made_at
    }

    /// When the login ends by itself, if it does and the file says so: one that was made in a
    /// notebook lasts 7 days.
    pub fn login_expires_at(&self) -> Option<DateTime<Utc>> {
        let is_notebook = self.mode.as_deref() == Some(NOTEBOOK);
        self.made_at
            .filter(|_| is_notebook && self.has_login())?
            .checked_add_signed(NOTEBOOK_LIFE)
    }

    /// That the login will end soon, if that is known.
    pub(crate) fn warning(&self) -> Option<Warning> {
        let end = self.login_expires_at()?;
        let verb = if end <= Utc::now() { "ended" } else { "ends" };
        Some(Warning::new(
            "login_expires",
            format!(
                "this login was made in a notebook, where logins last 7 days: it {verb} on {}",
                end.format("%Y-%m-%d at %H:%M UTC")
            ),
            Remedy::new("Log in again then; on a machine with a browser, a login by --mode=localhost lasts.")
                .command(format!("{EARTH_ENGINE_LOGIN} --force")),
        ))
    }

    #[cfg(feature = "login")]
    pub(crate) fn into_refresh_token(self) -> Option<SecretString> {
        self.refresh_token
    }

    /// The login in it.
    pub(crate) fn load(
        self,
        location: &Location,
        options: &CredentialOptions,
    ) -> Result<Credential, Error> {
        options.refuse_subject(CredentialKind::EarthEngineFile)?;
        let ends_at = self.login_expires_at();
        let Some(refresh_token) = self.refresh_token else {
            return Err(location
                .invalid_field("refresh_token", "is missing: there is no login in it")
                .with_remedy(Remedy::new("Log in.").command(EARTH_ENGINE_LOGIN)));
        };
        let client_id = shared_client_id(&self.client_id);
        let source = Arc::new(RefreshToken {
            ends_at,
            owner: OnceLock::new(),
            client_id: client_id.clone(),
            client_secret: self.client_secret,
            refresh_token,
            rapt: None,
            // The file's own `scopes` are not sent: if the person left out some of them on the
            // consent page, asking for all of them fails.
            scopes: options.scopes.clone(),
            endpoint: Login::endpoint(options),
            login: Login::EarthEngine,
            location: location.clone(),
            principal: None,
        });
        Ok(Credential {
            kind: CredentialKind::EarthEngineFile,
            identity: Identity::login(None),
            principal: None,
            quota_project: None,
            project: self.project,
            oauth_client_id: Some(client_id),
            scopes: options.scopes.clone(),
            login: Some(source.clone().into()),
            source,
        })
    }
}

/// A credential of another type where a login of Earth Engine's client belongs.
fn foreign(document: &Document, kind: &str) -> Error {
    let location = &document.location;
    let noun = match kind {
        "service_account" => "a service account's key".to_owned(),
        other => format!(
            "a credential of the type {:?}",
            crate::input::quote::clipped(other)
        ),
    };
    let error = location.invalid(format_args!(
        "it is {noun}, and a login of Earth Engine's own client belongs here"
    ));
    match location.path() {
        Some(path) => error.with_remedy(
            Remedy::new("Move the file elsewhere and name it with GOOGLE_APPLICATION_CREDENTIALS.")
                .command(format!(
                    "export GOOGLE_APPLICATION_CREDENTIALS={}",
                    shell_quoted(&path.with_file_name("key.json"))
                )),
        ),
        None => error.with_remedy(Remedy::new("Give it as what it is.")),
    }
}

#[cfg(test)]
mod tests {
    use ee_emulator::Emulator;
    use ee_token::{Endpoints, ErrorKind as Token, HttpClient};

    use super::*;
    use crate::{Credentials, ErrorKind};

    fn options(emulator: &Emulator) -> CredentialOptions {
        let endpoints = Endpoints::emulator(emulator.address()).unwrap();
        CredentialOptions::new(HttpClient::new(endpoints))
    }

    #[tokio::test]
    async fn the_refresh_token_is_exchanged_without_scopes_and_with_earth_engines_client() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let text = jane.earthengine_file_json(Some("my-project"));
        let credentials = Credentials::from_json(&text, &options(&emulator)).unwrap();
        assert_eq!(credentials.kind(), CredentialKind::EarthEngineFile);
        assert_eq!(credentials.project(), Some("my-project"));
        assert_eq!(
            credentials.oauth_client_project_number(),
            Some("517222506229")
        );
        credentials.token().await.unwrap();
        let form = emulator.requests()[0].form();
        let names: Vec<_> = form.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["client_id", "client_secret", "grant_type", "refresh_token"]
        );
        assert_eq!(form["client_id"], CLIENT_ID);
        assert_eq!(form["client_secret"], CLIENT_SECRET);
        assert_eq!(form["refresh_token"], jane.earthengine_refresh_token());
    }

    #[tokio::test]
    async fn narrowing_is_sent_and_a_refusal_says_that_the_login_is_too_narrow() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user_with_scopes(
            "jane@example.com",
            &["earthengine"],
            &["earthengine"],
        );
        let options = options(&emulator).scopes(Scopes::new(["drive"]));
        let credentials =
            Credentials::from_json(&jane.earthengine_file_json(None), &options).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::InvalidScope);
        assert_eq!(
            emulator.requests()[0].form()["scope"],
            "https://www.googleapis.com/auth/drive"
        );
        assert!(error.remedy().unwrap().text.contains("ask for fewer"));
    }

    #[tokio::test]
    async fn a_revoked_login_says_how_to_log_in_again() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        emulator.revoke(jane.earthengine_refresh_token());
        let text = jane.earthengine_file_json(None);
        let credentials = Credentials::from_json(&text, &options(&emulator)).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        let remedy = error.remedy().unwrap();
        assert_eq!(remedy.command.as_deref(), Some("eectl auth login"));
        assert!(remedy.text.contains("7 days"), "{remedy}");
        assert!(!format!("{error:?} {credentials:?}").contains(jane.earthengine_refresh_token()));
    }

    #[test]
    fn every_part_may_be_missing_and_unknown_keys_are_passed_over() {
        let file = EarthEngineFile::from_json(
            r#"{"refresh_token": null, "project": " ", "x": [{}], "token_uri": 7, "url": 1}"#,
        )
        .unwrap();
        assert!(!file.has_login());
        assert_eq!((file.project(), file.scopes()), (None, None));
        let error = Credentials::from_json(r#"{"project": "p"}"#, &CredentialOptions::google())
            .unwrap_err();
        assert!(error.to_string().contains("`refresh_token`"), "{error}");
        assert_eq!(
            error.remedy().unwrap().command.as_deref(),
            Some("eectl auth login")
        );
    }

    #[test]
    fn a_part_of_the_wrong_type_is_named() {
        for (text, field) in [
            (r#"{"refresh_token": 7}"#, "refresh_token"),
            (
                r#"{"refresh_token": "1//canary", "project": {}}"#,
                "project",
            ),
            (
                r#"{"refresh_token": "1//canary", "scopes": "canary"}"#,
                "scopes",
            ),
            (r#"{"refresh_token": "1//canary", "scopes": [1]}"#, "scopes"),
            (
                r#"{"refresh_token": "1//canary", "client_id": []}"#,
                "client_id",
            ),
            (
                r#"{"refresh_token": "1//canary", "client_id": "1-mine"}"#,
                "client_secret",
            ),
        ] {
            let error = EarthEngineFile::from_json(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFile);
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn another_shape_in_its_place_is_named() {
        let location = Location::file("/home/j/.config/earthengine/credentials");
        for (text, noun) in [
            (
                r#"{"type": "service_account", "private_key": "canary"}"#,
                "service account's key",
            ),
            (r#"{"type": "external_account"}"#, "external_account"),
            ("1//0canary", "bare refresh token"),
            ("-----BEGIN PRIVATE KEY-----", "PEM"),
        ] {
            let error = EarthEngineFile::read(text, &location).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(noun) && message.contains("earthengine/credentials"),
                "{message}"
            );
            assert!(!format!("{error:?}").contains("canary"));
            assert!(error.remedy().is_some());
        }
        let copied = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#;
        assert!(
            EarthEngineFile::read(copied, &location)
                .unwrap()
                .has_login()
        );
    }
}
