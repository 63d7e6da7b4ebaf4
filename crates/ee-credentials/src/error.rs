//! The error of this crate.

use ee_token::internal::error_type;

use crate::discovery::{SearchStep, Searched};

error_type! {
    /// Why there are no credentials, or none that can be used. One word wide and cheap to clone.
    ///
    /// The message names the file, the variable and the field at fault, and never a secret.
    ///
    /// ```
    /// use ee_credentials::{Credentials, ErrorKind, CredentialOptions};
    ///
    /// let error = Credentials::from_json(r#"{"type": "wizard"}"#, &CredentialOptions::google()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidFile);
    /// assert!(error.to_string().contains("wizard"));
    /// # Ok::<(), ee_credentials::Error>(())
    /// ```
    Error, ErrorKind
}

impl Error {
    /// What each step of the search found, if a search failed; empty otherwise.
    pub fn search_steps(&self) -> &[SearchStep] {
        self.0
            .find_source::<Searched>()
            .map_or(&[], |searched| &searched.steps)
    }

    /// The error of the token layer that this one stems from, if it does.
    pub fn token_error(&self) -> Option<&ee_token::Error> {
        self.0.find_source()
    }

    /// Converts the error to one of the token layer, for the callers that wait for a token.
    pub(crate) fn into_token_error(self) -> ee_token::Error {
        let kind = match self.kind() {
            ErrorKind::Token(kind) => kind,
            ErrorKind::DisallowedHost => ee_token::ErrorKind::DisallowedUrl,
            ErrorKind::Io => ee_token::ErrorKind::Io,
            _ => ee_token::ErrorKind::InvalidCredential,
        };
        ee_token::Error::new(kind, self.to_string()).with_cause(self)
    }
}

impl From<ee_token::Error> for Error {
    fn from(error: ee_token::Error) -> Self {
        Self::new(ErrorKind::Token(error.kind()), error.to_string()).with_cause(error)
    }
}

/// What went wrong on the way to credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No step of the search found any. [`Error::search_steps`] says what each one saw.
    NoCredentials,
    /// A credential file, or a text in its place, that cannot be used: missing, unreadable,
    /// of another shape, without a field, with a broken key.
    InvalidFile,
    /// A file cannot be read for now: too many open files, an I/O error, a file system that
    /// does not respond.
    Io,
    /// A credential of a type that exists and is not supported here.
    Unsupported,
    /// A credential file names a host that secrets must not be sent to.
    DisallowedHost,
    /// The credential belongs to another universe than `googleapis.com`, where there is no
    /// Earth Engine.
    UnsupportedUniverse,
    /// A variable of the environment whose value makes no sense, or a configuration file
    /// that cannot be read.
    InvalidEnvironment,
    /// Earth Engine's credentials file cannot be written, removed or locked.
    CredentialsFile,
    /// A login cannot be made in this way, here: no gcloud, a port in use, no notebook.
    LoginUnavailable,
    /// A login was begun and came to nothing: a wrong code, an answer that makes no sense.
    LoginFailed,
    /// The person, or an administrator, did not consent.
    LoginDenied,
    /// Nobody finished the login in time.
    LoginTimeout,
    /// What the caller asked for does not fit the credential: a subject without a
    /// service account, for example.
    InvalidOptions,
    /// No token; the token layer's own kind.
    Token(ee_token::ErrorKind),
}

impl ErrorKind {
    /// Whether trying again later can help without anybody doing anything.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Io => true,
            Self::Token(kind) => kind.is_transient(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_error_keeps_its_remedy_and_principal_both_ways() {
        let error = ee_token::Error::new(ee_token::ErrorKind::Network, "no way")
            .with_remedy(ee_token::Remedy::new("walk"))
            .with_principal("a@b");
        let ours = Error::from(error);
        assert!(ours.is_transient());
        assert!(ours.token_error().is_some());
        let back = ours.into_token_error();
        assert_eq!(back.kind(), ee_token::ErrorKind::Network);
        assert_eq!(back.principal(), Some("a@b"));
        assert_eq!(back.remedy().unwrap().text, "walk");
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }
}
