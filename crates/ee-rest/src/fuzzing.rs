//! The parsers of what servers send and callers name, for the fuzz targets alone.
#![allow(missing_docs)]

use std::sync::Arc;

use ee_token::AccessToken;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::multipart;
use crate::path::Route;
use crate::secrets::Secrets;
use crate::{ApiError, Error};

pub fn api_error(status: StatusCode, body: &[u8], token: &AccessToken, api_key: &str) -> ApiError {
    let secrets = Secrets {
        token: Some(token.clone()),
        api_key: Some(Arc::new(api_key.into())),
        ..Secrets::default()
    };
    ApiError::read(status, body, &secrets)
}

/// One answer of a batch: the id of its call, and status, headers and body or what is wrong.
pub type Part<'a> = (
    String,
    Result<(StatusCode, HeaderMap, &'a [u8]), &'static str>,
);

pub fn batch_reply<'a>(
    content_type: &str,
    body: &'a [u8],
    most: usize,
) -> Result<Vec<Part<'a>>, &'static str> {
    let parts = multipart::parse(content_type, body, most)?;
    Ok(parts
        .into_iter()
        .map(|part| {
            let answer = part.answer.map(|a| (a.status, a.headers, a.body));
            (part.id, answer)
        })
        .collect())
}

/// The URL of a path under a base.
pub fn url_of(path: &str, project: Option<&str>, base: &Url) -> Result<Url, Error> {
    Route::new(path.to_owned(), project)?.url(base)
}
