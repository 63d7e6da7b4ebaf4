//! The metadata server of a virtual machine (`metadata.google.internal`, `169.254.169.254`).

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderName;
use serde_json::json;

use super::oauth2::seconds_left;
use crate::request::Request;
use crate::response::{Outcome, Response};
use crate::state::{IssuedTo, Machine, Shared, State, Token};

/// The remaining lifetime at which a token is replaced.
const REFRESH_MARGIN: TimeDelta = TimeDelta::minutes(5);

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// Handles a request. The connection is closed if the server is not enabled, because it does not
/// exist outside of Google Cloud.
pub(super) fn handle(shared: &Shared, request: &Request) -> Outcome {
    let mut state = shared.state();
    let Some(machine) = state.metadata.clone() else {
        return Outcome::Close;
    };
    if machine.ready_at.is_some_and(|at| Instant::now() < at) {
        return Outcome::Close;
    }
    let response = if request.method != http::Method::GET {
        Response::html(405, "Method not allowed\n")
    } else if request.path != "/" && request.header("metadata-flavor") != Some("Google") {
        Response::html(
            403,
            "Missing Metadata-Flavor:Google header. Your client does not have permission to get \
             this URL from this server.\n",
        )
    } else if request.headers.contains_key("x-forwarded-for") {
        // Forwarded requests do not come from the machine itself.
        Response::html(403, "Requests with X-Forwarded-For are not served.\n")
    } else {
        look_up(&mut state, &machine, request, shared.clock.now())
    };
    response
        .with(FLAVOR, "Google")
        .with(http::header::SERVER, "Metadata Server for VM")
        .into()
}

fn look_up(
    state: &mut State,
    machine: &Machine,
    request: &Request,
    now: DateTime<Utc>,
) -> Response {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let rest = match segments.as_slice() {
        [] => return Response::new(200, "application/text", "computeMetadata/\n"),
        ["computeMetadata"] => return Response::new(200, "application/text", "v1/\n"),
        ["computeMetadata", "v1"] => {
            return Response::new(200, "application/text", "instance/\nproject/\nuniverse/\n");
        }
        ["computeMetadata", "v1", rest @ ..] => rest,
        _ => return not_found(),
    };
    let text = |text: &str| Response::new(200, "application/text", text.to_owned());
    match rest {
        ["project", "project-id"] => text(&machine.project),
        ["project", "numeric-project-id"] => match state.project(&machine.project) {
            Some(project) => text(&project.number.to_string()),
            None => not_found(),
        },
        ["universe", "universe-domain"] => text("googleapis.com"),
        ["instance", "service-accounts"] => {
            let others: String = machine.accounts.keys().map(|e| format!("{e}/\n")).collect();
            text(&format!("default/\n{}/\n{others}", machine.email))
        }
        ["instance", "service-accounts", name, field @ ..] => match account(machine, name) {
            Some(account) => service_account(state, machine, &account, field, request, now),
            None => not_found(),
        },
        _ => not_found(),
    }
}

/// One of the machine's service accounts.
struct Account<'a> {
    email: &'a str,
    scopes: &'a [String],
    alias: &'static str,
}

fn account<'a>(machine: &'a Machine, name: &str) -> Option<Account<'a>> {
    if name == "default" || name == machine.email {
        return Some(Account {
            email: &machine.email,
            scopes: &machine.scopes,
            alias: "default\n",
        });
    }
    let (email, scopes) = machine.accounts.get_key_value(name)?;
    Some(Account {
        email,
        scopes,
        alias: "",
    })
}

fn service_account(
    state: &mut State,
    machine: &Machine,
    account: &Account<'_>,
    field: &[&str],
    request: &Request,
    now: DateTime<Utc>,
) -> Response {
    let recursive = request
        .query("recursive")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let text = |text: String| Response::new(200, "application/text", text);
    match field {
        _ if recursive && !machine.supports_recursive => not_found(),
        [] if recursive => Response::new(
            200,
            "application/json",
            json!({
                "aliases": account.alias.split_whitespace().collect::<Vec<_>>(),
                "email": account.email,
                "scopes": account.scopes,
            })
            .to_string(),
        ),
        [] => text("aliases\nemail\nidentity\nscopes\ntoken\n".to_owned()),
        ["email"] => text(account.email.to_owned()),
        ["aliases"] => text(account.alias.to_owned()),
        ["scopes"] => text(
            account
                .scopes
                .iter()
                .map(|scope| format!("{scope}\n"))
                .collect(),
        ),
        ["token"] => {
            let requested = request.query("scopes").filter(|_| machine.honors_scopes);
            let scopes = match requested.filter(|scopes| !scopes.is_empty()) {
                Some(scopes) => scopes.split(',').map(str::to_owned).collect(),
                None => account.scopes.to_vec(),
            };
            token(state, machine, account, scopes, now)
        }
        _ => not_found(),
    }
}

/// Returns the account's cached token for these scopes, or a new one shortly before it expires.
fn token(
    state: &mut State,
    machine: &Machine,
    account: &Account<'_>,
    scopes: Vec<String>,
    now: DateTime<Utc>,
) -> Response {
    let key = (account.email.to_owned(), scopes.clone());
    let current = machine.tokens.get(&key).and_then(|secret| {
        let token = state.valid_token(secret, now).ok()?;
        // A margin proportional to short lifetimes, or no token would be reused.
        let margin = REFRESH_MARGIN.min(TimeDelta::from_std(state.token_lifetime / 4).ok()?);
        (token.expires_at - now > margin).then(|| (secret.clone(), token.expires_at))
    });
    let (secret, expires_at) = current.unwrap_or_else(|| {
        let expires_at = state.expiry(now);
        let secret = state.issue(Token {
            email: account.email.to_owned(),
            scopes,
            expires_at,
            revoked: false,
            issued_to: IssuedTo::ServiceAccount {
                project: machine.project.clone(),
            },
        });
        if let Some(machine) = &mut state.metadata {
            machine.tokens.insert(key, secret.clone());
        }
        (secret, expires_at)
    });
    Response::new(
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

fn not_found() -> Response {
    Response::html(404, "The requested URL was not found on this server.\n")
}
