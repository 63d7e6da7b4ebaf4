//! Parsers of server responses, exposed to the fuzz targets only.
#![allow(missing_docs)]

use ee_credentials::Credentials;
use ee_rest::ApiError;
use ee_token::AccessToken;
use url::Url;

use crate::project::list::Service;
use crate::project::search;
use crate::{ApiState, Error, ListedProject};

/// Explains an error response of another service than Earth Engine.
pub fn explain_service(api: &ApiError, url: &Url, credentials: &Credentials) -> Error {
    search::explain(api, url, credentials)
}

/// Reads a page of the Resource Manager's response to a request with this token. Returns the
/// projects and the next page token.
pub fn listed_projects(body: &[u8], sent: &AccessToken) -> Option<(Vec<ListedProject>, String)> {
    search::page(body, sent)
}

/// Reads Service Usage's response.
pub fn api_state(body: &[u8]) -> Option<ApiState> {
    let service: Service = serde_json::from_slice(body).ok()?;
    Some(service.api())
}
