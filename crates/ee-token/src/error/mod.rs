//! The error of this crate.

pub(crate) mod network;
pub(crate) mod quoted;
pub(crate) mod remedy;
pub(crate) mod report;

use crate::error::network::is_refused_stream;
use crate::error_type;

error_type! {
    /// Why there is no token. One word wide and cheap to clone.
    ///
    /// ```
    /// use ee_token::{RsaPrivateKey, ErrorKind};
    ///
    /// let error = RsaPrivateKey::from_pem("not a key").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidKey);
    /// assert!(!error.is_transient());
    /// ```
    Error, ErrorKind
}

impl Error {
    /// Whether nobody did anything about the request, for sure: the connection could not even be
    /// made, or the server [turned it back](Self::is_refused_stream).
    pub fn was_not_sent(&self) -> bool {
        let could_not_connect = self.of_http().is_some_and(reqwest::Error::is_connect);
        could_not_connect || self.is_refused_stream()
    }

    /// Whether the server sent the request back unread, to be sent again at once: it takes no more
    /// on a connection that it is about to close (RFC 9113 §8.7). A request whose answer had begun
    /// was read, whatever the server says then.
    pub fn is_refused_stream(&self) -> bool {
        let failed = self.of_http().filter(|error| error.is_request());
        failed.is_some_and(|error| is_refused_stream(error))
    }

    fn of_http(&self) -> Option<&reqwest::Error> {
        self.0.find_source()
    }
}

/// What went wrong on the way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A private key that cannot be used: corrupt, encrypted, of another type.
    InvalidKey,
    /// What the credential says of itself cannot be used (found while minting).
    InvalidCredential,
    /// The token endpoint rejected the credential (`invalid_grant`, `invalid_client`, …).
    Rejected,
    /// An error status that does not show that the credential is invalid: an error code that is not
    /// known, the response of a proxy or a gateway, or a rejection by another host than a token
    /// endpoint. Transient.
    UnconfirmedRejection,
    /// The organisation asks the person to log in again (`invalid_rapt`, `rapt_required`).
    ReauthenticationRequired,
    /// The token endpoint refused the time in the signed request: this machine's clock is off.
    ClockSkew,
    /// The scopes asked for cannot be granted (`invalid_scope`).
    InvalidScope,
    /// A token that its owner gave us for a fixed time is over, and nothing can renew it.
    Expired,
    /// An answer that is no answer: HTML, a cut body, fields missing or senseless.
    InvalidResponse,
    /// The server has a problem of its own (5xx, 429, `temporarily_unavailable`).
    Server,
    /// The host could not be reached, or the connection broke.
    Network,
    /// No answer in time.
    Timeout,
    /// A local file cannot be read for now: too many open files, an I/O error, a file system
    /// that does not respond.
    Io,
    /// A URL that secrets must not be sent to: plain HTTP, or a host that is not allowed.
    DisallowedUrl,
    /// Another user listens where the emulator should, or the system does not tell who does.
    UntrustedEmulator,
    /// No tokio runtime to refresh on, or it went away again and again; or the source panicked.
    Runtime,
}

impl ErrorKind {
    /// Whether trying again later can help without anybody doing anything.
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

    /// Whether the credential itself was rejected or cannot be used, so that another attempt with
    /// it is unlikely to succeed. A [`TokenCache`](crate::TokenCache) makes one after 1 minute, 2, 4
    /// and so on up to 30, while callers ask.
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
