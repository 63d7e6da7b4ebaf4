//! Untrusted input: files, their JSON, and the hosts and paths they name.

pub(crate) mod allowed_hosts;
pub(crate) mod blocking;
pub(crate) mod content;
pub(crate) mod file;
pub(crate) mod file_access;
pub(crate) mod json;
pub(crate) mod location;
pub(crate) mod misplaced;
pub(crate) mod nearest;
pub(crate) mod path_setting;
pub(crate) mod placeholder;
pub(crate) mod quote;
pub(crate) mod restored;
pub(crate) mod shell;
pub(crate) mod spelling;
pub(crate) mod universe;
