//! Where Google credentials come from: every credential kind, and the search that finds them.
//!
//! [`Credentials`] are what a program holds: cheap to clone, with a token cache inside.
//! They come from a file, a text, a key, a token of the program's own, or from a [`Search`]
//! through the places where people's logins are; [`Environment`] says where those are.
//!
//! ```no_run
//! use ee_credentials::{Environment, Options, Search};
//! use ee_token::HttpClient;
//!
//! # async fn f() -> Result<(), ee_credentials::Error> {
//! let environment = Environment::current();
//! let options = Options::new(HttpClient::new(environment.endpoints()?));
//! let found = Search::new(environment, options).run().await?;
//! println!("{} from {}", found.credentials.kind(), found.credentials.origin());
//! let token = found.credentials.token().await?;
//! # let _ = token; Ok(()) }
//! ```
//!
//! A credential kind is one module: what its file says, the checks, how it gets a token.

mod adc;
mod allowed_host;
mod authorized_user;
mod blocking;
mod credentials;
mod discovery;
#[cfg(feature = "token-cache")]
mod disk_cache;
mod document;
mod earthengine_file;
mod environment;
mod error;
mod external_account;
mod file_access;
mod file_source;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gcloud_config;
mod gdch;
mod generate_access_token;
#[cfg(feature = "google-cloud-auth")]
mod google_cloud_auth;
mod identity;
mod impersonated;
mod impersonation;
mod kind;
mod loaded;
#[cfg(feature = "login")]
pub mod login;
mod metadata_server;
#[cfg(feature = "object_store")]
mod object_store;
mod options;
mod path_setting;
mod place;
#[cfg(any(feature = "login", feature = "token-cache"))]
mod private_file;
mod program;
mod refresh_token;
#[cfg(test)]
mod rejection_tests;
mod retry;
mod sdk_project;
mod service_account;
mod settings;
mod shape;
#[cfg(feature = "login")]
mod store;
mod universe;
mod warning;
mod workforce_user;

pub use credentials::Credentials;
pub use discovery::{Found, Outcome, Search, Step};
#[cfg(feature = "token-cache")]
pub use disk_cache::DiskCache;
pub use earthengine_file::EarthEngineFile;
pub use environment::{Environment, Os};
pub use error::{Error, ErrorKind};
pub use external_account::ExternalAccount;
#[cfg(feature = "google-cloud-auth")]
pub use google_cloud_auth::GoogleCloudCredentials;
pub use impersonation::{Impersonation, ImpersonationSettings};
pub use kind::{Kind, Origin};
#[cfg(feature = "object_store")]
pub use object_store::ObjectStoreCredentials;
pub use options::Options;
pub use path_setting::check_path_flag;
#[doc(hidden)]
pub use place::without_blocking;
pub use sdk_project::{SDK_PROJECTS, is_sdk_project};
pub use service_account::ServiceAccountKey;
pub use settings::{Settings, Whereabouts};
#[cfg(feature = "login")]
pub use store::{NewLogin, Removed, Revocation, Store, Stored};
pub use warning::Warning;

/// The bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
