//! Which Cloud project Earth Engine requests go through, whether it may use Earth Engine,
//! and if not, what to do about it.
//!
//! [`EarthEngine::builder`] goes the whole way: credentials, token, project, verification.
//!
//! ```no_run
//! # async fn f() -> Result<(), ee_init::Error> {
//! match ee_init::EarthEngine::builder().connect().await {
//!     Ok(ee) => println!("ready: {}", ee.project().id),
//!     Err(error) => {
//!         eprintln!("{error}");
//!         if let Some(remedy) = error.remedy() {
//!             eprintln!("{remedy}");
//!         }
//!     }
//! }
//! # Ok(()) }
//! ```

mod builder;
mod doctor;
mod earth_engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod login_status;
mod project;
mod refusal;
mod scope_check;
mod verify;

pub use builder::{ConnectStats, EarthEngineBuilder};
pub use doctor::{Check, CheckStatus, Diagnosis};
pub use earth_engine::EarthEngine;
pub use ee_credentials::Found;
pub use error::{Error, ErrorKind};
pub use http::Method;
pub use login_status::LoginStatus;
pub use project::list::{ApiState, ListedProject};
pub use project::registration::Registration;
pub use project::{Project, ProjectSource, check_project, is_google_sdk_project};
pub use refusal::{ErrorContext, explain};
pub use verify::VerifyLevel;
