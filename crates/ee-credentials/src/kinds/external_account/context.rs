//! The parts of a federated credential that every source of subject tokens uses.

use std::fmt;

use ee_token::HttpClient;

use crate::Environment;
use crate::input::location::Location;

pub(crate) struct Context {
    pub(crate) http: HttpClient,
    pub(crate) environment: Option<Environment>,
    pub(crate) location: Location,
    pub(crate) audience: String,
    pub(crate) subject_token_type: String,
    /// The service account that is impersonated.
    pub(crate) email: Option<String>,
}

impl Context {
    /// Returns the current environment.
    pub(crate) fn environment(&self) -> Environment {
        self.environment
            .clone()
            .unwrap_or_else(Environment::current)
    }

    /// Returns an error about something outside the credential's file.
    pub(crate) fn error(
        &self,
        kind: ee_token::ErrorKind,
        why: impl fmt::Display,
    ) -> ee_token::Error {
        ee_token::Error::new(kind, format!("{}: {why}", self.location))
    }
}
