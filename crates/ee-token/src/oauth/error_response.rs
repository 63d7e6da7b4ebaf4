//! The error responses of token endpoints (RFC 6749 §5.2 and Google's extensions).

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::refusal::{Refusal, RpcStatus};
use crate::secret::sanitize::sanitize_message;
use crate::secret::wipe::zeroize_json;
use crate::transport::exchange::ReceivedResponse;
use crate::{Error, ErrorKind, Remedy};

/// An error response. Wiped, because a server may echo the request.
pub(crate) struct OAuthError {
    code: Zeroizing<String>,
    description: Zeroizing<String>,
    subtype: Zeroizing<String>,
    /// The details, in the format of Google's newer services.
    status: Option<RpcStatus>,
}

impl OAuthError {
    /// Parses `{"error": "code", …}` and the format of Google's newer services,
    /// `{"error": {"status": …, "message": …}}`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct ErrorBody {
            error: Value,
            error_description: Option<String>,
            error_subtype: Option<String>,
        }
        let mut response: ErrorBody = serde_json::from_slice(body).ok()?;
        let status = response
            .error
            .is_object()
            .then(|| RpcStatus::read(&response.error));
        let inner = |get: fn(&RpcStatus) -> &String| Some(get(status.as_ref()?).clone());
        let code = match &response.error {
            Value::String(code) => Some(code.clone()),
            Value::Object(_) => Some(inner(|status| &status.code).unwrap_or_default()),
            _ => None,
        };
        let message = inner(|status| &status.message);
        zeroize_json(&mut response.error);
        let [code, description, subtype] = [
            code,
            Some(response.error_description.or(message).unwrap_or_default()),
            Some(response.error_subtype.unwrap_or_default()),
        ]
        .map(|text| text.map(Zeroizing::new));
        Some(Self {
            code: code?,
            description: description?,
            subtype: subtype?,
            status,
        })
    }
}

/// Returns the error for a response whose status is not 200. `secrets` were sent in the request and
/// are redacted.
///
/// Only an error code that concerns the credential rejects it, and only with the status that belongs
/// to the code, or a reason that is [known](RefusalCause). Any other response may come from a proxy,
/// a filter or a gateway, or have an unknown meaning, and is transient.
pub(crate) fn classify(received: &ReceivedResponse, host: &str, secrets: &[&str]) -> Error {
    let Some(response) = OAuthError::parse(&received.body) else {
        return received.unexplained(host, secrets);
    };
    let text = Zeroizing::new(
        match (response.code.as_str(), response.description.as_str()) {
            (code, "") => code.to_owned(),
            ("", description) => description.to_owned(),
            (code, description) => [code, ": ", description].concat(),
        },
    );
    let message = sanitize_message(&text, secrets);
    if received.is_busy() || response.is_about_load() {
        return Error::new(
            ErrorKind::Server,
            format!("{host} cannot respond now: {message}"),
        )
        .with_server_message(message);
    }
    let refusal = response.refusal(host);
    let status = received.status.as_u16();
    let cause = refusal
        .cause()
        .filter(|_| matches!(status, 400 | 401 | 403));
    let meaning = response
        .meaning(&refusal)
        .filter(|_| matches!(status, 400 | 401));
    let error = match (cause, meaning) {
        (Some(cause), _) => rejected(ErrorKind::Rejected, host, &message)
            .with_remedy(refusal.remedy(cause))
            .with_refusal_cause(cause),
        (None, Some((kind, remedy))) => rejected(kind, host, &message).with_remedy(remedy),
        (None, None) => Error::new(
            ErrorKind::UnconfirmedRejection,
            format!("{host} responded with status {status}: {message}"),
        )
        .with_remedy(refusal.with_link(Remedy::of_unconfirmed_rejection())),
    };
    error.with_server_message(message)
}

fn rejected(kind: ErrorKind, host: &str, message: &str) -> Error {
    Error::new(kind, format!("{host} rejected the credential: {message}"))
}

impl OAuthError {
    /// Returns whether the server is overloaded or the caller sends too many requests.
    fn is_about_load(&self) -> bool {
        matches!(
            self.code.as_str(),
            "internal_failure"
                | "server_error"
                | "temporarily_unavailable"
                | "slow_down"
                | "rate_limit_exceeded"
                | "INTERNAL"
                | "UNAVAILABLE"
                | "RESOURCE_EXHAUSTED"
        )
    }

    fn refusal<'a>(&'a self, host: &'a str) -> Refusal<'a> {
        match &self.status {
            Some(status) => status.refusal(host),
            None => Refusal {
                host,
                names: vec![&self.code, &self.subtype],
                message: &self.description,
                ..Refusal::default()
            },
        }
    }

    /// Returns the kind and the remedy of a rejection, or `None` if the code does not concern the
    /// credential.
    fn meaning(&self, refusal: &Refusal<'_>) -> Option<(ErrorKind, Remedy)> {
        let of_kind = |kind: ErrorKind| (kind, Remedy::new(kind.default_remedy()));
        let meaning = match self.code.as_str() {
            "invalid_grant"
                if matches!(self.subtype.as_str(), "invalid_rapt" | "rapt_required") =>
            {
                of_kind(ErrorKind::ReauthenticationRequired)
            }
            // Google has no error code for this.
            "invalid_grant" if self.description.contains("reasonable timeframe") => (
                ErrorKind::ClockSkew,
                Remedy::new(
                    "The clock of this machine is wrong. Synchronize it with a time server.",
                )
                .command("timedatectl set-ntp true"),
            ),
            "invalid_scope" => of_kind(ErrorKind::InvalidScope),
            "invalid_grant" if is_about_grant(&self.description) => of_kind(ErrorKind::Rejected),
            "invalid_client" | "deleted_client" | "disabled_client" | "invalid_token" => {
                of_kind(ErrorKind::Rejected)
            }
            // RFC 6749 §5.2, RFC 8693 §2.2.2, and what Google adds to them. The code alone does not
            // say what is wrong.
            "invalid_grant"
            | "access_denied"
            | "invalid_request"
            | "invalid_target"
            | "unauthorized_client"
            | "unsupported_grant_type"
            | "INVALID_ARGUMENT" => (ErrorKind::Rejected, refusal.unknown()),
            _ => return None,
        };
        Some(meaning)
    }
}

/// Returns whether the description of an `invalid_grant` says that the grant is invalid, expired or
/// revoked, as the code does, and not that something else is wrong.
pub fn is_about_grant(description: &str) -> bool {
    let description = description.to_ascii_lowercase();
    let words = [
        "token",
        "expired",
        "revoked",
        "grant",
        "code",
        "jwt",
        "assertion",
        "signature",
    ];
    matches!(description.trim(), "" | "bad request" | "unauthorized")
        || words.iter().any(|word| description.contains(word))
}
