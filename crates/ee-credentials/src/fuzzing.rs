//! The parsers of what comes from outside, for the fuzz targets alone.
#![allow(missing_docs)]

use chrono::{DateTime, Utc};
use ee_token::internal::ReceivedResponse;
use ee_token::{AccessToken, Scopes};
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::Error;
use crate::discovery::gcloud_config;
use crate::iam;
use crate::input::file::decode;
use crate::input::location::Location;
use crate::input::path_setting;
use crate::input::restored::restored;
use crate::kinds::metadata_server;

pub use crate::kinds::external_account::fuzzing::*;
pub use crate::login::fuzzing::*;
pub use crate::storage::disk_cache::fuzzing::*;
pub use crate::storage::login_file::fuzzing::*;

/// The text of a credential's file.
pub fn file_text(bytes: &[u8]) -> Result<String, Error> {
    decode(bytes, &Location::file("/home/me/key.json")).map(|text| text.to_string())
}

/// A credential's text without what a shell or an editor has added.
pub fn restored_text(text: &str) -> String {
    restored(text).to_string()
}

/// What a value is that stands where a path belongs, if it cannot be a path.
pub fn not_a_path(text: &str) -> Option<String> {
    path_setting::identify(text).map(|found| found.to_string())
}

pub fn gcloud_property(text: &str, section: &str, name: &str) -> Option<String> {
    gcloud_config::property(text, section, name)
}

pub fn is_gcloud_configuration(name: &str) -> bool {
    gcloud_config::is_name(name)
}

pub fn metadata_token(body: &[u8], asked_at: DateTime<Utc>) -> Result<AccessToken, &'static str> {
    metadata_server::token_response(body, asked_at)
}

pub fn metadata_account(body: &[u8]) -> Option<(Option<String>, Scopes)> {
    metadata_server::account_info(body).map(|info| (info.email, info.scopes))
}

pub fn metadata_line(body: &[u8]) -> Option<String> {
    metadata_server::line(body)
}

pub fn metadata_scopes(body: &[u8]) -> Scopes {
    metadata_server::scopes(body)
}

pub fn iam_token(
    body: &[u8],
    headers: &HeaderMap,
    url: &Url,
) -> Result<AccessToken, ee_token::Error> {
    iam::token(body, headers, url)
}

pub fn iam_error(
    status: StatusCode,
    body: &[u8],
    url: &Url,
    source: &AccessToken,
) -> ee_token::Error {
    iam::rejection(&ReceivedResponse::with_body(status, body), url, source)
}
