//! A server in place of all hosts whose responses are malformed and repeat the request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_emulator::GoogleError;
use ee_test_support::canaries::Canaries;
use ee_test_support::faulty_server::FaultyServer;
use ee_test_support::http::{Request, response};
use ee_test_support::success::{is_subject_token_source, success};
use serde_json::{Value, json};
use url::form_urlencoded;

/// A malformed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    InvalidGrant,
    InvalidScope,
    InvalidRapt,
    ClockSkew,
    EchoAsCode,
    /// An error of Earth Engine, with the request after its message.
    GoogleError(GoogleError),
    Google(u16),
    Html(u16),
    PlainText,
    Redirect,
    Headers,
    CutBody,
    CutJson,
    WrongTypes,
    NoFields,
    OddFields,
    LineEnd,
    NoHttp,
    /// The expected response, with the request in all fields but the scopes, which are shown
    /// unchanged.
    Echo,
    /// A long-running operation with this state.
    Operation(&'static str),
    Silence,
}

pub(crate) const FAULTS: [Fault; 25] = [
    Fault::InvalidGrant,
    Fault::InvalidScope,
    Fault::InvalidRapt,
    Fault::ClockSkew,
    Fault::EchoAsCode,
    Fault::Google(400),
    Fault::Google(401),
    Fault::Google(403),
    Fault::Google(404),
    Fault::Google(429),
    Fault::Google(500),
    Fault::Html(200),
    Fault::Html(403),
    Fault::Html(502),
    Fault::PlainText,
    Fault::Redirect,
    Fault::Headers,
    Fault::CutBody,
    Fault::CutJson,
    Fault::WrongTypes,
    Fault::NoFields,
    Fault::OddFields,
    Fault::LineEnd,
    Fault::NoHttp,
    Fault::Echo,
];

/// The hosts whose responses are malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultyHosts {
    /// All hosts.
    Everywhere,
    /// The token exchange, but not the source of subject tokens.
    Exchange,
    /// The hosts after the first: IAM Credentials, tokeninfo, the API.
    Behind,
    /// The API only.
    Api,
}

impl FaultyHosts {
    fn includes(self, path: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Exchange => !is_subject_token_source(path),
            Self::Behind => {
                is_api(path) || path.contains("iamcredentials") || path.contains("tokeninfo")
            }
            Self::Api => is_api(path),
        }
    }
}

pub(crate) struct HostileServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _server: FaultyServer,
}

struct State {
    fault: Fault,
    name: String,
    seen: Mutex<Seen>,
}

/// The received and the generated secrets.
#[derive(Default)]
struct Seen {
    canaries: Canaries,
    generated: BTreeMap<&'static str, String>,
}

