//! Selects the Cloud project for Earth Engine, verifies access, and explains failures.
//!
//! [`EarthEngine::builder`] does it all: it finds credentials, fetches a token, selects the project
//! and verifies it.
//!
//! ```no_run
//! # async fn f() -> Result<(), ee_init::Error> {
//! match ee_init::EarthEngine::builder().connect().await {
//!     Ok(ee) => println!("ready: {}", ee.project().id),
//!     Err(error) => {
//!         eprintln!("{error}");
//!         eprintln!("{}", error.remedy());
//!     }
//! }
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod doctor;
mod earth_engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod login_status;
mod project;
mod scope_check;
mod selected_project;
mod verify;

pub use builder::EarthEngineBuilder;
pub use doctor::{Check, CheckStatus, Diagnosis};
pub use earth_engine::{ConnectStats, EarthEngine};
pub use ee_credentials::FoundCredentials;
pub use ee_rest::{ErrorKind, Registration};
pub use error::Error;
pub use http::Method;
pub use login_status::LoginStatus;
pub use project::check_project;
pub use project::listed::{ApiState, ListedProject};
pub use selected_project::{Project, ProjectSource};
pub use verify::VerifyLevel;

/// Parts that `eectl` shares. Not part of the public API.
#[doc(hidden)]
pub mod internal {
    pub use ee_credentials::internal::nearest;
}
