//! Google's canonical error codes (`google.rpc.Code`).

use std::fmt;

use http::StatusCode;

/// A canonical error code (`google.rpc.Code`): the `status` of an error response, or the code that
/// corresponds to the HTTP status.
///
/// ```
/// use ee_rest::RpcCode;
///
/// assert_eq!(RpcCode::from_name("PERMISSION_DENIED"), Some(RpcCode::PermissionDenied));
/// assert_eq!(RpcCode::from_name("SOMETHING_NEW"), None);
/// assert_eq!(RpcCode::PermissionDenied.as_str(), "PERMISSION_DENIED");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpcCode {
    /// `CANCELLED`: the caller cancelled the call.
    Cancelled,
    /// `UNKNOWN`, or a code that this version does not know.
    Unknown,
    /// `INVALID_ARGUMENT`: the arguments are invalid, whatever the state of the system.
    InvalidArgument,
    /// `DEADLINE_EXCEEDED`: the call did not finish in time.
    DeadlineExceeded,
    /// `NOT_FOUND`: the resource does not exist, or the caller may not see it.
    NotFound,
    /// `ALREADY_EXISTS`: the resource to create already exists.
    AlreadyExists,
    /// `PERMISSION_DENIED`: the caller lacks a permission.
    PermissionDenied,
    /// `RESOURCE_EXHAUSTED`: a quota is exhausted.
    ResourceExhausted,
    /// `FAILED_PRECONDITION`: the system is not in the required state.
    FailedPrecondition,
    /// `ABORTED`: the call conflicts with a concurrent change.
    Aborted,
    /// `OUT_OF_RANGE`: the call is past the valid range.
    OutOfRange,
    /// `UNIMPLEMENTED`: the server does not support the call.
    Unimplemented,
    /// `INTERNAL`: an internal server error.
    Internal,
    /// `UNAVAILABLE`: the service is temporarily unavailable.
    Unavailable,
    /// `DATA_LOSS`: data was lost or corrupted.
    DataLoss,
    /// `UNAUTHENTICATED`: the credentials are missing or were rejected.
    Unauthenticated,
}

const NAMES: [(RpcCode, &str); 16] = [
    (RpcCode::Cancelled, "CANCELLED"),
    (RpcCode::Unknown, "UNKNOWN"),
    (RpcCode::InvalidArgument, "INVALID_ARGUMENT"),
    (RpcCode::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (RpcCode::NotFound, "NOT_FOUND"),
    (RpcCode::AlreadyExists, "ALREADY_EXISTS"),
    (RpcCode::PermissionDenied, "PERMISSION_DENIED"),
    (RpcCode::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (RpcCode::FailedPrecondition, "FAILED_PRECONDITION"),
    (RpcCode::Aborted, "ABORTED"),
    (RpcCode::OutOfRange, "OUT_OF_RANGE"),
    (RpcCode::Unimplemented, "UNIMPLEMENTED"),
    (RpcCode::Internal, "INTERNAL"),
    (RpcCode::Unavailable, "UNAVAILABLE"),
    (RpcCode::DataLoss, "DATA_LOSS"),
    (RpcCode::Unauthenticated, "UNAUTHENTICATED"),
];

impl RpcCode {
    /// Returns Google's name of the code, such as `PERMISSION_DENIED`.
    pub fn as_str(self) -> &'static str {
        NAMES
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("UNKNOWN", |(_, name)| name)
    }

    /// Returns the code with this name, or `None` if this version does not know it.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(code, _)| *code)
    }

    /// Maps an HTTP status to a code, as `google/rpc/code.proto` does.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            409 => Self::Aborted,
            429 => Self::ResourceExhausted,
            499 => Self::Cancelled,
            500 => Self::Internal,
            501 => Self::Unimplemented,
            503 => Self::Unavailable,
            504 => Self::DeadlineExceeded,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for RpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_names_are_unique_and_round_trip() {
        for (code, name) in NAMES {
            assert_eq!(
                (RpcCode::from_name(name), code.as_str()),
                (Some(code), name)
            );
        }
    }
}
