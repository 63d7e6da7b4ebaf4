//! Where the subject token of a federated credential comes from: one module per source.

pub(crate) mod aws;
pub(crate) mod certificate;
pub(crate) mod command_line;
pub(crate) mod executable;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod url;
