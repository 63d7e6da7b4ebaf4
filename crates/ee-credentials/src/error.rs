//! The error of this crate.

use ee_token::error_type;

error_type! {
    /// Why there are no credentials, or none that can be used.
    Error, ErrorKind
}

/// What is wrong with the credentials, before any request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// None anywhere.
    NoCredentials,
    /// A file or a text that cannot be used; the message names it and the field.
    InvalidFile,
    /// A kind of credential that this version does not know how to use.
    Unsupported,
    /// A host in a file that secrets must not be sent to.
    RefusedHost,
    /// A credential of another cloud than Google's public one.
    ForeignUniverse,
    /// A variable that cannot be used.
    InvalidEnvironment,
}

impl ErrorKind {
    /// Never: what is wrong here stays wrong until somebody mends it.
    pub fn is_transient(self) -> bool {
        false
    }
}
