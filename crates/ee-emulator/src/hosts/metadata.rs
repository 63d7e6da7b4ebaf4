//! The metadata server of a virtual machine (`metadata.google.internal`, `169.254.169.254`).

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderName;
use serde_json::json;

use super::oauth2::seconds_left;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::server::Shared;
use crate::state::{IssuedTo, Machine, State, Token};

/// The token's age at which a new one is made: this long before its end.
const BEFORE_END: TimeDelta = TimeDelta::minutes(5);

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// Outside of Google's cloud nobody answers at this address, so that the connection is closed
/// while the server is turned off.
pub(super) fn answer(shared: &Shared, request: &Request) -> Outcome {
    let mut state = shared.state();
    let Some(machine) = state.metadata.clone() else {
        return Outcome::Cut;
    };
    let reply = if request.method != http::Method::GET {
        Reply::html(405, "Method not allowed\n")
    } else if request.path != "/" && request.header("metadata-flavor") != Some("Google") {
        Reply::html(
            403,
            "Missing Metadata-Flavor:Google header. Your client does not have permission to get \
             this URL from this server.\n",
        )
    } else if request.headers.contains_key("x-forwarded-for") {
        // What came through a proxy was not sent by the machine itself.
        Reply::html(403, "Requests with X-Forwarded-For are not served.\n")
    } else {
        look_up(&mut state, &machine, request, shared.clock.now())
    };
    reply
        .with(FLAVOR, "Google")
        .with(http::header::SERVER, "Metadata Server for VM")
        .into()
}

fn look_up(state: &mut State, machine: &Machine, request: &Request, now: DateTime<Utc>) -> Reply {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let rest = match segments.as_slice() {
        [] => return Reply::new(200, "application/text", "computeMetadata/\n"),
        ["computeMetadata"] => return Reply::new(200, "application/text", "v1/\n"),
        ["computeMetadata", "v1"] => {
            return Reply::new(200, "application/text", "instance/\nproject/\nuniverse/\n");
        }
        ["computeMetadata", "v1", rest @ ..] => rest,
        _ => return not_found(),
    };
    let text = |text: &str| Reply::new(200, "application/text", text.to_owned());
    match rest {
        ["project", "project-id"] => text(&machine.project),
        ["project", "numeric-project-id"] => match state.project(&machine.project) {
            Some(project) => text(&project.number.to_string()),
            None => not_found(),
        },
        ["universe", "universe-domain"] => text("googleapis.com"),
        ["instance", "service-accounts"] => text(&format!("default/\n{}/\n", machine.email)),
        ["instance", "service-accounts", account, field @ ..]
            if *account == "default" || *account == machine.email =>
        {
            service_account(state, machine, field, request, now)
        }
        _ => not_found(),
    }
}

fn service_account(
    state: &mut State,
    machine: &Machine,
    field: &[&str],
    request: &Request,
    now: DateTime<Utc>,
) -> Reply {
    let recursive = request
        .query("recursive")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let text = |text: String| Reply::new(200, "application/text", text);
    match field {
        [] if recursive => Reply::new(
            200,
            "application/json",
            json!({
                "aliases": ["default"],
                "email": machine.email,
                "scopes": machine.scopes,
            })
            .to_string(),
        ),
        [] => text("aliases\nemail\nidentity\nscopes\ntoken\n".to_owned()),
        ["email"] => text(machine.email.clone()),
        ["aliases"] => text("default\n".to_owned()),
        ["scopes"] => text(
            machine
                .scopes
                .iter()
                .map(|scope| format!("{scope}\n"))
                .collect(),
        ),
        ["token"] => token(state, machine, now),
        _ => not_found(),
    }
}

/// Like Compute Engine, whatever scopes are asked for, this hands out the machine's.
fn token(state: &mut State, machine: &Machine, now: DateTime<Utc>) -> Reply {
    let current = machine.token.as_ref().and_then(|secret| {
        let token = state.valid_token(secret, now).ok()?;
        // A life that is short as a whole must not make every token a new one.
        let margin = BEFORE_END.min(TimeDelta::from_std(state.token_lifetime / 4).ok()?);
        (token.expires_at - now > margin).then(|| (secret.clone(), token.expires_at))
    });
    let (secret, expires_at) = current.unwrap_or_else(|| {
        let expires_at = state.expiry(now);
        let secret = state.issue(Token {
            email: machine.email.clone(),
            scopes: machine.scopes.clone(),
            expires_at,
            revoked: false,
            issued_to: IssuedTo::ServiceAccount {
                project: machine.project.clone(),
            },
        });
        if let Some(machine) = &mut state.metadata {
            machine.token = Some(secret.clone());
        }
        (secret, expires_at)
    });
    Reply::new(
        200,
        "application/json",
        json!({
            "access_token": secret,
            "expires_in": seconds_left(expires_at, now),
            "token_type": "Bearer",
        })
        .to_string(),
    )
}

fn not_found() -> Reply {
    Reply::html(404, "The requested URL was not found on this server.\n")
}
