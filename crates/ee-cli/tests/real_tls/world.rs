//! A network of its own, in which Google's host names belong to the emulator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ee_emulator::{Emulator, EmulatorBuilder, Project};
use ee_test_support::certificates::{Authority, Certificate};
use ee_test_support::relay::Relay;
use ee_test_support::round_trips::RoundTripRelay;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::LazyConfigAcceptor;

pub(crate) const PROJECT: &str = "ee-demo-project";
pub(crate) const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
/// The hosts that a program with a service account's key asks.
pub(crate) const HOSTS: [&str; 2] = ["oauth2.googleapis.com", "earthengine.googleapis.com"];
/// How long a connection that the server has shut down still receives.
const LINGER: Duration = Duration::from_millis(500);
pub(crate) const HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 443);

/// What the TLS server saw of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) sni: String,
    pub(crate) path: String,
    pub(crate) version: hyper::Version,
}

/// The machines of the network, and one to run `eectl` on.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    home: TempDir,
    variables: Vec<(String, String)>,
    pub(crate) authority: Authority,
    seen: Arc<Mutex<Vec<Seen>>>,
    tls_address: SocketAddr,
    retired: watch::Sender<()>,
    pub(crate) distance: Option<RoundTripRelay>,
}

impl World {
    pub(crate) async fn new(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().project(Project::new(PROJECT));
        let emulator = settings(builder).start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let bundle = PathBuf::from(std::env::var_os("SSL_CERT_FILE").unwrap());
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
            tls_address: HTTPS,
            retired: watch::Sender::default(),
            distance: None,
        }
    }

    /// Has a service account's key, in the file that the variable names.
    pub(crate) fn with_key(self) -> Self {
        let account = self.emulator.create_service_account(ROBOT, PROJECT);
        self.with_credential(&account.json_key())
    }

    /// Has this credential, in the file that the variable names.
    pub(crate) fn with_credential(mut self, text: &str) -> Self {
        let path = self.file("credential.json", text);
        self.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
        self.set("NO_GCE_CHECK", "true");
        self
    }

    /// Writes a file, and says where it is.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
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

    /// Serves the emulator behind a relay that counts round trips, with a certificate for all of
    /// these names.
    pub(crate) async fn serve_tls_at_a_distance(&mut self, names: &[&str]) {
        self.tls_address = SocketAddr::from(([127, 0, 0, 1], 8443));
        self.serve_tls(self.authority.issue(names)).await;
        self.distance = Some(
            RoundTripRelay::start(HTTPS, self.tls_address)
                .await
                .unwrap(),
        );
    }

    /// Serves the emulator behind a relay that can end connections.
    pub(crate) async fn serve_tls_behind_relay(&mut self, config: Arc<ServerConfig>) -> Relay {
        self.tls_address = SocketAddr::from(([127, 0, 0, 1], 8443));
        self.serve_tls_by_name(move |_| config.clone()).await;
        Relay::start_at(HTTPS, self.tls_address).await.unwrap()
    }

    /// Serves the emulator on port 443 with this certificate.
    pub(crate) async fn serve_tls(&self, certificate: Certificate) {
        let config = certificate.server_config();
        self.serve_tls_by_name(move |_| config.clone()).await;
    }

    /// The same, with a certificate for each name that is asked for (RFC 6066 §3).
    pub(crate) async fn serve_tls_by_name(
        &self,
        choose: impl Fn(&str) -> Arc<ServerConfig> + Send + Sync + 'static,
    ) {
        let listener = TcpListener::bind(self.tls_address).await.unwrap();
        let (emulator, seen) = (self.emulator.address(), self.seen.clone());
        let (choose, retired) = (Arc::new(choose), self.retired.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (choose, seen) = (choose.clone(), seen.clone());
                let retired = retired.subscribe();
                // Closing the socket while it has unread requests would discard the last frames.
                let lingering = stream.as_fd().try_clone_to_owned().unwrap();
                tokio::spawn(async move {
                    let Ok(hello) = LazyConfigAcceptor::new(Acceptor::default(), stream).await
                    else {
                        return;
                    };
                    let sni = hello.client_hello().server_name().unwrap_or("").to_owned();
                    let Ok(stream) = hello.into_stream(choose(&sni)).await else {
                        return;
                    };
                    serve(stream, emulator, retired, move |version, path| {
                        let (sni, path) = (sni.clone(), path.to_owned());
                        seen.lock().unwrap().push(Seen { sni, path, version });
                    })
                    .await;
                    tokio::time::sleep(LINGER).await;
                    drop(lingering);
                });
            }
        });
    }

    /// Retires every connection in use as Google's servers do after a while: the requests in flight are
    /// served, and HTTP/2 clients receive a GOAWAY frame (RFC 9113 §6.8). Returns their number.
    pub(crate) fn retire_connections(&self) -> usize {
        self.retired.send_replace(());
        self.retired.receiver_count()
    }

    /// Serves the emulator's metadata server where the real one is.
    pub(crate) async fn serve_metadata(&self) {
        let listener = TcpListener::bind("169.254.169.254:80").await.unwrap();
        let (emulator, retired) = (self.emulator.address(), self.retired.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, emulator, retired.subscribe(), |_, _| ()));
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
    mut retired: watch::Receiver<()>,
    seen: impl Fn(hyper::Version, &str) + Send + 'static,
) {
    let client: Client<HttpConnector, Incoming> =
        Client::builder(TokioExecutor::new()).build_http();
    let used = Arc::new(Notify::new());
    let request_came = used.clone();
    let service = service_fn(move |request| {
        request_came.notify_one();
        seen(request.version(), request.uri().path());
        forward(client.clone(), emulator, request)
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let retirement = async {
        used.notified().await;
        retired.changed().await
    };
    // A client that hangs up is no concern of the server's.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = retirement => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
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

/// What a proxy does with those who want a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It makes one to port 443 of this machine.
    Tunnels,
    /// It answers this instead.
    Answers(&'static str),
    /// It never answers.
    Silent,
}

/// A proxy: what it was asked for, first lines only.
pub(crate) struct Proxy(Arc<Mutex<Vec<String>>>);

impl Proxy {
    pub(crate) const URL: &str = "http://127.0.0.1:3128";

    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_at(3128, mood).await
    }

    pub(crate) async fn start_at(port: u16, mood: Mood) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, mood, log.clone()));
            }
        });
        Self(asked)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn tunnel(mut client: TcpStream, mood: Mood, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let wants_a_tunnel = line.starts_with("CONNECT ");
    log.lock().unwrap().push(line);
    match mood {
        Mood::Tunnels if wants_a_tunnel => {
            let mut server = TcpStream::connect("127.0.0.1:443").await.unwrap();
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        Mood::Tunnels => {}
        Mood::Answers(answer) => {
            let _ = client.write_all(answer.as_bytes()).await;
        }
        // Until the client hangs up.
        Mood::Silent => drop(client.read_u8().await),
    }
}
