//! The parsers of what servers send and callers name, for the fuzz targets alone.
#![allow(missing_docs)]

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ee_token::AccessToken;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::api;
use crate::batch::multipart;
use crate::error::redactor::Secrets;
use crate::request::Name;
use crate::request::path::Route;
use crate::send::concurrency::{CONCURRENCY, Limiter};
use crate::send::events::Signals;
use crate::{ApiError, Batch, BatchResponse, Error, Page, Response, pages};

pub fn api_error(status: StatusCode, body: &[u8], token: &AccessToken, api_key: &str) -> ApiError {
    let secrets = Secrets {
        token: Some(token.clone()),
        api_key: Some(Arc::new(api_key.into())),
        ..Secrets::default()
    };
    ApiError::read(status, body, &secrets)
}

/// The reply to a request that was sent with this token.
pub fn response(headers: HeaderMap, body: &[u8], token: &AccessToken) -> Result<Response, Error> {
    Ok(Response {
        status: StatusCode::OK,
        headers,
        body: Bytes::copy_from_slice(body),
        attempts: 1,
        name: Name {
            method: Method::GET,
            route: Route::new("v1/projects/my-project/operations".to_owned(), None)?,
        },
        secrets: Secrets {
            token: Some(token.clone()),
            ..Secrets::default()
        },
    })
}

pub fn page<T: DeserializeOwned>(response: &Response, key: &str) -> Result<Page<T>, Error> {
    pages::read(response, key)
}

/// What a listener is told of a reply's headers, and how many requests may be under way then.
pub fn signals(response: &Response) -> (Vec<String>, usize) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let limiter = Limiter::new(CONCURRENCY);
    let listener = {
        let told = told.clone();
        move |signal: &crate::ClientEvent<'_>| {
            let text = match signal {
                crate::ClientEvent::QuotaStatus { text, .. }
                | crate::ClientEvent::InitMessage(text) => text,
                crate::ClientEvent::Profile { id, .. } => id,
                _ => return,
            };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.push((*text).to_owned());
        }
    };
    let signals = Signals::new(Some(Arc::new(listener)));
    // What was said before is not said again.
    for _ in 0..2 {
        signals.observe(
            &response.headers,
            response.name.route.as_str(),
            Some(&limiter),
            &response.secrets,
        );
    }
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (told, limiter.limit())
}

/// The URL of the map or thumbnail with this name, if it can be one's.
pub fn url_of_named(name: &str, collection: &str, base: &Url) -> Option<Url> {
    api::route_of(name, collection)?.url(base).ok()
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

/// The answers to a batch's calls in this reply.
pub fn batch_answers(batch: Batch, reply: Response) -> Result<BatchResponse, Error> {
    batch.answered_by(reply)
}

/// The URL of a path under a base.
pub fn url_of(path: &str, project: Option<&str>, base: &Url) -> Result<Url, Error> {
    Route::new(path.to_owned(), project)?.url(base)
}
