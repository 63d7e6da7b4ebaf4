//! OAuth 2.0 access tokens for Google APIs: how one is signed for, asked for, kept and renewed.
//!
//! This crate knows no file, no environment variable and no command line. A
//! [`TokenSource`] makes a token; a [`TokenCache`] hands it out, and renews it once for
//! everybody; a [`TokenEndpoint`] exchanges a [`Grant`] for it over an [`HttpClient`].
//!
//! ```
//! use ee_token::{source_fn, AccessToken, TokenCache};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
//! let cache = TokenCache::new(source_fn(|| async { AccessToken::new("from-my-vault") }));
//! let token = cache.token().await?; // mints
//! let again = cache.token().await?; // an atomic load
//! assert!(token.is_same(&again));
//! # Ok(()) }
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::duplicate_mod,
        reason = "the cache is tested as it is, and once more under a model checker"
    )
)]

mod access_token;
mod cache;
#[cfg(test)]
mod cache_model;
#[cfg(test)]
mod cache_tests;
mod clear_text;
mod clock;
mod emulator;
mod endpoints;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod http_client;
mod jwt;
mod key;
mod listener;
mod network_failure;
mod printable_path;
mod redact;
mod report;
mod retry;
mod revoke;
mod scopes;
mod secret;
mod secret_string;
mod source;
mod sync;
mod tls;
mod token_endpoint;
mod token_error;
mod token_info;
mod url_field;

pub use access_token::AccessToken;
pub use cache::TokenCache;
pub use clock::{Clock, ManualClock};
#[doc(hidden)]
pub use emulator::{EMULATOR_HOST, EMULATOR_TRUST};
pub use endpoints::{Endpoint, Endpoints, TOKEN_AUDIENCE, is_loopback};
#[doc(hidden)]
pub use endpoints::{is_localhost, is_loopback_host};
pub use error::{Error, ErrorKind};
pub use grant::{ClientAuth, Grant};
pub use http_client::{HttpClient, read_bounded, read_chunk};
pub use jwt::{Claims, sign_jwt, sign_jwt_es256};
pub use key::{EcPrivateKey, RsaPrivateKey};
#[doc(hidden)]
pub use printable_path::PrintablePath;
pub use redact::redact;
#[doc(hidden)]
pub use redact::{clean, display_path, said, steers_terminal};
pub use report::Remedy;
#[doc(hidden)]
pub use report::Report;
pub use reqwest::{Request, Response};
#[doc(hidden)]
pub use retry::date;
pub use retry::{RetryPolicy, retry_after};
pub use revoke::revoke;
pub use scopes::Scopes;
#[doc(hidden)]
pub use secret::{secret_header, wipe};
pub use secret_string::SecretString;
pub use source::{TokenFuture, TokenSource, source_fn};
#[doc(hidden)]
pub use token_endpoint::Seconds;
pub use token_endpoint::{TokenEndpoint, TokenResponse};
pub use token_info::{TokenInfo, introspect, token_info};
#[doc(hidden)]
pub use url_field::{UrlField, UrlMatch};

/// What a body that should have been JSON is, in words that quote none of it.
fn shape(body: &[u8]) -> String {
    let start = body.iter().position(|b| !b.is_ascii_whitespace());
    match start.map(|at| body[at]) {
        None => "it is empty".into(),
        Some(b'<') => "it is HTML".into(),
        Some(b'{') => "its JSON is cut off or has a field of the wrong type".into(),
        Some(_) => format!("{} bytes that are no JSON object", body.len()),
    }
}
