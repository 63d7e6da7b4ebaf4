//! The modes `gcloud` and `gcloud-legacy`: gcloud writes Application Default Credentials, which are
//! copied to Earth Engine's own file.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use ee_token::internal::{display_path, sanitize};
use ee_token::{Grant, Remedy, Scopes, SecretString, TokenEndpoint};
use serde_json::json;
use tokio::process::Command;

use crate::discovery::program;
use crate::input::file::{FileFingerprint, read};
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::kinds::authorized_user::AuthorizedUserFile;
use crate::kinds::user_login::email_of;
use crate::login::authorization::{Client, TokenGrant};
use crate::login::pkce::nonce;
use crate::login::session::{SavedLogin, Session};
use crate::login::{Browser, LoginMode, Terminal};
use crate::storage::private_file;
use crate::{Error, ErrorKind};

pub(crate) async fn run(
    session: &Session,
    mode: LoginMode,
    terminal: &dyn Terminal,
    browser: &dyn Browser,
) -> Result<SavedLogin, Error> {
    let gcloud = program::find(&session.environment, "gcloud").ok_or_else(not_installed)?;
    let adc = session.environment.gcloud_adc_file()?.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidEnvironment,
            "gcloud's configuration directory is unknown, because there is no home directory",
        )
        .with_remedy(Remedy::new("Set HOME or CLOUDSDK_CONFIG."))
    })?;
    let requested = session.requested_scopes();
    let mut args = vec![
        "auth".to_owned(),
        "application-default".to_owned(),
        "login".to_owned(),
        format!(
            "--scopes={}",
            requested.iter().collect::<Vec<_>>().join(",")
        ),
    ];
    let client_file = match mode {
        LoginMode::GcloudLegacy => Some(ClientFile::create()?),
        _ => None,
    };
    if let Some(file) = &client_file {
        args.push(format!("--client-id-file={}", file.0.display()));
        if session.quiet || !browser.is_available() {
            args.push("--no-browser".to_owned());
        }
    } else if session.quiet {
        args.push("--no-launch-browser".to_owned());
    }
    terminal.print(&sanitize(
        &format!("Running: gcloud {}", args.join(" ")),
        &[],
    ));
    let before = FileFingerprint::now(&adc).ok();
    let mut command = Command::new(gcloud);
    command
        .args(&args)
        .env_clear()
        .envs(session.environment.variables())
        .stdin(Stdio::inherit())
        // Standard output is for the result of the calling program.
        .stdout(io::stderr())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    // gcloud is a script that starts Python.
    if let Some(path) = program::search_path(&session.environment) {
        command.env("PATH", path);
    }
    if let Some(home) = session.environment.home() {
        command.env("HOME", home);
    }
    let status = session
        .wait(async {
            command.status().await.map_err(|error| {
                Error::new(
                    ErrorKind::LoginUnavailable,
                    format!("cannot run gcloud: {error}"),
                )
                .with_remedy(install_remedy())
                .with_source(error)
            })
        })
        .await?;
    drop(client_file);
    if !status.success() {
        return Err(failed(&format!(
            "gcloud failed with {status}; see its message above"
        )));
    }
    if FileFingerprint::now(&adc).ok() == before {
        return Err(failed(&format!(
            "gcloud succeeded but did not write {}",
            display_path(&adc)
        )));
    }
    copy(session, mode, adc, &requested).await
}

/// Copies gcloud's login to Earth Engine's file.
async fn copy(
    session: &Session,
    mode: LoginMode,
    adc: PathBuf,
    requested: &Scopes,
) -> Result<SavedLogin, Error> {
    let location = Location::file(adc);
    let file = read(&location)?;
    let object = JsonObject::parse(&file.text, &location)?;
    let kind: String = object.field("type")?;
    if kind != "authorized_user" {
        return Err(failed(&format!(
            "gcloud wrote a credential of type {} instead of a user login",
            crate::input::quote::clipped(&kind)
        )));
    }
    let file: AuthorizedUserFile = object.read()?;
    let client = Client {
        id: file.client_id,
        secret: file.client_secret,
    };
    let granted = granted(session, &client, file.refresh_token, requested).await?;
    session.save(mode, granted, requested, &client, None).await
}

/// Requests a token, whose response contains the granted scopes. gcloud does not save them.
async fn granted(
    session: &Session,
    client: &Client,
    refresh_token: SecretString,
    requested: &Scopes,
) -> Result<TokenGrant, Error> {
    let grant = Grant::RefreshToken {
        client_id: Some(&client.id),
        client_secret: Some(&client.secret),
        refresh_token: &refresh_token,
        rapt: None,
        scopes: None,
    };
    let endpoint = TokenEndpoint::google(session.http.clone());
    let response = endpoint.exchange(&grant, None).await?;
    let scopes = response.access_token.scopes().unwrap_or(requested).clone();
    Ok(TokenGrant {
        access_token: response.access_token,
        refresh_token: Some(refresh_token),
        scopes,
        email: response.id_token.as_ref().and_then(email_of),
    })
}

fn install_remedy() -> Remedy {
    Remedy::new(
        "Install the Google Cloud CLI, or log in without it, using a browser on any machine.",
    )
    .command("eectl auth login --mode=notebook")
    .url("https://cloud.google.com/sdk/docs/install")
}

fn not_installed() -> Error {
    Error::new(
        ErrorKind::LoginUnavailable,
        "gcloud was not found in the absolute directories of PATH",
    )
    .with_remedy(install_remedy())
}

fn failed(message: &str) -> Error {
    Error::new(ErrorKind::LoginFailed, message).with_remedy(
        Remedy::new("Try again, or log in without gcloud.")
            .command("eectl auth login --mode=notebook")
            .url("https://developers.google.com/earth-engine/guides/auth"),
    )
}

/// A temporary file that describes Earth Engine's OAuth client to gcloud. Deleted when dropped.
#[derive(Debug)]
struct ClientFile(PathBuf);

impl ClientFile {
    fn create() -> Result<Self, Error> {
        let client = Client::earth_engine();
        let text = json!({"installed": {
            "client_id": client.id,
            "client_secret": client.secret.expose_secret(),
            "redirect_uris": ["http://localhost"],
            "redirect_uri": "urn:ietf:wg:oauth:2.0:oob",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
        }});
        let name = format!("earthengine-client-{}.json", nonce()?.expose_secret());
        let dir = std::env::temp_dir();
        PathSetting::Variable("TMPDIR").check(&dir)?;
        let path = dir.join(name);
        let write_error = |error: io::Error| {
            Error::new(
                ErrorKind::CredentialsFile,
                format!("cannot write {}: {error}", display_path(&path)),
            )
            .with_remedy(Remedy::new(
                "Check the directory for temporary files (TMPDIR).",
            ))
            .with_source(error)
        };
        let mut handle = private_file::create(&path).map_err(write_error)?;
        let file = Self(path.clone());
        handle
            .write_all(text.to_string().as_bytes())
            .map_err(write_error)?;
        Ok(file)
    }
}

impl Drop for ClientFile {
    fn drop(&mut self) {
        // A file that remains is harmless: it contains no secret.
        let _ = fs::remove_file(&self.0);
    }
}
