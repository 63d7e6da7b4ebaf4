//! What refusals are turned into and what lists are read as, for the fuzz targets alone.
#![allow(missing_docs)]

use ee_credentials::Credentials;
use ee_rest::ApiError;
use url::Url;

use crate::registration::ProjectConfig;
use crate::{Error, ListedProject, Registration, projects};

/// The error of a refusal by a service beside Earth Engine.
pub fn refusal_of_service(api: &ApiError, url: &Url, credentials: &Credentials) -> Error {
    projects::refusal(api, url, credentials)
}

/// The projects on a page of the Resource Manager's, and the token of the next.
pub fn listed_projects(body: &[u8]) -> Option<(Vec<ListedProject>, String)> {
    projects::page(body)
}

/// How a project is registered, as Earth Engine's `config` says.
pub fn registration(body: &[u8]) -> Option<Registration> {
    let config: ProjectConfig = serde_json::from_slice(body).ok()?;
    config.registration_state
}
