//! Authenticated requests to the Earth Engine REST API.
//!
//! This crate takes anything that makes tokens ([`ee_token::TokenSource`]) and knows no
//! credential file. A [`Client`] puts the project, the headers and the token on a request,
//! renews a token that the server does not take, sends again what failed for the moment, and
//! turns a refusal into an [`ApiError`] with everything that the server said.
//!
//! ```no_run
//! use ee_rest::{Auth, Client};
//! use ee_token::{source_fn, AccessToken, Endpoints, HttpClient, TokenCache};
//! use serde_json::json;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenCache::new(source_fn(|| async { AccessToken::new("from-my-vault") }));
//! let client = Client::builder(Auth::token_cache(tokens), HttpClient::new(Endpoints::google()))
//!     .project("my-project")
//!     .build()?;
//! let three: i64 = client
//!     .compute(&json!({"result": "0", "values": {"0": {"constantValue": 3}}}))
//!     .await?;
//! # let _ = three; Ok(()) }
//! ```

mod api;
mod auth;
mod batch;
mod builder;
mod client;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pages;
mod request;
mod response;
mod send;
#[cfg(feature = "tower")]
mod tower;

pub use api::asset_name::AssetName;
pub use api::operations::{
    Operation, OperationError, OperationMetadata, OperationPoller, OperationState, Operations,
};
pub use api::{
    Algorithm, AlgorithmArgument, Asset, AssetUpdate, Assets, Download, Export, ExportKind,
    IamBinding, IamPolicy, ImageFormat, ImageRequest, ListRequest, MapTiles, PixelGrid,
    ProjectConfig, Thumbnail, ThumbnailKind, ToMap, ToPixels, ToThumbnail,
};
pub use auth::Auth;
pub use batch::{Batch, BatchResponse};
pub use builder::ClientBuilder;
pub use client::Client;
pub use error::api_error::{ApiError, HelpLink, QuotaViolation};
pub use error::rpc_code::RpcCode;
pub use error::{Error, ErrorKind};
pub use pages::{ItemStream, Page, PageCursor, Pages};
pub use request::RequestBuilder;
pub use request::workload_tag::WorkloadTag;
pub use response::Response;
pub use response::streaming::StreamingResponse;
pub use send::events::ClientEvent;
#[cfg(feature = "tower")]
pub use tower::{AuthFuture, AuthLayer, AuthService};

#[cfg(test)]
mod tests;