impl HostileServer {
    pub(crate) async fn start(name: &str, fault: Fault, hosts: FaultyHosts) -> Self {
        let state = Arc::new(State {
            fault,
            name: name.to_owned(),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server = FaultyServer::responding(move |request| {
            shared.record(request);
            match (hosts.includes(request.path()), fault) {
                (true, Fault::Silence) => None,
                (true, _) => Some(shared.malformed(request)),
                (false, _) => Some(success(request.path(), |name| shared.generate(name))),
            }
        })
        .await;
        Self {
            address: server.address(),
            state,
            _server: server,
        }
    }

    /// Returns the secrets that it received and generated.
    pub(crate) fn canaries(&self) -> Canaries {
        self.state.seen.lock().unwrap().canaries.clone()
    }
}

/// Returns the secrets in a request, by field.
fn secrets(request: &Request) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    let form = request
        .header("content-type")
        .is_some_and(|of| of.contains("form"));
    if form {
        for (name, value) in form_urlencoded::parse(&request.body) {
            let is_secret = [
                "assertion",
                "refresh_token",
                "client_secret",
                "code",
                "code_verifier",
                "subject_token",
                "WebIdentityToken",
                "token",
                "access_token",
            ];
            if is_secret.contains(&&*name) && value != crate::PUBLIC_CLIENT_SECRET {
                secrets.push((name.into_owned(), value.into_owned()));
            }
        }
    } else if let Ok(Value::Object(fields)) = serde_json::from_str(&request.text()) {
        for name in ["subject_token", "client_verifier"] {
            if let Some(value) = fields.get(name).and_then(Value::as_str) {
                secrets.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    for name in [
        "authorization",
        "x-goog-api-key",
        "x-aws-ec2-metadata-token",
        "x-url-secret",
    ] {
        if let Some(value) = request.header(name) {
            let value = value
                .trim_start_matches("Bearer ")
                .trim_start_matches("Basic ");
            secrets.push((name.to_owned(), value.to_owned()));
        }
    }
    secrets
}

impl State {
    /// Adds the secrets of a request, which may have been generated by the client.
    fn record(&self, request: &Request) {
        let mut seen = self.seen.lock().unwrap();
        for (field, value) in secrets(request) {
            let name = format!("{}: {field} of a request", self.name);
            if matches!(field.as_str(), "code_verifier" | "client_verifier") && value.len() >= 24 {
                seen.canaries.add(name, &value);
            } else if let Some((_, signature)) = value.split_once("Signature%3D") {
                // The signature of AWS's request; the rest is not secret.
                seen.canaries.add(name, &signature[..64]);
            } else if value.starts_with("eyJ") {
                seen.canaries.add_jwt(&name, &value);
            } else if field == "authorization" && value.len() >= 24 {
                // The ID in `id:secret` is not secret.
                let clear = STANDARD
                    .decode(&value)
                    .ok()
                    .and_then(|b| String::from_utf8(b).ok());
                match clear.as_deref().and_then(|pair| pair.rsplit_once(':')) {
                    Some((_, secret)) => seen.canaries.add(name, secret),
                    None => seen.canaries.add(name, value.trim_start_matches("ya29.")),
                }
            }
        }
    }

    /// Returns the generated secret of this name. Access tokens have Google's prefix.
    fn generate(&self, what: &'static str) -> String {
        let mut seen = self.seen.lock().unwrap();
        let Seen {
            canaries,
            generated,
            ..
        } = &mut *seen;
        let secret = generated.entry(what).or_insert_with(|| {
            let start = if what.starts_with("an access token") {
                "ya29."
            } else {
                ""
            };
            canaries.plant_word(format!("{}: {what}", self.name), start)
        });
        secret.clone()
    }

    /// Returns everything in the request, as messages quote it: unchanged, by field, in part; and a
    /// secret of the server.
    fn echo(&self, request: &Request) -> String {
        let mut texts = vec![
            format!("cannot use {}", request.text()),
            format!("sent to {}", request.path()),
        ];
        for (name, value) in secrets(request) {
            let (half, end) = (value.len() / 2, value.len().saturating_sub(30));
            texts.push(format!("{name}={value}"));
            if value.is_ascii() && value.len() > 40 {
                texts.push(format!(
                    "begins with '{}...', ends with ...{}",
                    &value[..half],
                    &value[end..]
                ));
            }
            texts.push(
                serde_json::Value::from(value)
                    .to_string()
                    .replace('/', "\\/"),
            );
        }
        for (name, value) in request.headers() {
            texts.push(format!("{name}: {value}"));
        }
        texts.push(format!(
            "and {}",
            self.generate("an access token in a message")
        ));
        texts.join("; ")
    }

    fn malformed(&self, request: &Request) -> Vec<u8> {
        let echo = self.echo(request);
        let plain = echo.replace(['\r', '\n'], " ");
        let json_type = "Content-Type: application/json\r\nMetadata-Flavor: Google\r\n";
        let json =
            |status: &str, body: Value| response(status, json_type, body.to_string().as_bytes());
        let token = self.generate("an access token in a malformed response");
        match self.fault {
            Fault::InvalidGrant => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_description": echo}),
            ),
            Fault::InvalidScope => json(
                "400 Bad Request",
                json!({"error": "invalid_scope", "error_description": echo}),
            ),
            Fault::InvalidRapt => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_subtype": "invalid_rapt", "error_description": echo}),
            ),
            Fault::ClockSkew => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_description":
                    format!("Invalid JWT: Token must be in a reasonable timeframe: {echo}")}),
            ),
            Fault::GoogleError(error) => {
                let body = error.body("ee-demo-project");
                let status = format!("{} No", error.status());
                match serde_json::from_str::<Value>(&body) {
                    Ok(mut body) => {
                        let message = &mut body["error"]["message"];
                        *message = format!("{} {echo}", message.as_str().unwrap()).into();
                        json(&status, body)
                    }
                    Err(_) => {
                        let page = format!("{body}<p>{echo}");
                        response(&status, "Content-Type: text/html\r\n", page.as_bytes())
                    }
                }
            }
            Fault::EchoAsCode => json(
                "401 Unauthorized",
                json!({"error": echo, "error_subtype": echo, "error_uri": echo}),
            ),
            Fault::Google(status) => {
                let name = match status {
                    400 => "FAILED_PRECONDITION",
                    401 => "UNAUTHENTICATED",
                    403 => "PERMISSION_DENIED",
                    404 => "NOT_FOUND",
                    429 => "RESOURCE_EXHAUSTED",
                    _ => "INTERNAL",
                };
                let body = json!({"error": {"code": status, "status": name, "message": echo, "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": echo, "domain": echo,
                     "metadata": {"echo": echo, "service": echo, "consumer": echo, echo.as_str(): "x"}},
                    {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": echo, "url": echo}]},
                    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"subject": echo, "description": echo}]},
                ]}});
                json(&format!("{status} No"), body)
            }
            Fault::Html(status) => response(
                &format!("{status} Page"),
                "Content-Type: text/html\r\n",
                format!("<html><title>{echo}</title><p>{echo}</html>").as_bytes(),
            ),
            Fault::PlainText => response(
                "400 Bad Request",
                "Content-Type: text/plain\r\n",
                echo.as_bytes(),
            ),
            Fault::Redirect => response(
                "302 Found",
                &format!(
                    "Location: https://elsewhere.example/?all={}\r\n",
                    form_urlencoded::byte_serialize(echo.as_bytes()).collect::<String>()
                ),
                b"",
            ),
            Fault::Headers => {
                let headers = format!(
                    "WWW-Authenticate: Bearer error=\"{0}\"\r\nX-Echo: {0}\r\nDate: {0}\r\nRetry-After: {0}\r\nX-Earth-Engine-Init-Message: {0}\r\nX-Earth-Engine-Restricted-Quota-Status: {0}\r\nX-Earth-Engine-Computation-Profile: {0}\r\nSet-Cookie: a={0}\r\n{json_type}",
                    plain
                );
                response("401 Unauthorized", &headers, b"{}")
            }
            Fault::CutBody => {
                let body = json!({"access_token": token, "accessToken": token, "expires_in": 3599})
                    .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\n{json_type}Content-Length: 5000\r\nConnection: close\r\n\r\n{body}"
                );
                head.into_bytes()
            }
            Fault::CutJson => response(
                "200 OK",
                json_type,
                format!("{{\"access_token\": \"{token}\", \"accessToken\": \"{token}\", \"expi")
                    .as_bytes(),
            ),
            Fault::WrongTypes => json(
                "200 OK",
                json!({"access_token": {"a": token}, "accessToken": [token], "expires_in": token, "token_type": {"b": echo}, "scope": [echo], "refresh_token": [token], "error": [echo]}),
            ),
            Fault::NoFields => json(
                "200 OK",
                json!({token.as_str(): echo, "registrationState": echo, "state": echo}),
            ),
            Fault::OddFields => json(
                "200 OK",
                json!({"access_token": token, "accessToken": token, "expires_in": token, "expireTime": echo, "token_type": token, "client_id": {"a": token}, "client_secret": [token]}),
            ),
            Fault::LineEnd => json(
                "200 OK",
                json!({"access_token": format!("{token}\r\nX-Evil: {token}"), "accessToken": format!("{token}\n"), "expires_in": 3599, "token_type": "Bearer", "expireTime": "2099-01-01T00:00:00Z"}),
            ),
            Fault::NoHttp => echo.into_bytes(),
            Fault::Echo => json(
                "200 OK",
                json!({"access_token": token, "accessToken": token, "expires_in": 3599,
                    "token_type": "Bearer", "expireTime": "2099-01-01T01:00:00Z",
                    "issued_token_type": echo, "email": echo, "sub": echo,
                    "azp": echo, "aud": echo, "client_id": "1-a", "refresh_token": self.generate("a refresh token"),
                    "registrationState": echo, "name": echo, "id": echo, "type": echo, "state": echo,
                    "projects": [{"projectId": echo, "name": echo, "state": echo, "displayName": echo},
                        {"projectId": "ee-demo-project", "name": "projects/1", "displayName": echo},
                        {"projectId": echo, "name": echo}],
                    "done": true, "metadata": {"description": echo, "state": "SUCCEEDED", "type": echo},
                    "result": echo, "algorithms": [{"name": echo}], "nextPageToken": echo}),
            ),
            Fault::Operation(state) => json(
                "200 OK",
                json!({"name": "projects/ee-demo-project/operations/AN-EXPORT", "done": true,
                    "metadata": {"state": state, "description": "an export"},
                    "error": {"code": 3, "message": echo}}),
            ),
            Fault::Silence => Vec::new(),
        }
    }
}

fn is_api(path: &str) -> bool {
    ["/earthengine", "/cloudresourcemanager", "/serviceusage"]
        .iter()
        .any(|host| path.starts_with(host))
}
