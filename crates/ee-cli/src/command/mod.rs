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

use earthengine::{EarthEngine, EarthEngineBuilder, Scopes};

use crate::cli::Global;

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
