//! Logging people in: into the file that Earth Engine's Python client shares ([`LoginFlow`]), or
//! into a web application with an OAuth client of its own ([`WebFlow`]).
//!
//! The person's terminal and browser are traits, so that a window or a test can stand in.

pub(crate) mod authorization;
pub(crate) mod detect;
pub(crate) mod modes;

mod flow;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod loopback;
mod mode;
mod pkce;
mod terminal;
mod web;

pub use crate::login::modes::notebook::NotebookLogin;
pub use flow::{LoginFlow, LoginOutcome, SavedLogin};
pub use mode::LoginMode;
pub use terminal::{Browser, PromptFuture, SystemBrowser, Terminal};
pub use url::Url;
pub use web::{PendingLogin, WebFlow, WebLogin};
