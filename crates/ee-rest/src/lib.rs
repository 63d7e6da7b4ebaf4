//! Authenticated requests to the Earth Engine REST API.
//!
//! The credentials are any [`ee_token::TokenSource`] or an API key; this crate reads no
//! credential files. A [`Client`] adds the project, headers and token to each request, renews a
//! rejected token, retries transient failures, and returns an error response as an [`ApiError`]
//! with all the details that the server sent.
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

#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod auth;
mod batch;
mod client;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pages;
mod project_id;
mod request;
mod response;
mod send;
#[cfg(feature = "tower")]
mod tower;

pub use api::asset_name::AssetName;
pub use api::export_types as export;
pub use api::operation::{
    Operation, OperationError, OperationMetadata, OperationNotification, OperationStage,
    OperationState,
};
pub use api::operations::{OperationPoller, Operations};
pub use api::{
    Algorithm, AlgorithmArgument, Asset, AssetUpdate, Assets, ComputePixelsRequest,
    ComputedListRequest, Download, Export, ExportLimit, FeatureViewRequest, FilmstripRequest,
    GetPixelsRequest, IamBinding, IamPolicy, ImageFormat, ImportRequest, ListRequest, MapRequest,
    MapTiles, PixelGrid, ProjectConfig, ProjectRegistration, Registration, Table, TableRequest,
    Thumbnail, ThumbnailRequest, VideoThumbnailRequest,
};
pub use auth::Auth;
pub use batch::{Batch, BatchResponse};
pub use client::Client;
pub use client::builder::ClientBuilder;
pub use error::Error;
pub use error::api_error::{ApiError, HelpLink, PreconditionViolation, QuotaViolation};
pub use error::kind::ErrorKind;
pub use error::rpc_code::RpcCode;
pub use pages::{ItemStream, Page, PageCursor, Pages};
pub use project_id::ProjectId;
pub use request::RequestBuilder;
pub use request::workload_tag::WorkloadTag;
pub use response::Response;
pub use response::streaming::StreamingResponse;
pub use send::events::ClientEvent;
#[cfg(feature = "tower")]
pub use tower::{AuthFuture, AuthLayer, AuthService};

/// Parts that the other crates of this project share. Not part of the public API.
#[doc(hidden)]
pub mod internal {
    pub use crate::client::builder::with_project_origin;
    pub use crate::error::explain::{
        LOGIN_WITH_SCOPES, ProjectOrigin, choose_project, not_registered, project_at_fault, refusal,
    };
    pub use crate::request::body_fields::request_id;
}

#[cfg(test)]
mod tests;
