//! What refusals are turned into and what lists are read as, for the fuzz targets alone.
#![allow(missing_docs)]

use ee_credentials::Credentials;
use ee_rest::ApiError;
use ee_token::AccessToken;
use url::Url;

use crate::project::list;
use crate::project::list::Service;
use crate::project::registration::ProjectConfig;
use crate::{ApiState, Error, ListedProject, Registration};

/// Returns the error of a service other than Earth Engine.
pub fn service_error(api: &ApiError, url: &Url, credentials: &Credentials) -> Error {
    list::refusal(api, url, credentials)
}

/// The projects on a page of the Resource Manager's that was asked for with this token, and the
/// token of the next page.
pub fn listed_projects(body: &[u8], sent: &AccessToken) -> Option<(Vec<ListedProject>, String)> {
    list::page(body, sent)
}

/// How a project is registered, as Earth Engine's `config` says.
pub fn registration(body: &[u8]) -> Option<Registration> {
    let config: ProjectConfig = serde_json::from_slice(body).ok()?;
    config.registration_state
}

/// Whether the API is enabled, as Service Usage says.
pub fn api_state(body: &[u8]) -> Option<ApiState> {
    let service: Service = serde_json::from_slice(body).ok()?;
    Some(service.api())
}
