//! This workspace and its peers, measured together on one machine.

pub mod broker;
pub mod contenders;
pub mod distance;
pub mod far;
pub mod fleet;
pub mod harness;
pub mod processes;
pub mod quota_server;
pub mod requests;
pub mod scale;
pub mod server;
pub mod tokens;
