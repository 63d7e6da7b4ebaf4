//! What refusals are turned into, for the fuzz targets alone.
#![allow(missing_docs)]

use ee_credentials::Credentials;
use ee_rest::ApiError;
use url::Url;

use crate::{Error, projects};

/// The error of a refusal by a service beside Earth Engine.
pub fn refusal_of_service(api: &ApiError, url: &Url, credentials: &Credentials) -> Error {
    projects::refusal(api, url, credentials)
}
