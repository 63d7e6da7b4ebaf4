//! The response to one request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use ee_credentials::{Credentials, ErrorKind};
use ee_token::internal::sanitize_message;
use ee_token::{Remedy, Scopes};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::form_urlencoded;

use super::Connections;
use crate::access::{AllowedUsers, Denial, FLAVOR, Peer, Processes, Purpose, check_headers};
use crate::deadline::Deadline;
use crate::id_tokens::IdTokens;
use crate::ledger::{Entry, Event, Ledger};
use crate::metadata::{self, Action, DEFAULT, Format, Found, Machine};
use crate::prefix::PathPrefix;
use crate::tokens::Tokens;

/// The broker's own page.
pub(crate) const STATUS_PATH: &str = "/broker/v1/status";

/// How long the machine's metadata server has for the number of the project.
const PROJECT_TIMEOUT: Duration = Duration::from_secs(2);

const TEXT: HeaderValue = HeaderValue::from_static("application/text");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) credentials: Credentials,
    pub(crate) tokens: Tokens,
    pub(crate) id_tokens: IdTokens,
    pub(crate) project: Option<String>,
    /// The number of the project, once the machine's metadata server was queried for it.
    pub(crate) project_number: OnceCell<Option<u64>>,
    /// The scopes of the tokens, if they are known.
    pub(crate) scopes: Option<Scopes>,
    pub(crate) users: AllowedUsers,
    pub(crate) prefix: PathPrefix,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) ledger: Ledger,
    pub(crate) processes: Processes,
    pub(crate) connections: Arc<Connections>,
    pub(crate) started_at: DateTime<Utc>,
}

impl Shared {
    fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline.has_passed())
    }
}

/// The parameters of a request.
#[derive(Debug, Default)]
struct Query {
    format: Format,
    scopes: Option<Scopes>,
    audience: Option<String>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "recursive" => parsed.format.is_recursive = value.eq_ignore_ascii_case("true"),
                "alt" => parsed.format.is_json = Some(value.eq_ignore_ascii_case("json")),
                "scopes" => {
                    let scopes = Scopes::from_untrusted([value]);
                    parsed.scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
                }
                "audience" => parsed.audience = Some(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }
}

pub(crate) async fn respond<B>(
    shared: &Shared,
    peer: &Peer,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (path, knows_prefix) = shared.prefix.strip(path);
    if let Err(denial) = check(shared, peer, request, knows_prefix) {
        return deny(shared, peer, denial).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = "Only GET is supported.\n".to_owned();
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, message);
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match path {
        "/" | "" => text(StatusCode::OK, TEXT, "computeMetadata/\n".to_owned()),
        "/computeMetadata" | "/computeMetadata/" => text(StatusCode::OK, TEXT, "v1/\n".to_owned()),
        STATUS_PATH => body(StatusCode::OK, JSON, status(shared).to_string().into()),
        _ => match path.strip_prefix(metadata::ROOT) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                value(shared, peer, rest, query).await
            }
            _ => not_found(),
        },
    }
}

fn check<B>(
    shared: &Shared,
    peer: &Peer,
    request: &Request<B>,
    knows_prefix: bool,
) -> Result<(), Denial> {
    check_headers(request.uri(), request.headers(), &peer.connection)?;
    shared.users.check(peer.user(), knows_prefix)?;
    match shared.is_expired() {
        true => Err(Denial::Expired),
        false => Ok(()),
    }
}

async fn deny(shared: &Shared, peer: &Peer, denial: Denial) -> Response<Full<Bytes>> {
    record(shared, peer, Event::Denied(denial)).await;
    let mut response = text(StatusCode::FORBIDDEN, PLAIN, format!("{denial}\n"));
    // Without the header, clients do not take the broker for a metadata server of theirs.
    response.headers_mut().remove(FLAVOR);
    response
}

async fn value(shared: &Shared, peer: &Peer, path: &str, query: Query) -> Response<Full<Bytes>> {
    let scopes = shared.scopes.as_ref();
    let machine = Machine {
        project: shared.project.as_deref(),
        project_number: project_number(shared, path, query.format).await,
        email: shared.credentials.principal().unwrap_or(DEFAULT),
        scopes: scopes.map_or_else(Vec::new, |scopes| scopes.iter().collect()),
    };
    match machine.find(path, query.format) {
        None => not_found(),
        Some(Found::Text(found)) => text(StatusCode::OK, TEXT, found),
        Some(Found::Json(found)) => body(StatusCode::OK, JSON, found.to_string().into()),
        Some(Found::Action(Action::Token)) => token(shared, peer, query.scopes).await,
        Some(Found::Action(Action::Identity)) => identity(shared, peer, query.audience).await,
    }
}

