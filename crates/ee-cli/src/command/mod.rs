//! The commands, one file each.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod asset;
pub(crate) mod auth;
pub(crate) mod doctor;
pub(crate) mod emulator;
pub(crate) mod exec;
pub(crate) mod init;
pub(crate) mod manual;
pub(crate) mod project;
pub(crate) mod serve;
mod session;
pub(crate) mod task;
pub(crate) mod upload;

use std::io::Read as _;
use std::path::Path;

use earthengine::token::internal::display_path;
use earthengine::{EarthEngine, EarthEngineBuilder, Scopes};

use crate::cli::Global;
use crate::error::CliError;

/// Creates a builder from the command line's global options.
fn builder(global: &Global) -> EarthEngineBuilder {
    let mut builder = EarthEngine::builder()
        .user_agent(concat!("eectl/", env!("CARGO_PKG_VERSION")))
        .disk_cache(!global.no_token_cache);
    if let Some(project) = &global.project {
        builder = builder.project(project);
    }
    if let Some(file) = &global.credentials {
        builder = builder.credentials_file(file);
    }
    if let Some(name) = &global.account {
        builder = builder.account(name);
    }
    if let Some(email) = &global.impersonate {
        builder = builder.impersonate(email);
    }
    if !global.scopes.is_empty() {
        builder = builder.scopes(Scopes::new(&global.scopes));
    }
    for host in &global.allow_host {
        builder = builder.allow_host(host);
    }
    builder
}

/// Reads a file, or standard input for `-`.
fn read_input(file: &Path) -> Result<Vec<u8>, CliError> {
    let result = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    result.map_err(|e| CliError::io(&format!("cannot read {}", display_path(file)), &e))
}
