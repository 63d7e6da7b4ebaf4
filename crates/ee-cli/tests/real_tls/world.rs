//! A network of its own, in which Google's host names belong to the emulator.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use ee_emulator::{Emulator, EmulatorBuilder, Project};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Certificate};

pub(crate) const PROJECT: &str = "ee-demo-project";
/// The hosts that a program with a service account's key asks.
pub(crate) const HOSTS: [&str; 2] = ["oauth2.googleapis.com", "earthengine.googleapis.com"];
const PROXY: &str = "127.0.0.1:3128";
/// Set in the namespace.
const INSIDE: &str = "EE_TESTS_INSIDE_NAMESPACE";

/// Runs the test of this name again inside of a network namespace, where `names` resolve to this
/// machine; `true` for whoever is inside already.
pub(crate) fn inside(test: &str, names: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_tls/namespace.py");
    let in_namespace = |command: &[&str]| {
        let python = std::env::var("EE_TESTS_PYTHON").unwrap_or_else(|_| "python3".into());
        Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--net",
                "--mount",
                &python,
                script,
            ])
            .args(command)
            .env(INSIDE, "1")
            .env("EE_TESTS_NAMES", names.join(" "))
            .output()
    };
    if !in_namespace(&["true"]).is_ok_and(|output| output.status.success()) {
        skipped(test);
        return false;
    }
    let this = std::env::current_exe().unwrap().display().to_string();
    let output = in_namespace(&[&this, "--exact", test, "--nocapture"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[allow(clippy::print_stderr, reason = "a part that is left out is said")]
fn skipped(test: &str) {
    eprintln!("{test}: left out, this machine allows no network namespace");
}

/// What the TLS server saw of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) sni: String,
    pub(crate) version: hyper::Version,
}

/// The machines of the network, and one to run `eectl` on.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    home: TempDir,
    variables: Vec<(String, String)>,
    pub(crate) authority: Authority,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl World {
    pub(crate) async fn new(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().project(Project::new(PROJECT));
        let emulator = settings(builder).start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let bundle = home.path().join("authorities.pem");
        std::fs::write(&bundle, authority.pem()).unwrap();
        let variables = vec![
            ("HOME".to_owned(), home.path().display().to_string()),
            ("SSL_CERT_FILE".to_owned(), bundle.display().to_string()),
        ];
        Self {
            emulator,
            home,
            variables,
            authority,
            seen: Arc::default(),
        }
    }

    /// Has a service account's key, in the file that the variable names.
    pub(crate) fn with_key(mut self) -> Self {
        let account = self
            .emulator
            .create_service_account("robot@ee-demo-project.iam.gserviceaccount.com", PROJECT);
        let path = self.home.path().join("key.json");
        std::fs::write(&path, account.json_key()).unwrap();
        self.set(
            "GOOGLE_APPLICATION_CREDENTIALS",
            &path.display().to_string(),
        );
        self.set("NO_GCE_CHECK", "true");
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.into()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Serves the emulator on port 443 with this certificate.
    pub(crate) async fn serve_tls(&self, certificate: Certificate) {
        let listener = TcpListener::bind("127.0.0.1:443").await.unwrap();
        let acceptor = TlsAcceptor::from(certificate.server_config());
        let (emulator, seen) = (self.emulator.address(), self.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().unwrap_or("").to_owned();
                    serve(stream, emulator, move |version| {
                        let sni = sni.clone();
                        seen.lock().unwrap().push(Seen { sni, version });
                    })
                    .await;
                });
            }
        });
    }

    /// Serves the emulator's metadata server where the real one is.
    pub(crate) async fn serve_metadata(&self) {
        let listener = TcpListener::bind("169.254.169.254:80").await.unwrap();
        let emulator = self.emulator.address();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, emulator, |_| ()));
            }
        });
    }

    /// Runs `eectl` on this machine.
    pub(crate) async fn eectl(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eectl"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let Output {
            status,
            stdout,
            stderr,
        } = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        Ended {
            status: status.code().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Answers HTTP on a connection with what the emulator says to the same request for the same host.
async fn serve(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    emulator: SocketAddr,
    seen: impl Fn(hyper::Version) + Send + 'static,
) {
    let client: Client<HttpConnector, Incoming> =
        Client::builder(TokioExecutor::new()).build_http();
    let service = service_fn(move |request| {
        seen(request.version());
        forward(client.clone(), emulator, request)
    });
    // A client that hangs up is no concern of the server's.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    emulator: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let host = match request.uri().host() {
        Some(host) => host.to_owned(),
        None => request.headers()["host"].to_str().unwrap().to_owned(),
    };
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    *request.uri_mut() = format!("http://{emulator}/{host}{path}")
        .parse::<Uri>()
        .unwrap();
    *request.version_mut() = hyper::Version::HTTP_11;
    request.headers_mut().remove("host");
    client.request(request).await
}

/// A proxy: what it was asked for, first lines only.
pub(crate) struct Proxy(Arc<Mutex<Vec<String>>>);

impl Proxy {
    pub(crate) const URL: &str = "http://127.0.0.1:3128";

    /// One that tunnels to port 443 of this machine, or refuses.
    pub(crate) async fn start(refuses: bool) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind(PROXY).await.unwrap();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, refuses, log.clone()));
            }
        });
        Self(asked)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn tunnel(mut client: TcpStream, refuses: bool, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let tunnels = line.starts_with("CONNECT ") && !refuses;
    log.lock().unwrap().push(line);
    if !tunnels {
        let _ = client
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .await;
        return;
    }
    let mut server = TcpStream::connect("127.0.0.1:443").await.unwrap();
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
