//! A local metadata server: one Earth Engine login for every Google client on the machine.
//!
//! Google's clients in every language ask the metadata server of a Google Cloud machine for tokens.
//! A [`Broker`] speaks the same protocol on loopback or at a Unix socket, for any
//! [`Credentials`](ee_credentials::Credentials). Programs in Python, Node.js, R, Go and Rust, GDAL and
//! containers get short-lived tokens from it, and need no key, refresh token or login of their own.
//!
//! Only processes of the broker's own user are served, and only requests that no web page or proxy
//! can send. [`ClientEnvironment`] has the variables by which clients find the broker instead of
//! other credentials.
//!
//! ```
//! use ee_broker::Broker;
//! use ee_credentials::Credentials;
//! use ee_token::AccessToken;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::from_fn(|| async { AccessToken::new("from-my-vault") });
//! let broker = Broker::builder(credentials)
//!     .project("my-project")
//!     .listen("127.0.0.1:0".parse()?)
//!     .start()
//!     .await?;
//! let host = broker.metadata_host().unwrap();
//! assert!(host.starts_with("127.0.0.1:"));
//! # broker.shutdown().await;
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod broker;
mod client;
mod client_env;
mod deadline;
mod error;
#[cfg(unix)]
mod forward;
mod id_tokens;
mod ledger;
mod metadata;
mod prefix;
mod server;
mod tokens;

pub use broker::{Broker, BrokerBuilder};
pub use client::{BrokerAddress, fetch_status};
pub use client_env::ClientEnvironment;
pub use error::{Error, ErrorKind};
#[cfg(unix)]
pub use forward::Forwarder;
