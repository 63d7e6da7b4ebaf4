//! Google Earth Engine for Rust: find a credential, prove it, choose and verify the Cloud
//! project that pays, and make requests.
//!
//! ```no_run
//! use earthengine::EarthEngine;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), earthengine::Error> {
//! let ee = EarthEngine::builder()
//!     .project("my-project") // optional: found where the other clients find it
//!     .connect()
//!     .await?;
//! let three: i64 = ee
//!     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 3}}}))
//!     .await?;
//! # let _ = three; Ok(()) }
//! ```
//!
//! This crate has no logic of its own beside the [process-wide client](initialize) and
//! `blocking`, the same without async (a feature). What it composes can be had à la carte:
//!
//! - [`token`]: what a token is, how it is signed, exchanged, cached and renewed;
//! - [`credentials`]: where tokens come from, and the search that finds them;
//! - [`rest`]: authenticated requests, for any source of tokens;
//! - [`init`]: which project, may it, and if not, what to do about it.

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
    Found, ListedProject, LoginStatus, Method, Project, ProjectSource, Registration, VerifyLevel,
    check_project,
};
pub use ee_rest::{
    Asset, AssetName, AssetUpdate, Assets, Batch, BatchResponse, Export, ExportKind, IamPolicy,
    ImageFormat, Operation, OperationState, Operations, Page, PageCursor, Pages, PixelGrid,
    ThumbnailKind,
};
pub use ee_token::{
    AccessToken, Endpoint, Endpoints, Remedy, RetryPolicy, Scopes, SecretString, TokenSource,
};
pub use global::{client, initialize, reset};
