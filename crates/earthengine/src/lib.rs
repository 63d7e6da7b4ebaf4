//! Google Earth Engine for Rust: finds credentials, fetches access tokens, selects and verifies the
//! Cloud project, and sends requests.
//!
//! ```no_run
//! use earthengine::EarthEngine;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), earthengine::Error> {
//! let ee = EarthEngine::builder()
//!     .project("my-project") // optional: by default found as in the other clients
//!     .connect()
//!     .await?;
//! let three: i64 = ee
//!     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 3}}}))
//!     .await?;
//! # let _ = three; Ok(()) }
//! ```
//!
//! This crate adds the [process-wide client](initialize) and, with the feature `blocking`, a
//! blocking client. The rest is in these crates, which can be used separately:
//!
//! - [`token`]: access tokens: signing, exchange, caching and refresh;
//! - [`credentials`]: credential kinds and the search for credentials;
//! - [`rest`]: authenticated requests with any token source;
//! - [`init`]: selects the Cloud project, verifies access, and explains failures.
//!
//! # Errors
//!
//! Every [`Error`] has a [kind](Error::kind), a [remedy](Error::remedy) and, where a server was
//! involved, its [message](Error::server_message). A `main` that returns one prints them.
//!
//! # Features
//!
//! All features are off by default.
//!
//! | feature | adds |
//! |---|---|
//! | `blocking` | `earthengine::blocking`: the same client without async |
//! | `gzip` | compressed responses |
//! | `login` | `credentials::login`: login flows for command-line programs and web applications |
//! | `disk-cache` | `EarthEngineBuilder::disk_cache`: access tokens that are reused when the program starts again |
//! | `socks` | SOCKS proxies in `HTTPS_PROXY` and `ALL_PROXY` |
//! | `google-cloud-auth` | adapters to and from the credentials of Google's Rust clients |
//! | `object_store` | the same credentials for Cloud Storage through the crate `object_store` |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "blocking")]
pub mod blocking;
mod global;

pub use ee_credentials as credentials;
pub use ee_init as init;
pub use ee_rest as rest;
pub use ee_token as token;

pub use ee_credentials::{Credentials, Environment};
pub use ee_init::{
    ApiState, Check, CheckStatus, Diagnosis, EarthEngine, EarthEngineBuilder, Error, ErrorKind,
    FoundCredentials, ListedProject, LoginStatus, Method, Project, ProjectSource, Registration,
    VerifyLevel, check_project,
};
pub use ee_rest::{
    Asset, AssetName, AssetUpdate, Assets, Batch, BatchResponse, Export, IamPolicy, ImageFormat,
    Operation, OperationState, Operations, Page, PageCursor, Pages, PixelGrid, ProjectConfig,
    ProjectId,
};
pub use ee_token::{
    AccessToken, Endpoint, Endpoints, Remedy, RetryPolicy, Scopes, SecretString, TokenSource,
};
pub use global::{client, initialize, reset, shared};
