//! The client against misbehaving servers.

pub(crate) mod lost_response;
pub(crate) mod refused_stream;
pub(crate) mod responses;

mod batch;
mod pages;
mod requests;
mod retries;
mod secrecy;
mod unauthorized;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ee_test_support::certificates::without_authorities;
use ee_token::{
    AccessToken, Endpoints, HttpClient, RetryPolicy, TokenCache, TokenSource, source_fn,
};
use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

use crate::{Auth, Client, ClientBuilder};

/// A source of `token-1`, `token-2`, …, and the number of tokens fetched.
pub(crate) fn counting_source() -> (impl TokenSource, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let source = source_fn(move || {
        let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { AccessToken::new(&format!("token-{n}")) }
    });
    (source, count)
}

/// A source of this token, and of what `next` returns from then on.
fn source_then<F>(
    first: AccessToken,
    next: impl Fn() -> F + Send + Sync + 'static,
) -> impl TokenSource
where
    F: Future<Output = Result<AccessToken, ee_token::Error>> + Send + 'static,
{
    let fetched = AtomicBool::new(false);
    source_fn(move || {
        let first = first.clone();
        let next = fetched.swap(true, Ordering::SeqCst).then(&next);
        async move {
            match next {
                Some(next) => next.await,
                None => Ok(first),
            }
        }
    })
}

/// The error of a token source whose credential was rejected.
async fn gone() -> Result<AccessToken, ee_token::Error> {
    Err(ee_token::Error::new(ee_token::ErrorKind::Rejected, "gone"))
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        max_retries: 3,
        initial_backoff: Duration::from_millis(2),
        max_backoff: Duration::from_millis(4),
        max_elapsed: Duration::from_secs(20),
    }
}

/// A connection pool for one test. Each test has its own runtime, and a shared pool could return a
/// connection of a runtime that is shutting down.
fn separate_pool() -> HttpClient {
    let client = reqwest::Client::builder().tls_backend_preconfigured(without_authorities());
    HttpClient::from_reqwest_builder(client, Endpoints::google()).unwrap()
}

fn builder_at(uri: &str, auth: Auth) -> ClientBuilder {
    Client::builder(auth, separate_pool())
        .project("p-12345")
        .base_url(uri.parse().unwrap())
        .retry_policy(quick())
}

/// A client with the options that most tests need.
fn client_at(uri: &str) -> Client {
    let auth = Auth::token_cache(TokenCache::new(counting_source().0));
    builder_at(uri, auth).build().unwrap()
}

fn client(server: &MockServer) -> Client {
    client_at(&server.uri())
}

fn ok() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"result": 3}))
}

fn error_response(status: u16, message: &str, details: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": {"code": status, "message": message, "details": details}
    }))
}

async fn count(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}
