//! Where Google credentials come from: every credential kind, and the search that finds them.
//!
//! [`Credentials`] are what a program holds: cheap to clone, with a token cache inside.
//! They come from a file, a text, a key, a token of the program's own, or from a [`Search`]
//! through the places where people's logins are; [`Environment`] says where those are.
//!
//! ```no_run
//! use ee_credentials::{Environment, CredentialOptions, Search};
//! use ee_token::HttpClient;
//!
//! # async fn f() -> Result<(), ee_credentials::Error> {
//! let environment = Environment::current();
//! let options = CredentialOptions::new(HttpClient::new(environment.endpoints()?));
//! let found = Search::new(environment, options).find().await?;
//! println!("{} from {}", found.credentials.kind(), found.credentials.origin());
//! let token = found.credentials.token().await?;
//! # let _ = token; Ok(()) }
//! ```
//!
//! A credential kind is one module: what its file says, the checks, how it gets a token.

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
#[cfg(test)]
mod rejection_tests;
mod source;
mod storage;
mod warning;

pub use credentials::Credentials;
pub use discovery::config::{CredentialConfig, CredentialLocation};
pub use discovery::environment::{Environment, Platform};
pub use discovery::{Found, Search, SearchOutcome, SearchStep};
#[doc(inline)]
pub use ee_token::internal::{SDK_PROJECTS, is_google_sdk_project};
pub use error::{Error, ErrorKind};
#[doc(hidden)]
pub use input::location::without_blocking;
pub use input::path_setting::check_path_flag;
#[cfg(feature = "google-cloud-auth")]
pub use interop::google_cloud_auth::GoogleCloudCredentials;
#[cfg(feature = "object_store")]
pub use interop::object_store::ObjectStoreCredentials;
pub use kind::{CredentialKind, CredentialSource};
pub use kinds::earth_engine_file::EarthEngineFile;
pub use kinds::external_account::ExternalAccountConfig;
pub use kinds::impersonated::builder::{ImpersonationBuilder, ImpersonationConfig};
pub use kinds::service_account::ServiceAccountKey;
pub use options::CredentialOptions;
#[cfg(feature = "disk-cache")]
pub use storage::disk_cache::DiskTokenCache;
#[cfg(feature = "login")]
pub use storage::login_file::{Login, LoginFile, LoginFileContents, RemovedFile, Revocation};
pub use warning::Warning;

/// The bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
