//! The crate's error type.

pub(crate) mod network;
pub(crate) mod quoted;
pub(crate) mod refusal;
pub(crate) mod remedy;
pub(crate) mod report;

use std::time::Duration;

use crate::error::refusal::RefusalCause;
use crate::error::remedy::{UNCONFIRMED_REJECTION, UNEXPECTED_INTERMEDIARY};
use crate::error::report::ErrorExtra;
use crate::error_type;

error_type! {
    /// Why no token could be obtained. One word wide and cheap to clone.
    ///
    /// ```
    /// use ee_token::{RsaPrivateKey, ErrorKind};
    ///
    /// let error = RsaPrivateKey::from_pem("not a key").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidKey);
    /// assert!(!error.is_transient());
    /// ```
    Error, ErrorKind, Extra
}

/// Data that only this crate's errors have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    refusal_cause: Option<RefusalCause>,
    is_unprocessed: bool,
}

impl ErrorExtra for Extra {}

impl Error {
    pub(crate) fn with_refusal_cause(mut self, cause: RefusalCause) -> Self {
        self.0.extra_mut().refusal_cause = Some(cause);
        self
    }

    /// Returns whether the request certainly had no effect: the connection could not be
    /// established, or the request [was not processed](Self::is_unprocessed).
    pub fn was_not_sent(&self) -> bool {
        let could_not_connect = self.of_http().is_some_and(reqwest::Error::is_connect);
        could_not_connect || self.is_unprocessed()
    }

    /// Returns whether the server certainly did not process the request, because it closed the
    /// connection before the request was sent, or is about to close it and refused the stream (RFC
    /// 9113 §8.7). Such a request can be resent at once. A request whose response has begun was
    /// processed, whatever the server reports afterwards.
    ///
    /// Returns `false` if the server retired the connection (`GOAWAY`) and the request has no body and
    /// is not idempotent, because the server may have received all of it.
    pub fn is_unprocessed(&self) -> bool {
        self.0.extra().is_unprocessed
    }

    pub(crate) fn with_unprocessed(mut self, is_unprocessed: bool) -> Self {
        self.0.extra_mut().is_unprocessed = is_unprocessed;
        self
    }

    /// Sets the delay that the server asked for.
    pub(crate) fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        if delay.is_some() {
            self.0.details_mut().retry_after = delay;
        }
        self
    }

    /// Returns the delay that the server asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.details().retry_after
    }

    fn of_http(&self) -> Option<&reqwest::Error> {
        self.0.find_source()
    }
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The private key is invalid: corrupt, encrypted, or of another type.
    InvalidKey,
    /// The credential contains invalid values.
    InvalidCredential,
    /// The token endpoint rejected the credential (`invalid_grant`, `invalid_client`, …).
    Rejected,
    /// An error status that does not show that the credential is invalid: an error code that is not
    /// known, the response of a proxy or a gateway, or a rejection by another host than a token
    /// endpoint. Transient.
    UnconfirmedRejection,
    /// The organization requires the user to log in again (`invalid_rapt`, `rapt_required`).
    ReauthenticationRequired,
    /// The token endpoint rejected the time in the signed request: this machine's clock is wrong.
    ClockSkew,
    /// The requested scopes cannot be granted (`invalid_scope`).
    InvalidScope,
    /// A caller-supplied token has expired and cannot be refreshed.
    Expired,
    /// The response is invalid: HTML, a truncated body, missing or meaningless fields.
    InvalidResponse,
    /// The server is unavailable or overloaded (5xx, 429, `temporarily_unavailable`).
    Server,
    /// The host could not be reached, or the connection was lost.
    Network,
    /// The response did not arrive in time.
    Timeout,
    /// A local file cannot be read now: too many open files, an I/O error, a file system that does
    /// not respond.
    Io,
    /// Secrets must not be sent to the URL: it is plain HTTP, or its host is not allowed.
    DisallowedUrl,
    /// Another user serves the emulator's address, or its owner is unknown.
    UntrustedEmulator,
    /// There is no tokio runtime, it was shut down repeatedly, or the token source panicked.
    Runtime,
    /// An environment variable for the network is set and cannot be used: a proxy, the certificate
    /// authorities.
    InvalidEnvironment,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::InvalidKey,
        Self::InvalidCredential,
        Self::Rejected,
        Self::UnconfirmedRejection,
        Self::ReauthenticationRequired,
        Self::ClockSkew,
        Self::InvalidScope,
        Self::Expired,
        Self::InvalidResponse,
        Self::Server,
        Self::Network,
        Self::Timeout,
        Self::Io,
        Self::DisallowedUrl,
        Self::UntrustedEmulator,
        Self::Runtime,
        Self::InvalidEnvironment,
    ];

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        match self {
            Self::InvalidKey => "Create a new key, and use its file without changes.",
            Self::InvalidCredential => {
                "Compare the value that the message names with the original file, or create the credential again."
            }
            Self::Rejected => "Log in again, or create a new credential.",
            Self::UnconfirmedRejection => UNCONFIRMED_REJECTION,
            Self::ReauthenticationRequired => {
                "Your organization requires a new login from time to time: log in again."
            }
            Self::ClockSkew => "Synchronize this machine's clock with network time.",
            Self::InvalidScope => {
                "Log in again with the scopes that Earth Engine needs: `eectl auth login --scopes earthengine,cloud-platform`."
            }
            Self::Expired => "Supply a new token: this one has expired and cannot be refreshed.",
            Self::InvalidResponse => UNEXPECTED_INTERMEDIARY,
            Self::Server => "Try again in a moment.",
            Self::Network | Self::Timeout => {
                "Check the network connection, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall, then try again."
            }
            Self::Io => "Try again. If it fails again, close files, or check the file system.",
            Self::DisallowedUrl => {
                "Correct the URL. If the host is yours, allow it with --allow-host or `allow_host`."
            }
            Self::UntrustedEmulator => {
                "Stop the program that serves the emulator's address, and start the emulator as your own user."
            }
            Self::Runtime => {
                "Call from inside a tokio runtime that keeps running, or use the blocking client."
            }
            Self::InvalidEnvironment => "Correct the variable that the message names, or unset it.",
        }
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::UnconfirmedRejection
                | Self::InvalidResponse
                | Self::Server
                | Self::Network
                | Self::Timeout
                | Self::Io
                | Self::Runtime
        )
    }

    /// Returns whether the credential itself was rejected or is invalid, so that another attempt
    /// with it is unlikely to succeed. A [`TokenCache`](crate::TokenCache) makes one after 1, 2, 4
    /// and so on up to 30 minutes, while callers request tokens.
    pub fn is_rejection(self) -> bool {
        matches!(
            self,
            Self::InvalidKey
                | Self::InvalidCredential
                | Self::Rejected
                | Self::ReauthenticationRequired
                | Self::InvalidScope
                | Self::Expired
                | Self::DisallowedUrl
        )
    }
}

/// Returns why a server refused the request, if the reason is known.
pub fn refusal_cause(error: &Error) -> Option<RefusalCause> {
    error.0.extra().refusal_cause
}
