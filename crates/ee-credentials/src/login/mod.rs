//! User logins: [`LoginFlow`] saves a login in the file shared with the Python client, [`WebFlow`]
//! logs users in to a web application with its own OAuth client.
//!
//! The terminal and the browser are traits, so that a window or a test can replace them.

pub(crate) mod authorization;
pub(crate) mod detect;
pub(crate) mod modes;

mod flow;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod loopback;
mod mode;
mod pkce;
mod session;
mod terminal;
mod web;

pub use crate::login::modes::notebook::NotebookLogin;
pub use flow::{LoginFlow, LoginOutcome};
pub use mode::LoginMode;
pub use session::SavedLogin;
pub use terminal::{Browser, PromptFuture, SystemBrowser, Terminal};
pub use url::Url;
pub use web::{PendingLogin, WebFlow, WebLogin};
