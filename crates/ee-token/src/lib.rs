//! OAuth 2.0 access tokens for Google APIs: JWT signing, token requests, caching and background
//! refresh.
//!
//! A [`TokenSource`] fetches tokens. A [`TokenCache`] shares the current token among all callers and
//! refreshes it once. A [`TokenEndpoint`] exchanges a [`Grant`] for a token over an [`HttpClient`].
//! This crate does not read files or environment variables; `ee-credentials` does.
//!
//! ```
//! use ee_token::{source_fn, AccessToken, TokenCache};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
//! let cache = TokenCache::new(source_fn(|| async { AccessToken::new("from-my-vault") }));
//! let token = cache.token().await?; // calls the closure
//! let again = cache.token().await?; // an atomic load
//! assert!(token.secret_eq(&again));
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(
        clippy::duplicate_mod,
        reason = "the cache is also compiled for a model checker"
    )
)]

mod cache;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod jwt;
mod oauth;
mod scopes;
mod sdk_project;
mod secret;
mod source;
mod token;
mod transport;

#[cfg(any(test, feature = "test-util"))]
pub use cache::clock::manual::ManualClock;
pub use cache::token_cache::TokenCache;
pub use error::remedy::Remedy;
pub use error::{Error, ErrorKind};
pub use jwt::Claims;
pub use jwt::key::{EcPrivateKey, RsaPrivateKey};
pub use oauth::grant::{ClientBasicAuth, Grant};
pub use oauth::revoke::revoke;
pub use oauth::token_info::{TokenInfo, introspect, token_info};
pub use oauth::{TokenEndpoint, TokenResponse};
pub use reqwest::{Request, Response};
pub use scopes::Scopes;
pub use secret::SecretString;
pub use secret::redact::redact;
pub use source::{TokenFuture, TokenSource, source_fn};
pub use token::AccessToken;
pub use transport::HttpClient;
pub use transport::endpoints::{Endpoint, Endpoints, JWT_BEARER_AUDIENCE};
pub use transport::retry::{RetryPolicy, retry_after};

/// Parts that the other crates of this project share. Not part of the public API.
#[doc(hidden)]
pub mod internal {
    pub use crate::error::quoted::{Quoted, truncated};
    pub use crate::error::refusal::{Refusal, RefusalCause, RpcStatus};
    pub use crate::error::refusal_cause;
    pub use crate::error::report::{ErrorBody, ErrorDetails, ErrorExtra, HasDetails};
    pub use crate::error_type;
    pub use crate::jwt::sign_claims;
    pub use crate::oauth::NumericSeconds;
    pub use crate::oauth::error_response::is_about_grant;
    pub use crate::sdk_project::{SDK_PROJECTS, is_google_sdk_project};
    pub use crate::secret::printable_path::{PrintablePath, display_path};
    pub use crate::secret::sanitize::{is_unsafe_for_display, sanitize, sanitize_message};
    pub use crate::secret::wipe::{secret_request, sensitive_header, zeroize_json};
    pub use crate::transport::body::{BodySpan, read_bounded, read_chunk};
    pub use crate::transport::emulator::{EMULATOR_HOST, EMULATOR_TRUST};
    pub use crate::transport::endpoints::{
        is_link_local, is_localhost, is_loopback, is_loopback_host,
    };
    pub use crate::transport::exchange::{Exchange, FailedAttempt, ReceivedResponse, try_again};
    pub use crate::transport::listener::connection::{ConnectedSocket, connected_socket};
    pub use crate::transport::listener::user_name;
    pub use crate::transport::network_settings::{Authorities, NetworkSettings, ProxySetting};
    pub use crate::transport::pool::Transfer;
    pub use crate::transport::reason::{quotable, stated_reason, xml_element};
    pub use crate::transport::retry::http_date;
    pub use crate::transport::url_field::{UrlField, UrlMatch};
    pub use crate::transport::{MAX_UNPROCESSED, open_ahead, replace_connections, send_to};
}

/// Describes a body that is not the expected JSON, without quoting it.
fn shape(body: &[u8]) -> String {
    let start = body.iter().position(|b| !b.is_ascii_whitespace());
    match start.map(|at| body[at]) {
        None => "it is empty".into(),
        Some(b'<') => "it is HTML".into(),
        Some(b'{') => "its JSON is truncated or has a field of the wrong type".into(),
        Some(_) => format!("{} bytes that are not a JSON object", body.len()),
    }
}
