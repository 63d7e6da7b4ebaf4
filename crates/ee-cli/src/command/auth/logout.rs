//! `eectl auth logout`: removes the login, and revokes it with `--revoke`.

use clap::Args;
use earthengine::Environment;
use earthengine::credentials::{Accounts, DiskTokenCache, RemovedFile, Revocation};
use earthengine::token::HttpClient;
use earthengine::token::internal::display_path;
use serde_json::json;

use crate::cli::Global;
use crate::command::account::selected_account;
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
            &"--credentials cannot be used with logout, which removes only saved logins",
        ));
    }
    let environment = Environment::current();
    let name = selected_account(global, &environment)?;
    let accounts = Accounts::open(&environment)?;
    let mut emulator = None;
    let cache = DiskTokenCache::open(&environment)?;
    let (revocation, removed) = if logout.revoke {
        environment.check_certificate_paths()?;
        let endpoints = environment.endpoints()?;
        emulator = endpoints.emulator_address();
        let http = HttpClient::new(endpoints);
        let (revocation, removed) = accounts.revoke(name.as_ref(), &http).await?;
        (Some(revocation), removed)
    } else {
        (None, accounts.remove(name.as_ref())?)
    };
    crate::project_names::remove();
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
    let file = accounts.file(name.as_ref());
    let path = file.path();
    if global.json {
        let mut json = json!({"path": path_json(path), "removed": removed.existed});
        if let Some(revocation) = &revocation {
            json["revocation"] = json!(revocation_name(revocation));
        }
        if !removed.also_removed.is_empty() {
            let paths = removed.also_removed.iter();
            json["also_removed"] = paths.map(|path| path_json(path)).collect();
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
    ))?;
    if !global.quiet {
        print_remaining(&accounts);
    }
    let is_of_google = matches!(environment.emulator(), Ok(None));
    if removed.existed && !logout.revoke && !global.quiet && is_of_google {
        print_status(REMAINS);
    }
    Ok(())
}

const REMAINS: &str = "note: Google still accepts the login, so copies of the file keep working. Remove its access at the following page; `eectl auth logout --revoke` revokes and removes a login.\n    https://myaccount.google.com/connections";

/// Names the accounts that remain, if none of them is active now.
fn print_remaining(accounts: &Accounts) {
    let Ok(list) = accounts.list() else {
        return;
    };
    if list.iter().any(|account| account.is_active) {
        return;
    }
    let names = list.iter().filter_map(|account| account.name.as_ref());
    let names: Vec<&str> = names.map(|name| name.as_str()).collect();
    if let [first, ..] = &*names {
        print_status(&format!(
            "note: no account is active now; other accounts: {}\n    eectl auth switch {first}",
            names.join(", ")
        ));
    }
}

fn revocation_name(revocation: &Revocation) -> &'static str {
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
        let copies = removed.also_removed.iter();
        let copies = copies.map(|path| format!("              {}\n", display_path(path)));
        format!(
            "{revoked}removed       {path}\n{}",
            copies.collect::<String>()
        )
    } else {
        format!("{revoked}not logged in: {path} does not exist\n")
    }
}
