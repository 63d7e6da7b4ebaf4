//! `eectl auth logout`: removes the login, and revokes it if asked to.

use clap::Args;
use earthengine::Environment;
use earthengine::credentials::{DiskTokenCache, LoginFile, RemovedFile, Revocation};
use earthengine::token::{HttpClient, display_path};
use serde_json::json;

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{note, path_json, print, print_json};

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Revoke the login at Google first, for every copy of the file
    #[arg(long)]
    revoke: bool,
}

pub(crate) async fn run(global: &Global, logout: &Logout) -> Result<(), CliError> {
    if global.credentials.is_some() {
        return Err(CliError::usage(
            &"Earth Engine's own file is removed, and no other: --credentials cannot be given with it",
        ));
    }
    let environment = Environment::current();
    let store = LoginFile::open(&environment).map_err(|e| CliError::login(&e))?;
    let mut emulator = None;
    let cache = DiskTokenCache::open(&environment).map_err(|e| CliError::login(&e))?;
    let (revocation, removed) = if logout.revoke {
        environment
            .check_certificate_paths()
            .map_err(|e| CliError::login(&e))?;
        let endpoints = environment.endpoints().map_err(|e| CliError::login(&e))?;
        emulator = endpoints.emulator_address();
        let http = HttpClient::new(endpoints);
        let (revocation, removed) = store.revoke(&http).await.map_err(|e| CliError::login(&e))?;
        (Some(revocation), removed)
    } else {
        (None, store.remove().map_err(|e| CliError::login(&e))?)
    };
    // The login's tokens would be good for up to an hour more.
    if let Some(cache) = cache
        && let Err(error) = cache.clear()
    {
        note(&format!("warning: a token is still kept: {error}"));
    }
    if let Some(left) = &removed.left {
        note(&format!(
            "warning: it was a link, and {} is still there",
            display_path(left)
        ));
    }
    let path = store.path();
    if global.json {
        let mut json = json!({"path": path_json(path), "removed": removed.existed});
        if let Some(revocation) = &revocation {
            json["revocation"] = json!(name(revocation));
        }
        if let Some(address) = emulator {
            json["emulator"] = json!(address.to_string());
        }
        return print_json(&json);
    }
    let server = match emulator {
        Some(address) => format!("the emulator at {address}"),
        None => "Google".to_owned(),
    };
    print(render_text(
        revocation,
        &server,
        &removed,
        &display_path(path),
    ))
}

fn name(revocation: &Revocation) -> &'static str {
    match revocation {
        Revocation::Revoked => "revoked",
        Revocation::AlreadyEnded => "already_ended",
        _ => "no_login",
    }
}

fn render_text(
    revocation: Option<Revocation>,
    server: &str,
    removed: &RemovedFile,
    path: &str,
) -> String {
    let revoked = match revocation {
        Some(Revocation::Revoked) => format!("revoked       {server} has revoked the login\n"),
        Some(Revocation::AlreadyEnded) => {
            format!("revoked       {server} had revoked the login before\n")
        }
        _ => String::new(),
    };
    if removed.existed {
        format!("{revoked}removed       {path}\n")
    } else {
        format!("{revoked}not there     {path}\n")
    }
}
