//! A server in the place of all hosts that says whatever it was told, and more, in its answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_emulator::GoogleError;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::form_urlencoded;

use crate::canary::Canaries;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    InvalidGrant,
    InvalidScope,
    InvalidRapt,
    ClockSkew,
    EchoAsCode,
    /// A refusal of Earth Engine's, and the echo behind its sentence.
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
    /// What was asked for, with the echo in all other fields but the scopes, which are shown as
    /// they come.
    Echo,
    /// A long-running operation that came to this end.
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

/// Which of the hosts are hostile; the others answer as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Whoever is asked first.
    Everywhere,
    /// Those who are told a subject token, and not those who give it.
    Exchange,
    /// Those behind the first: impersonation, what a token is good for, the API.
    Behind,
    /// The API alone.
    Api,
}

pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    fault: Fault,
    place: Where,
    name: String,
    seen: Mutex<Seen>,
}

/// What the server was told, and what it made up.
#[derive(Default)]
struct Seen {
    canaries: Canaries,
    made_up: BTreeMap<&'static str, String>,
}

impl Hostile {
    pub(crate) async fn start(name: &str, fault: Fault, place: Where) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            fault,
            place,
            name: name.to_owned(),
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&serving)));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// The secrets that it was told and made up.
    pub(crate) fn canaries(&self) -> Canaries {
        self.state.seen.lock().unwrap().canaries.clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Request {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    while bytes.len() < end + length {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    Some(Request {
        path,
        headers,
        body,
    })
}

async fn converse(mut stream: TcpStream, state: Arc<State>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    state.learn(&request);
    let answer = if state.is_hostile(&request.path) {
        if state.fault == Fault::Silence {
            // Until the client gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
        state.lie(&request)
    } else {
        state.honest(&request.path)
    };
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

/// The secrets in a request, by the names of their fields.
fn secrets(request: &Request) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    let form = request
        .headers
        .get("content-type")
        .is_some_and(|of| of.contains("form"));
    if form {
        for (name, value) in form_urlencoded::parse(request.body.as_bytes()) {
            let is_secret = [
                "assertion",
                "refresh_token",
                "client_secret",
                "code",
                "code_verifier",
                "subject_token",
                "token",
                "access_token",
            ];
            if is_secret.contains(&&*name) && value != crate::PUBLIC_CLIENT_SECRET {
                secrets.push((name.into_owned(), value.into_owned()));
            }
        }
    } else if let Ok(Value::Object(fields)) = serde_json::from_str(&request.body) {
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
        if let Some(value) = request.headers.get(name) {
            let value = value
                .trim_start_matches("Bearer ")
                .trim_start_matches("Basic ");
            secrets.push((name.to_owned(), value.to_owned()));
        }
    }
    secrets
}

impl State {
    /// Remembers what a request tells, which may have been made up by the client.
    fn learn(&self, request: &Request) {
        let mut seen = self.seen.lock().unwrap();
        for (field, value) in secrets(request) {
            let name = format!("{}: what was sent as {field}", self.name);
            if matches!(field.as_str(), "code_verifier" | "client_verifier") && value.len() >= 24 {
                seen.canaries.add(name, &value);
            } else if let Some((_, signature)) = value.split_once("Signature%3D") {
                // Of AWS's signed request; the rest is names.
                seen.canaries.add(name, &signature[..64]);
            } else if value.starts_with("eyJ") {
                seen.canaries.add_jwt(&name, &value);
            } else if field == "authorization" && value.len() >= 24 {
                // Of the text `id:secret` the id is no secret.
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

    fn is_hostile(&self, path: &str) -> bool {
        match self.place {
            Where::Everywhere => true,
            Where::Exchange => !gives_subject_tokens(path),
            Where::Behind => {
                is_api(path) || path.contains("iamcredentials") || path.contains("tokeninfo")
            }
            Where::Api => is_api(path),
        }
    }

    /// A secret of the server's own; tokens look like Google's, others like nothing.
    fn made_up(&self, what: &'static str) -> String {
        let mut seen = self.seen.lock().unwrap();
        let Seen {
            canaries, made_up, ..
        } = &mut *seen;
        let secret = made_up.entry(what).or_insert_with(|| {
            let start = if what.starts_with("a token") {
                "ya29."
            } else {
                ""
            };
            canaries.plant_word(format!("{}: {what}", self.name), start)
        });
        secret.clone()
    }

    fn honest(&self, path: &str) -> Vec<u8> {
        let token = self.made_up("a token");
        let body = if path.contains("iamcredentials") {
            json!({"accessToken": token, "expireTime": "2099-01-01T01:00:00Z"})
        } else if path.contains("/computeMetadata/") && !path.contains("/token") {
            return reply(
                "200 OK",
                "Metadata-Flavor: Google\r\nContent-Type: text/plain\r\n",
                b"123456789012",
            );
        } else if path.ends_with("/security-credentials/a-role") {
            json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE",
                "SecretAccessKey": self.made_up("an AWS key"), "Token": self.made_up("an AWS session"),
                "Expiration": "2099-01-01T00:00:00Z"})
        } else if gives_subject_tokens(path) {
            let text = match path.rsplit('/').next() {
                Some("security-credentials") => "a-role".to_owned(),
                Some("availability-zone") => "us-east-1b".to_owned(),
                Some("token") => self.made_up("a session with AWS's metadata"),
                _ => self.made_up("a subject token"),
            };
            return reply("200 OK", "Content-Type: text/plain\r\n", text.as_bytes());
        } else if path.contains("/config") {
            json!({"registrationState": "REGISTERED_NOT_COMMERCIALLY", "maxConcurrentExports": 2})
        } else if path.contains("client-auth") {
            json!({"client_id": "1-a.apps.googleusercontent.com", "client_secret": self.made_up("a client's secret")})
        } else {
            json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "refresh_token": self.made_up("a refresh token"), "id_token": self.made_up("an id_token"),
                "scope": "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/cloud-platform"})
        };
        reply(
            "200 OK",
            "Content-Type: application/json\r\nMetadata-Flavor: Google\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
            body.to_string().as_bytes(),
        )
    }

    /// Everything that was sent, as people write it into messages: as it came, taken apart, in
    /// part, and a secret of the server's own.
    fn echo(&self, request: &Request) -> String {
        let mut said = vec![
            format!("cannot use {}", request.body),
            format!("sent to {}", request.path),
        ];
        for (name, value) in secrets(request) {
            let (half, end) = (value.len() / 2, value.len().saturating_sub(30));
            said.push(format!("{name}={value}"));
            if value.is_ascii() && value.len() > 40 {
                said.push(format!(
                    "begins with '{}...', ends with ...{}",
                    &value[..half],
                    &value[end..]
                ));
            }
            said.push(
                serde_json::Value::from(value)
                    .to_string()
                    .replace('/', "\\/"),
            );
        }
        for (name, value) in &request.headers {
            said.push(format!("{name}: {value}"));
        }
        said.push(format!(
            "and {} of ours",
            self.made_up("a token in a message")
        ));
        said.join("; ")
    }

    fn lie(&self, request: &Request) -> Vec<u8> {
        let said = self.echo(request);
        let plain = said.replace(['\r', '\n'], " ");
        let json_type = "Content-Type: application/json\r\nMetadata-Flavor: Google\r\n";
        let json =
            |status: &str, body: Value| reply(status, json_type, body.to_string().as_bytes());
        let token = self.made_up("a token in a broken answer");
        match self.fault {
            Fault::InvalidGrant => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_description": said}),
            ),
            Fault::InvalidScope => json(
                "400 Bad Request",
                json!({"error": "invalid_scope", "error_description": said}),
            ),
            Fault::InvalidRapt => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_subtype": "invalid_rapt", "error_description": said}),
            ),
            Fault::ClockSkew => json(
                "400 Bad Request",
                json!({"error": "invalid_grant", "error_description":
                    format!("Invalid JWT: Token must be in a reasonable timeframe: {said}")}),
            ),
            Fault::GoogleError(refusal) => {
                let body = refusal.body("ee-demo-project");
                let status = format!("{} No", refusal.status());
                match serde_json::from_str::<Value>(&body) {
                    Ok(mut body) => {
                        let message = &mut body["error"]["message"];
                        *message = format!("{} {said}", message.as_str().unwrap()).into();
                        json(&status, body)
                    }
                    Err(_) => {
                        let page = format!("{body}<p>{said}");
                        reply(&status, "Content-Type: text/html\r\n", page.as_bytes())
                    }
                }
            }
            Fault::EchoAsCode => json(
                "401 Unauthorized",
                json!({"error": said, "error_subtype": said, "error_uri": said}),
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
                let body = json!({"error": {"code": status, "status": name, "message": said, "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": said, "domain": said,
                     "metadata": {"echo": said, "service": said, "consumer": said, said.as_str(): "x"}},
                    {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": said, "url": said}]},
                    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"subject": said, "description": said}]},
                ]}});
                json(&format!("{status} No"), body)
            }
            Fault::Html(status) => reply(
                &format!("{status} Page"),
                "Content-Type: text/html\r\n",
                format!("<html><title>{said}</title><p>{said}</html>").as_bytes(),
            ),
            Fault::PlainText => reply(
                "400 Bad Request",
                "Content-Type: text/plain\r\n",
                said.as_bytes(),
            ),
            Fault::Redirect => reply(
                "302 Found",
                &format!(
                    "Location: https://elsewhere.example/?all={}\r\n",
                    form_urlencoded::byte_serialize(said.as_bytes()).collect::<String>()
                ),
                b"",
            ),
            Fault::Headers => {
                let headers = format!(
                    "WWW-Authenticate: Bearer error=\"{0}\"\r\nX-Echo: {0}\r\nDate: {0}\r\nRetry-After: {0}\r\nX-Earth-Engine-Init-Message: {0}\r\nX-Earth-Engine-Restricted-Quota-Status: {0}\r\nX-Earth-Engine-Computation-Profile: {0}\r\nSet-Cookie: a={0}\r\n{json_type}",
                    plain
                );
                reply("401 Unauthorized", &headers, b"{}")
            }
            Fault::CutBody => {
                let body = json!({"access_token": token, "accessToken": token, "expires_in": 3599})
                    .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\n{json_type}Content-Length: 5000\r\nConnection: close\r\n\r\n{body}"
                );
                head.into_bytes()
            }
            Fault::CutJson => reply(
                "200 OK",
                json_type,
                format!("{{\"access_token\": \"{token}\", \"accessToken\": \"{token}\", \"expi")
                    .as_bytes(),
            ),
            Fault::WrongTypes => json(
                "200 OK",
                json!({"access_token": {"a": token}, "accessToken": [token], "expires_in": token, "token_type": {"b": said}, "scope": [said], "refresh_token": [token], "error": [said]}),
            ),
            Fault::NoFields => json(
                "200 OK",
                json!({token.as_str(): said, "registrationState": said, "state": said}),
            ),
            Fault::OddFields => json(
                "200 OK",
                json!({"access_token": token, "accessToken": token, "expires_in": token, "expireTime": said, "token_type": token, "client_id": {"a": token}, "client_secret": [token]}),
            ),
            Fault::LineEnd => json(
                "200 OK",
                json!({"access_token": format!("{token}\r\nX-Evil: {token}"), "accessToken": format!("{token}\n"), "expires_in": 3599, "token_type": "Bearer", "expireTime": "2099-01-01T00:00:00Z"}),
            ),
            Fault::NoHttp => said.into_bytes(),
            Fault::Echo => json(
                "200 OK",
                json!({"access_token": token, "accessToken": token, "expires_in": 3599,
                    "token_type": "Bearer", "expireTime": "2099-01-01T01:00:00Z",
                    "issued_token_type": said, "email": said, "sub": said,
                    "azp": said, "aud": said, "client_id": "1-a", "refresh_token": self.made_up("a refresh token"),
                    "registrationState": said, "name": said, "id": said, "type": said, "state": said,
                    "projects": [{"projectId": said, "name": said, "state": said, "displayName": said},
                        {"projectId": "ee-demo-project", "name": "projects/1", "displayName": said},
                        {"projectId": said, "name": said}],
                    "done": true, "metadata": {"description": said, "state": "SUCCEEDED", "type": said},
                    "result": said, "algorithms": [{"name": said}], "nextPageToken": said}),
            ),
            Fault::Operation(state) => json(
                "200 OK",
                json!({"name": "projects/ee-demo-project/operations/AN-EXPORT", "done": true,
                    "metadata": {"state": state, "description": "an export"},
                    "error": {"code": 3, "message": said}}),
            ),
            Fault::Silence => Vec::new(),
        }
    }
}

/// Whether the path is at a metadata server of Amazon's, or at the URL of a credential's file.
fn gives_subject_tokens(path: &str) -> bool {
    path.contains("/latest/") || path.starts_with("/tokens.example.com")
}

fn is_api(path: &str) -> bool {
    ["/earthengine", "/cloudresourcemanager", "/serviceusage"]
        .iter()
        .any(|host| path.starts_with(host))
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
