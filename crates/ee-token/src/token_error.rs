//! What a token endpoint's refusal means (RFC 6749 §5.2, and what Google adds to it).

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Remedy, said, wipe};

/// The reply's own words, which may be what it was sent.
pub(crate) struct OAuthError {
    code: Zeroizing<String>,
    description: Zeroizing<String>,
    subtype: Zeroizing<String>,
}

impl OAuthError {
    /// Reads `{"error": "code", …}`, and the form that Google's newer services use,
    /// `{"error": {"status": …, "message": …}}`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Reply {
            error: Value,
            error_description: Option<String>,
            error_subtype: Option<String>,
        }
        let mut reply: Reply = serde_json::from_slice(body).ok()?;
        let inner = |name: &str| {
            reply
                .error
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let code = match &reply.error {
            Value::String(code) => Some(code.clone()),
            Value::Object(_) => Some(inner("status").unwrap_or_default()),
            _ => None,
        };
        let message = inner("message");
        wipe(&mut reply.error);
        let [code, description, subtype] = [
            code,
            Some(reply.error_description.or(message).unwrap_or_default()),
            Some(reply.error_subtype.unwrap_or_default()),
        ]
        .map(|text| text.map(Zeroizing::new));
        Some(Self {
            code: code?,
            description: description?,
            subtype: subtype?,
        })
    }
}

/// The error for a reply that is not 200. `secrets` are what was sent, and must not come back.
pub(crate) fn classify(
    status: StatusCode,
    reply: Option<&OAuthError>,
    host: &str,
    secrets: &[&str],
) -> Error {
    let busy = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    let Some(reply) = reply else {
        let kind = if busy {
            ErrorKind::Server
        } else {
            ErrorKind::InvalidResponse
        };
        let remedy = if busy {
            Remedy::new("Try again in a moment.")
        } else {
            Remedy::of_foreign_answer()
        };
        return Error::new(
            kind,
            format!(
                "{host} answered with status {} and no explanation",
                status.as_u16()
            ),
        )
        .with_remedy(remedy);
    };
    let words = Zeroizing::new(match (reply.code.as_str(), reply.description.as_str()) {
        (code, "") => code.to_owned(),
        ("", description) => description.to_owned(),
        (code, description) => [code, ": ", description].concat(),
    });
    let said = said(&words, secrets);
    let (kind, remedy) = meaning(reply, busy);
    let verb = if kind.is_transient() {
        "cannot answer now"
    } else {
        "refused the credential"
    };
    let error = Error::new(kind, format!("{host} {verb}: {said}"));
    match remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

fn meaning(reply: &OAuthError, busy: bool) -> (ErrorKind, Option<Remedy>) {
    let code = reply.code.as_str();
    if busy
        || matches!(
            code,
            "internal_failure" | "temporarily_unavailable" | "UNAVAILABLE"
        )
    {
        return (
            ErrorKind::Server,
            Some(Remedy::new("Try again in a moment.")),
        );
    }
    match code {
        "invalid_grant" if matches!(reply.subtype.as_str(), "invalid_rapt" | "rapt_required") => (
            ErrorKind::ReauthenticationRequired,
            Some(Remedy::new("Your organisation asks for a new login from time to time: log in again.")),
        ),
        // The sentence is the only sign: there is no code of its own for it.
        "invalid_grant" if reply.description.contains("reasonable timeframe") => (
            ErrorKind::ClockSkew,
            Some(Remedy::new("This machine's clock is off: set it by the network's time.")
                .command("timedatectl set-ntp true")),
        ),
        "invalid_scope" => (
            ErrorKind::InvalidScope,
            Some(Remedy::new("Ask for scopes that were granted, or log in again with those that you need.")),
        ),
        "unauthorized_client" => (
            ErrorKind::Rejected,
            Some(Remedy::new("A service account that acts for a person needs domain-wide delegation for exactly these scopes: ask the domain's administrator.")
                .url("https://admin.google.com/ac/owl/domainwidedelegation")),
        ),
        _ => (ErrorKind::Rejected, None),
    }
}