/// Returns the number of the project, if it was given as a number, or if it is the project of the
/// machine whose metadata server has the tokens. That server is queried only for a value that
/// contains the number.
async fn project_number(shared: &Shared, path: &str, format: Format) -> Option<u64> {
    let project = shared.project.as_deref()?;
    if let Ok(number) = project.parse() {
        return Some(number);
    }
    let contains_number = match path.trim_matches('/') {
        "" | "instance" => format.is_recursive,
        "project" | "project/numeric-project-id" | "instance/zone" => true,
        _ => false,
    };
    if !contains_number {
        return None;
    }
    let query = async {
        let credentials = &shared.credentials;
        if credentials.fetch_metadata_project().await?.as_deref() != Some(project) {
            return Ok(None);
        }
        credentials.fetch_metadata_project_number().await
    };
    let number = shared.project_number.get_or_try_init(|| query);
    let number = tokio::time::timeout(PROJECT_TIMEOUT, number).await;
    *number.ok()?.ok()?
}

async fn token(shared: &Shared, peer: &Peer, requested: Option<Scopes>) -> Response<Full<Bytes>> {
    let fetched = shared.tokens.serve().await;
    // The token may have been fetched for longer than the broker lives.
    if shared.is_expired() {
        return deny(shared, peer, Denial::Expired).await;
    }
    match fetched {
        Ok(served) => {
            let granted = served.token.scopes().or(shared.scopes.as_ref()).cloned();
            let event = Event::Token {
                requested,
                granted,
                expires_at: served.expires_at,
            };
            record(shared, peer, event).await;
            body(StatusCode::OK, JSON, served.body)
        }
        Err(error) => unavailable(shared, peer, &error.to_string(), error.remedy()).await,
    }
}

async fn identity(shared: &Shared, peer: &Peer, audience: Option<String>) -> Response<Full<Bytes>> {
    let Some(audience) = audience.filter(|audience| !audience.trim().is_empty()) else {
        let message = "non-empty audience parameter required\n".to_owned();
        return text(StatusCode::BAD_REQUEST, PLAIN, message);
    };
    let fetched = shared.id_tokens.get(&shared.credentials, &audience).await;
    if shared.is_expired() {
        return deny(shared, peer, Denial::Expired).await;
    }
    match fetched {
        Ok(token) => {
            record(shared, peer, Event::IdToken { audience }).await;
            body(StatusCode::OK, TEXT, token)
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let reason = sanitize_message(&error.to_string(), &[]);
            record(shared, peer, Event::Failed(reason.clone())).await;
            let message = format!("{reason}\nhint: {}\n", error.remedy().text);
            text(StatusCode::NOT_FOUND, PLAIN, message)
        }
        Err(error) => unavailable(shared, peer, &error.to_string(), error.remedy()).await,
    }
}

/// The response if there is no token now. Clients ask again, and the error may have gone away.
async fn unavailable(
    shared: &Shared,
    peer: &Peer,
    error: &str,
    remedy: &Remedy,
) -> Response<Full<Bytes>> {
    let reason = sanitize_message(error, &[]);
    record(shared, peer, Event::Failed(reason.clone())).await;
    let remedy = sanitize_message(&remedy.to_string(), &[]);
    let message = format!("No token: {reason}\nhint: {remedy}\n");
    text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, message)
}

async fn record(shared: &Shared, peer: &Peer, event: Event) {
    // Processes of other users cannot be found, and they must not cause a search.
    let is_foreign = matches!(
        event,
        Event::Denied(Denial::OtherUser(_) | Denial::UnknownUser)
    );
    let purpose = match shared.ledger.has_file() {
        true => Purpose::File,
        false => Purpose::Status,
    };
    let process = match is_foreign {
        true => None,
        false => peer.process(&shared.processes, purpose).await,
    };
    let uid = peer.user().uid();
    let entry = Entry {
        event,
        uid,
        process,
    };
    shared.ledger.record(entry).await;
}

fn status(shared: &Shared) -> Value {
    use std::sync::atomic::Ordering::Relaxed;
    let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let counts = &shared.ledger.counts;
    let scopes = shared.scopes.as_ref();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started_at": time(shared.started_at),
        "expires_at": shared.deadline.map(|deadline| time(deadline.time())),
        "credential": {
            "kind": shared.credentials.kind().as_str(),
            "principal": shared.credentials.principal(),
        },
        "project": shared.project,
        "scopes": scopes.map(|scopes| scopes.iter().collect::<Vec<_>>()),
        "token_expires_at": shared.tokens.expires_at().map(time),
        "tokens": counts.tokens.load(Relaxed),
        "id_tokens": counts.id_tokens.load(Relaxed),
        "failed": counts.failed.load(Relaxed),
        "denied": counts.denied.load(Relaxed),
        "ledger_entries_lost": counts.lost.load(Relaxed),
        "connections": shared.connections.count(),
        "recent": shared.ledger.recent(),
    })
}

fn not_found() -> Response<Full<Bytes>> {
    let page = "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)</title>\n<p>The requested URL was not found on this server.\n";
    text(StatusCode::NOT_FOUND, HTML, page.to_owned())
}

fn text(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    body(status, kind, text.into())
}

fn body(status: StatusCode, kind: HeaderValue, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(FLAVOR, HeaderValue::from_static("Google"));
    headers.insert(SERVER, HeaderValue::from_static("ee-broker"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
