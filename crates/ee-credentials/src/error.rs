//! The error of this crate.

use ee_token::internal::error_type;

error_type! {
    /// The error of this crate. One word wide and cheap to clone.
    ///
    /// The message names the file, the variable and the field at fault, and never contains a secret.
    ///
    /// ```
    /// use ee_credentials::{Credentials, ErrorKind, CredentialOptions};
    ///
    /// let error = Credentials::from_json(r#"{"type": "wizard"}"#, &CredentialOptions::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidFile);
    /// assert!(error.to_string().contains("wizard"));
    /// # Ok::<(), ee_credentials::Error>(())
    /// ```
    Error, ErrorKind
}

impl Error {
    /// Returns the error of the token layer that caused this one.
    pub fn token_error(&self) -> Option<&ee_token::Error> {
        self.find_source()
    }

    /// Returns the first error of this type in the chain of sources.
    pub(crate) fn find_source<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.find_source()
    }

    /// Converts the error into one of the token layer.
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

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No credentials were found. [`Error::search_steps`] returns the steps of the search.
    NoCredentials,
    /// A credential file, or the text of one, is missing, unreadable or invalid.
    InvalidFile,
    /// The system failed to read a file: too many open files, an I/O error, a file system that does
    /// not respond.
    Io,
    /// The credential is valid, and the operation does not support it.
    Unsupported,
    /// A credential file names a host to which no secrets may be sent.
    DisallowedHost,
    /// The credential belongs to a universe other than `googleapis.com`, without Earth Engine.
    UnsupportedUniverse,
    /// An environment variable or a configuration file is invalid.
    InvalidEnvironment,
    /// Earth Engine's credentials file cannot be written, removed or locked.
    CredentialsFile,
    /// The login flow is not available here: no gcloud, a port in use, no notebook.
    LoginUnavailable,
    /// The login failed: a wrong code, an invalid response.
    LoginFailed,
    /// The user or an administrator denied consent.
    LoginDenied,
    /// The login was not finished in time.
    LoginTimeout,
    /// The options do not fit the credential: a subject without a service account, for example.
    InvalidOptions,
    /// The token request failed. The kind is that of the token layer.
    Token(ee_token::ErrorKind),
}

impl ErrorKind {
    /// All kinds, except those of the token layer.
    pub const ALL: &'static [Self] = &[
        Self::NoCredentials,
        Self::InvalidFile,
        Self::Io,
        Self::Unsupported,
        Self::DisallowedHost,
        Self::UnsupportedUniverse,
        Self::InvalidEnvironment,
        Self::CredentialsFile,
        Self::LoginUnavailable,
        Self::LoginFailed,
        Self::LoginDenied,
        Self::LoginTimeout,
        Self::InvalidOptions,
    ];

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        match self {
            Self::NoCredentials => {
                "Log in with `eectl auth login`, or set GOOGLE_APPLICATION_CREDENTIALS to a credential file."
            }
            Self::InvalidFile => {
                "Repair the file or the field that the message names, or create the credential again."
            }
            Self::Io => ee_token::ErrorKind::Io.default_remedy(),
            Self::Unsupported => "Use another kind of credential for this operation.",
            Self::DisallowedHost => ee_token::ErrorKind::DisallowedUrl.default_remedy(),
            Self::UnsupportedUniverse => {
                "Use a credential of the universe googleapis.com: Earth Engine exists only there."
            }
            Self::InvalidEnvironment => ee_token::ErrorKind::InvalidEnvironment.default_remedy(),
            Self::CredentialsFile => "Check the permissions of the file and of its directory.",
            Self::LoginUnavailable => "Log in with another --mode, for example notebook.",
            Self::LoginFailed => "Log in again.",
            Self::LoginDenied => "Log in again and grant access on the consent page.",
            Self::LoginTimeout => "Log in again, with a longer --timeout if necessary.",
            Self::InvalidOptions => "Change the option that the message names.",
            Self::Token(kind) => kind.default_remedy(),
        }
    }

    /// Whether the error can go away on retry.
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
    fn token_error_round_trips_with_remedy_and_principal() {
        let error = ee_token::Error::new(ee_token::ErrorKind::Network, "no way")
            .with_remedy(ee_token::Remedy::new("walk"))
            .with_principal("a@b");
        let ours = Error::from(error);
        assert!(ours.is_transient());
        assert!(ours.token_error().is_some());
        let back = ours.into_token_error();
        assert_eq!(back.kind(), ee_token::ErrorKind::Network);
        assert_eq!(back.principal(), Some("a@b"));
        assert_eq!(back.remedy().text, "walk");
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }
}
