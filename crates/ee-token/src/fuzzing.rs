//! The parsers of token endpoints' responses, for fuzz targets.
#![allow(missing_docs)]

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::oauth;
use crate::oauth::error_response::classify;
use crate::oauth::revoke;
use crate::oauth::token_info;
use crate::transport::exchange::ReceivedResponse;
use crate::{Error, TokenInfo, TokenResponse};

const HOST: &str = "oauth2.googleapis.com";

pub fn token_response(body: &[u8], asked_at: DateTime<Utc>) -> Result<TokenResponse, Error> {
    oauth::parse_response(body, HOST, asked_at)
}

pub fn token_error(status: StatusCode, body: &[u8], secrets: &[&str]) -> Error {
    classify(&ReceivedResponse::with_body(status, body), HOST, secrets)
}

pub fn is_already_revoked(body: &[u8]) -> bool {
    revoke::is_already_revoked(body)
}

pub fn token_info_response(body: &[u8]) -> Result<TokenInfo, Error> {
    token_info::parse_response(body, HOST)
}

pub fn http_date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    crate::transport::retry::http_date(headers)
}
