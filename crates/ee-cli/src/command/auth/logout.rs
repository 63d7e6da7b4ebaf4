//! `eectl auth logout`: removes the login, and ends it at Google if asked to.

use clap::Args;
use earthengine::Environment;
use earthengine::credentials::{DiskCache, Removed, Revocation, Store};
use earthengine::token::HttpClient;
use serde_json::json;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::output::{note, print};

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Ends the login at Google first, for every copy of the file
    #[arg(long)]
    revoke: bool,
}

pub(crate) async fn run(global: &Global, logout: &Logout) -> Result<(), Failure> {
    if global.credentials.is_some() {
        return Err(Failure::usage(
            &"Earth Engine's own file is removed, and no other: --credentials cannot be given with it",
        ));
    }
    let environment = Environment::current();
    let store = Store::open(&environment).map_err(|e| Failure::login(&e))?;
    let (revocation, removed) = if logout.revoke {
        let endpoints = environment.endpoints().map_err(|e| Failure::login(&e))?;
        let http = HttpClient::new(endpoints);
        let (revocation, removed) = store.revoke(&http).await.map_err(|e| Failure::login(&e))?;
        (Some(revocation), removed)
    } else {
        (None, store.remove().map_err(|e| Failure::login(&e))?)
    };
    // The login's tokens would be good for up to an hour more.
    let forgotten = DiskCache::open(&environment).map_or(Ok(0), |cache| cache.clear());
    if let Err(error) = forgotten {
        note(&format!("warning: a token is still kept: {error}"));
    }
    if let Some(left) = &removed.left {
        note(&format!(
            "warning: it was a link, and {} is still there",
            left.display()
        ));
    }
    let path = store.path();
    if global.json {
        let mut json = json!({"path": path, "removed": removed.existed});
        if let Some(revocation) = &revocation {
            json["revocation"] = json!(name(revocation));
        }
        return print(format!("{json}\n"));
    }
    print(in_words(revocation, &removed, &path.display().to_string()))
}

fn name(revocation: &Revocation) -> &'static str {
    match revocation {
        Revocation::Revoked => "revoked",
        Revocation::AlreadyEnded => "already_ended",
        _ => "no_login",
    }
}

fn in_words(revocation: Option<Revocation>, removed: &Removed, path: &str) -> String {
    let at_google = match revocation {
        Some(Revocation::Revoked) => "revoked       the login has ended at Google\n",
        Some(Revocation::AlreadyEnded) => "revoked       the login had ended at Google before\n",
        _ => "",
    };
    if removed.existed {
        format!("{at_google}removed       {path}\n")
    } else {
        format!("{at_google}not there     {path}\n")
    }
}
