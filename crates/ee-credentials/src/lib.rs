//! Where Google credentials come from: each kind, and the search that finds them.
//!
//! [`Credentials`] is what users hold. It is made from a file, a text, a key, a token or a
//! closure; or it is found by [`search`], which looks where the other clients of Earth
//! Engine and Google Cloud look, and says what it saw at each place.
//!
//! ```no_run
//! use ee_credentials::{Environment, Options, search};
//! use ee_token::HttpClient;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let environment = Environment::current();
//! let options = Options::new(HttpClient::new(environment.endpoints()?)?);
//! let found = search(None, &environment, &options)?;
//! println!("{} from {}", found.credentials.kind(), found.credentials.origin());
//! let token = found.credentials.token().await?;
//! # let _ = token; Ok(()) }
//! ```

mod authorized_user;
mod credentials;
mod document;
mod earthengine_file;
mod environment;
mod error;
mod file;
mod file_source;
mod host;
mod kind;
mod parse;
mod search;
mod service_account;

pub use credentials::{Credentials, Options, Warning};
pub use environment::{Environment, Os};
pub use error::{Error, ErrorKind};
pub use kind::{Kind, Origin};
pub use search::{Found, Outcome, Step, search};
pub use service_account::{ServiceAccount, ServiceAccountKey, ServiceAccountOptions};
