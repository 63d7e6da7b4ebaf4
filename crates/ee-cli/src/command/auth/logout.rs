//! `eectl auth logout`: removes the login, and revokes it with `--revoke`.

use clap::Args;
use earthengine::Environment;
use earthengine::credentials::{DiskTokenCache, LoginFile, RemovedFile, Revocation};
use earthengine::token::HttpClient;
use earthengine::token::internal::display_path;
use serde_json::json;

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{path_json, print, print_json, print_status};

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Revoke the login at Google first, which invalidates every copy of the file
    #[arg(long)]
    revoke: bool,
}

pub(crate) async fn run(global: &Global, logout: &Logout) -> Result<(), CliError> {
    if global.credentials.is_some() {
        return Err(CliError::usage(
            &"--credentials cannot be used with logout, which removes only Earth Engine's own file",
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
    // Cached tokens of the login stay valid for up to an hour.
    if let Some(cache) = cache
        && let Err(error) = cache.clear()
    {
        print_status(&format!("warning: cached tokens remain on disk: {error}"));
    }
    if let Some(target) = &removed.symlink_target {
        print_status(&format!(
            "warning: only a symbolic link was removed; its target {} still exists",
            display_path(target)
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
        Some(Revocation::Revoked) => format!("revoked       by {server}\n"),
        Some(Revocation::AlreadyEnded) => {
            format!("revoked       already, by {server}\n")
        }
        _ => String::new(),
    };
    if removed.existed {
        format!("{revoked}removed       {path}\n")
    } else {
        format!("{revoked}not found     {path}\n")
    }
}
