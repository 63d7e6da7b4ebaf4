//! Google credentials: every type of Application Default Credentials, Earth Engine logins, and the
//! search that finds them.
//!
//! [`Credentials`] are cheap to clone and contain a token cache. They are created from a file, JSON,
//! a key or a token, or found by a [`Search`] in an [`Environment`].
//!
//! ```no_run
//! use ee_credentials::Credentials;
//!
//! # async fn f() -> Result<(), ee_credentials::Error> {
//! let credentials = Credentials::find_default().await?;
//! println!("{} from {}", credentials.kind(), credentials.source());
//! let token = credentials.token().await?;
//! # let _ = token; Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod credentials;
mod discovery;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod iam;
mod input;
mod interop;
mod kind;
mod kinds;
#[cfg(feature = "login")]
pub mod login;
mod options;
mod source;
mod storage;
mod warning;

pub use credentials::Credentials;
pub use discovery::config::{CredentialConfig, CredentialLocation};
pub use discovery::environment::{Environment, Platform};
pub use discovery::step::{SearchOutcome, SearchStep};
pub use discovery::{FoundCredentials, Search};
#[doc(inline)]
pub use ee_token::internal::{SDK_PROJECTS, is_google_sdk_project};
pub use error::{Error, ErrorKind};
pub use input::path_setting::check_path_flag;
#[cfg(feature = "google-cloud-auth")]
pub use interop::google_cloud_auth::GoogleCloudCredentials;
#[cfg(feature = "object_store")]
pub use interop::object_store::ObjectStoreCredentials;
pub use kind::{CredentialKind, CredentialSource};
pub use kinds::account_name::AccountName;
pub use kinds::earth_engine_file::EarthEngineFile;
pub use kinds::external_account::config::ExternalAccountConfig;
pub use kinds::impersonated::builder::ImpersonationBuilder;
pub use kinds::impersonated::config::ImpersonationConfig;
pub use kinds::service_account::ServiceAccountKey;
pub use options::CredentialOptions;
#[cfg(feature = "disk-cache")]
pub use storage::disk_cache::DiskTokenCache;
#[cfg(feature = "login")]
pub use storage::login_file::accounts::{Account, Accounts, SwitchedAccount};
#[cfg(feature = "login")]
pub use storage::login_file::login::Login;
#[cfg(feature = "login")]
pub use storage::login_file::{LoginFile, LoginFileContents, RemovedFile, Revocation};
pub use warning::Warning;

/// Items for the other crates of this workspace, without stability guarantees.
#[doc(hidden)]
pub mod internal {
    pub use crate::credentials::token_source;
    pub use crate::discovery::account::with_account;
    pub use crate::discovery::environment::network_settings;
    pub use crate::discovery::nearby::{ACCESS_TOKENS, CREDENTIALS};
    pub use crate::discovery::project::{earthengine_file_project, gcloud_project};
    pub use crate::input::file::without_blocking;
    pub use crate::input::nearest::nearest;
}
