//! Google's canonical error codes.

use std::fmt;

use http::StatusCode;

/// What kind of refusal it is, in the words of `google.rpc.RpcCode`: the `status` of an error
/// reply, or what the HTTP status stands for where the reply has none.
///
/// ```
/// use ee_rest::RpcCode;
///
/// assert_eq!(RpcCode::from("PERMISSION_DENIED"), RpcCode::PermissionDenied);
/// assert_eq!(RpcCode::PermissionDenied.as_str(), "PERMISSION_DENIED");
/// assert_eq!(RpcCode::from("SOMETHING_NEW"), RpcCode::Unknown);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpcCode {
    /// `CANCELLED`: the caller cancelled it.
    Cancelled,
    /// `UNKNOWN`, or a code that is newer than this library.
    Unknown,
    /// `INVALID_ARGUMENT`: wrong whatever the state of the system.
    InvalidArgument,
    /// `DEADLINE_EXCEEDED`: not finished in time.
    DeadlineExceeded,
    /// `NOT_FOUND`: it does not exist, or may not be seen.
    NotFound,
    /// `ALREADY_EXISTS`: what should have been created is there already.
    AlreadyExists,
    /// `PERMISSION_DENIED`: the caller may not do this.
    PermissionDenied,
    /// `RESOURCE_EXHAUSTED`: a quota is used up.
    ResourceExhausted,
    /// `FAILED_PRECONDITION`: not in the present state of the system.
    FailedPrecondition,
    /// `ABORTED`: a conflict with somebody else's change.
    Aborted,
    /// `OUT_OF_RANGE`: past the end of something.
    OutOfRange,
    /// `UNIMPLEMENTED`: the server cannot do this.
    Unimplemented,
    /// `INTERNAL`: the server has a problem.
    Internal,
    /// `UNAVAILABLE`: not at the moment.
    Unavailable,
    /// `DATA_LOSS`: data was lost for good.
    DataLoss,
    /// `UNAUTHENTICATED`: no token, or none that the server takes.
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
    /// Google's name of the code.
    pub fn as_str(self) -> &'static str {
        NAMES
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("UNKNOWN", |(_, name)| name)
    }

    /// The code that an HTTP status stands for (the mapping in `google/rpc/code.proto`).
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

impl From<&str> for RpcCode {
    fn from(name: &str) -> Self {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(Self::Unknown, |(code, _)| *code)
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
    fn each_code_is_read_by_its_name_and_no_two_share_one() {
        for (code, name) in NAMES {
            assert_eq!((RpcCode::from(name), code.as_str()), (code, name));
        }
    }
}
