//! The metadata server of a virtual machine (`metadata.google.internal`, `169.254.169.254`).

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderName;
use serde_json::{Map, Value, json};

use super::id_token;
use super::oauth2::seconds_left;
use crate::request::Request;
use crate::response::{Outcome, Response};
use crate::state::{IssuedTo, Machine, Shared, State, Token};

/// The remaining lifetime at which a token is replaced.
const REFRESH_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// The name, number and zone of the virtual machine.
const NAME: &str = "emulated-vm";
const ID: u64 = 4_520_031_799_277_581_759;
const ZONE: &str = "us-central1-a";

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

/// Looks up a path in the tree of values. The last segments `token` and `identity` of a service
/// account are computed.
fn look_up(
    state: &mut State,
    machine: &Machine,
    request: &Request,
    now: DateTime<Utc>,
) -> Response {
    let recursive = is_true(request, "recursive");
    if recursive && !machine.supports_recursive {
        return not_found();
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let rest = match segments.as_slice() {
        [] => return text("computeMetadata/\n"),
        ["computeMetadata"] => return text("v1/\n"),
        ["computeMetadata", "v1", rest @ ..] => rest,
        _ => return not_found(),
    };
    if let [
        "instance",
        "service-accounts",
        name,
        field @ ("token" | "identity"),
    ] = rest
    {
        let Some(account) = account(machine, name) else {
            return not_found();
        };
        if *field == "identity" {
            return identity(state, machine, account.email, request, now);
        }
        let requested = request.query("scopes").filter(|_| machine.honors_scopes);
        let scopes = match requested.filter(|scopes| !scopes.is_empty()) {
            Some(scopes) => scopes.split(',').map(str::to_owned).collect(),
            None => account.scopes.to_vec(),
        };
        return token(state, machine, &account, scopes, now);
    }
    let tree = tree(state, machine);
    let found = rest.iter().try_fold(&tree, |value, segment| {
        value
            .get(camel_case(segment))
            .or_else(|| value.get(segment))
    });
    match found {
        None => not_found(),
        Some(value) if recursive || request.query("alt").as_deref() == Some("json") => {
            Response::new(200, "application/json", value.to_string())
        }
        Some(value) => {
            let is_account = matches!(rest, ["instance", "service-accounts", _]);
            text(&plain(value, is_account))
        }
    }
}

fn text(text: &str) -> Response {
    Response::new(200, "application/text", text.to_owned())
}

fn is_true(request: &Request, parameter: &str) -> bool {
    let value = request.query(parameter);
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Returns the values of the virtual machine, with the names of their JSON form.
fn tree(state: &State, machine: &Machine) -> Value {
    let number = state
        .project(&machine.project)
        .map(|project| project.number);
    let accounts: Map<String, Value> = ["default", &machine.email]
        .into_iter()
        .chain(machine.accounts.keys().map(String::as_str))
        .filter_map(|name| {
            let account = account(machine, name)?;
            let value = json!({
                "aliases": account.aliases,
                "email": account.email,
                "scopes": account.scopes,
            });
            Some((name.to_owned(), value))
        })
        .collect();
    let mut tree = json!({
        "instance": {
            "attributes": {},
            "hostname": format!("{NAME}.{ZONE}.c.{}.internal", machine.project),
            "id": ID,
            "name": NAME,
            "serviceAccounts": accounts,
        },
        "project": {"attributes": {}, "projectId": machine.project},
        "universe": {"universeDomain": "googleapis.com"},
    });
    if let Some(number) = number {
        tree["instance"]["zone"] = json!(format!("projects/{number}/zones/{ZONE}"));
        tree["project"]["numericProjectId"] = json!(number);
    }
    tree
}

/// Returns the text of a value: the entries of a directory, the lines of a list, or the value.
fn plain(value: &Value, is_account: bool) -> String {
    match value {
        Value::Object(entries) => {
            let mut names: Vec<String> = entries
                .iter()
                .map(|(name, value)| match value {
                    Value::Object(_) => format!("{}/\n", kebab_case(name)),
                    _ => format!("{}\n", kebab_case(name)),
                })
                .collect();
            if is_account {
                names.extend(["identity\n".to_owned(), "token\n".to_owned()]);
            }
            names.sort();
            names.concat()
        }
        Value::Array(lines) => lines
            .iter()
            .filter_map(|line| Some(format!("{}\n", line.as_str()?)))
            .collect(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the name in JSON of a path's segment: `project-id` is `projectId`.
fn camel_case(segment: &str) -> String {
    let mut words = segment.split('-');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// Returns the path's segment of a name in JSON. Email addresses are not changed.
fn kebab_case(name: &str) -> String {
    if name.contains('@') {
        return name.to_owned();
    }
    let mut segment = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            segment.push('-');
        }
        segment.push(letter.to_ascii_lowercase());
    }
    segment
}

/// One of the machine's service accounts.
struct Account<'a> {
    email: &'a str,
    scopes: &'a [String],
    aliases: &'static [&'static str],
}

fn account<'a>(machine: &'a Machine, name: &str) -> Option<Account<'a>> {
    if name == "default" || name == machine.email {
        return Some(Account {
            email: &machine.email,
            scopes: &machine.scopes,
            aliases: &["default"],
        });
    }
    let (email, scopes) = machine.accounts.get_key_value(name)?;
    Some(Account {
        email,
        scopes,
        aliases: &[],
    })
}

/// Returns an ID token of the service account.
fn identity(
    state: &State,
    machine: &Machine,
    email: &str,
    request: &Request,
    now: DateTime<Utc>,
) -> Response {
    let audience = request.query("audience").filter(|text| !text.is_empty());
    let Some(audience) = audience else {
        return Response::html(400, "non-empty audience parameter required\n");
    };
    let claims = match request.query("format").as_deref() {
        None | Some("" | "standard") => Map::new(),
        Some("full") => {
            let mut claims = id_token::email_claims(email);
            let number = state
                .project(&machine.project)
                .map(|project| project.number);
            claims.insert(
                "google".into(),
                json!({"compute_engine": {
                    "instance_id": ID.to_string(),
                    "instance_name": NAME,
                    "project_id": machine.project,
                    "project_number": number,
                    "zone": ZONE,
                }}),
            );
            claims
        }
        Some(_) => return Response::html(400, "format parameter must be standard or full\n"),
    };
    text(&id_token::issue(email, &audience, claims, now))
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
