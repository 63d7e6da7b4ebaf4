//! Parsers of server responses and user input, exposed to the fuzz targets only.
#![allow(missing_docs)]

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ee_token::AccessToken;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::api;
use crate::batch::multipart;
use crate::error::explain::Caller;
use crate::error::redactor::Secrets;
use crate::request::name::RequestName;
use crate::request::path::Route;
use crate::send::admission::Admission;
use crate::send::admission::control::CONCURRENCY;
use crate::send::events::Events;
use crate::{ApiError, Batch, BatchResponse, Error, Page, Response, pages};

pub fn api_error(status: StatusCode, body: &[u8], token: &AccessToken, api_key: &str) -> ApiError {
    let secrets = Secrets {
        token: Some(token.clone()),
        api_key: Some(Arc::new(api_key.into())),
        ..Secrets::default()
    };
    ApiError::read(status, body, &secrets)
}

/// Explains an error response to a request for this project by this principal.
pub fn explain(api: &ApiError, project: &str, principal: &str) -> Error {
    let caller = Caller {
        project: Some(project),
        principal: Some(principal),
        ..Caller::default()
    };
    crate::error::explain::explain(&"GET config", api.clone(), caller)
}

/// Builds the response to a request that was sent with this token.
pub fn response(headers: HeaderMap, body: &[u8], token: &AccessToken) -> Result<Response, Error> {
    Ok(Response {
        status: StatusCode::OK,
        headers,
        body: Bytes::copy_from_slice(body),
        attempts: 1,
        name: RequestName {
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

/// Observes a response's headers. Returns the texts passed to the listener and the resulting
/// concurrency limit.
pub fn events(response: &Response) -> (Vec<String>, usize) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let admission = Admission::new(Some(CONCURRENCY), None);
    let listener = {
        let texts = texts.clone();
        move |event: &crate::ClientEvent<'_>| {
            let text = match event {
                crate::ClientEvent::QuotaStatus { text, .. }
                | crate::ClientEvent::InitMessage(text) => text,
                crate::ClientEvent::Profile { id, .. } => id,
                _ => return,
            };
            let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.push((*text).to_owned());
        }
    };
    let events = Events::new(Some(Arc::new(listener)));
    // A repeated observation must not be reported again.
    for _ in 0..2 {
        events.observe(
            &response.headers,
            response.name.route.as_str(),
            &admission,
            &response.secrets,
        );
    }
    let texts = texts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (texts, admission.control().limit().unwrap_or_default())
}

/// Returns the URL of a map or thumbnail, if the name is valid.
pub fn url_of_named(name: &str, collection: &str, base: &Url) -> Option<Url> {
    api::route_of(name, collection)?.url(base).ok()
}

/// One part of a batch response: the ID of its call, and either the response or what is wrong.
pub type Part<'a> = (
    String,
    Result<(StatusCode, HeaderMap, &'a [u8]), &'static str>,
);

pub fn batch_response<'a>(
    content_type: &str,
    body: &'a [u8],
    most: usize,
) -> Result<Vec<Part<'a>>, &'static str> {
    let parts = multipart::parse(content_type, body, most)?;
    Ok(parts
        .into_iter()
        .map(|part| {
            let response = part.response.map(|r| (r.status, r.headers, r.body));
            (part.id, response)
        })
        .collect())
}

/// Reads the responses to a batch's calls.
pub fn batch_responses(batch: Batch, response: Response) -> Result<BatchResponse, Error> {
    batch.read_responses(response)
}

/// Returns the URL of a path under a base URL.
pub fn url_of(path: &str, project: Option<&str>, base: &Url) -> Result<Url, Error> {
    Route::new(path.to_owned(), project)?.url(base)
}
