//! Ours and our peers, side by side, in one run on one machine.

pub mod contenders;
pub mod harness;
pub mod processes;
pub mod requests;
pub mod scale;
pub mod server;
pub mod tokens;
