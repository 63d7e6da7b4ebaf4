//! The error responses of token endpoints (RFC 6749 §5.2 and Google's extensions).

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::secret::sanitize::sanitize_message;
use crate::secret::wipe::zeroize_json;
use crate::transport::exchange::{ReceivedResponse, try_again};
use crate::{Error, ErrorKind, Remedy};

/// An error response. Wiped, because a server may echo the request.
pub(crate) struct OAuthError {
    code: Zeroizing<String>,
    description: Zeroizing<String>,
    subtype: Zeroizing<String>,
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
        let inner = |name: &str| {
            response
                .error
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let code = match &response.error {
            Value::String(code) => Some(code.clone()),
            Value::Object(_) => Some(inner("status").unwrap_or_default()),
            _ => None,
        };
        let message = inner("message");
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
        })
    }
}

/// Returns the error for a response whose status is not 200. `secrets` were sent in the request and
/// are redacted.
///
/// Only an error code that concerns the credential rejects it, and only with the status that belongs
/// to the code. Any other response may come from a proxy, a filter or a gateway, or have an unknown
/// meaning, and is transient.
pub(crate) fn classify(received: &ReceivedResponse, host: &str, secrets: &[&str]) -> Error {
    let Some(response) = OAuthError::parse(&received.body) else {
        return received.unexplained(host);
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
        .with_remedy(try_again());
    }
    let rejects = matches!(
        received.status,
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED
    );
    match response.meaning().filter(|_| rejects) {
        Some((kind, remedy)) => {
            Error::new(kind, format!("{host} rejected the credential: {message}"))
                .with_remedy(remedy)
        }
        None => Error::new(
            ErrorKind::UnconfirmedRejection,
            format!(
                "{host} responded with status {}: {message}",
                received.status.as_u16()
            ),
        )
        .with_remedy(Remedy::of_unconfirmed_rejection()),
    }
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

    /// Returns the kind and the remedy of a rejection, or `None` if the code does not concern the
    /// credential.
    fn meaning(&self) -> Option<(ErrorKind, Remedy)> {
        let meaning = match self.code.as_str() {
            "invalid_grant" if matches!(self.subtype.as_str(), "invalid_rapt" | "rapt_required") => (
                ErrorKind::ReauthenticationRequired,
                Remedy::new("Your organization requires a new login from time to time: log in again."),
            ),
            // Google has no error code for this.
            "invalid_grant" if self.description.contains("reasonable timeframe") => (
                ErrorKind::ClockSkew,
                Remedy::new("The clock of this machine is wrong. Synchronize it with a time server.")
                    .command("timedatectl set-ntp true"),
            ),
            "invalid_scope" => (
                ErrorKind::InvalidScope,
                Remedy::new("Request scopes that were granted, or log in again with the scopes that you need."),
            ),
            "unauthorized_client" => (
                ErrorKind::Rejected,
                Remedy::new("A service account that acts for a person needs domain-wide delegation for exactly these scopes: ask the domain's administrator.")
                    .url("https://admin.google.com/ac/owl/domainwidedelegation"),
            ),
            // RFC 6749 §5.2, RFC 8693 §2.2.2, and what Google adds to them.
            "invalid_grant" | "invalid_client" | "deleted_client" | "disabled_client"
            | "access_denied" | "account_disabled" | "admin_policy_enforced" | "invalid_request"
            | "invalid_target" | "invalid_token" | "org_internal" | "unsupported_grant_type"
            | "INVALID_ARGUMENT" => (
                ErrorKind::Rejected,
                Remedy::new("Log in again, or create a new credential."),
            ),
            _ => return None,
        };
        Some(meaning)
    }
}
