//! Over TLS, with a round trip of 60 ms: the start, long responses, tiles and many computations.
//!
//! A network namespace gives the relay Google's host names and port.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use earthengine::EarthEngine;
use ee_emulator::{Emulator, Project};
use ee_rest::{Auth, Client};
use ee_test_support::certificates::Authority;
use ee_token::{AccessToken, Endpoints, HttpClient, TokenCache};
use futures_util::{StreamExt as _, stream};
use http::Method;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::contenders::login_json;
use crate::distance::{self, HOSTS, ROUND_TRIP};
use crate::harness::{Better, Effort, Row, all_cores, contender, interleaved};

const EARTH_ENGINE: &str = "https://earthengine.googleapis.com/v1/projects/p-1234";
/// Set in the namespace.
const INSIDE: &str = "EE_BENCH_INSIDE_NAMESPACE";

/// Measures the rows, in this process if it is inside of the namespace, and otherwise in another
/// one, which prints them.
pub fn rows(effort: Effort, python: Option<&Path>, repository: &Path) -> Vec<Row> {
    if std::env::var_os(INSIDE).is_some() {
        return rows_inside(effort, python, repository);
    }
    let bundle = std::env::temp_dir().join(format!("ee-bench-{}.pem", std::process::id()));
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .arg(python.unwrap_or(Path::new("python3")))
        .arg(repository.join("tests/support/src/namespace.py"))
        .arg(std::env::current_exe().expect("this program's path"))
        .args(["--only", "far", "--repository"])
        .arg(repository)
        .args(effort.smoke.then_some("--smoke"))
        .args(python.map(|_| "--python"))
        .args(python)
        .env("EE_TESTS_NAMES", HOSTS.join(" "))
        .env("SSL_CERT_FILE", &bundle)
        .env(INSIDE, "1");
    let status = command.status();
    let _ = std::fs::remove_file(&bundle);
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipping the rows at a distance: no network namespace");
    }
    Vec::new()
}

/// A client of one of the contenders.
#[derive(Clone)]
enum Far {
    Ours(Client),
    Bare(reqwest::Client),
}

/// How a bare client is set up.
#[derive(Clone, Copy)]
enum Bare {
    Http1,
    Http2,
    /// HTTP/2 with windows of 16 MiB per stream and 32 MiB per connection.
    Tuned,
}

struct World {
    roots: RootCertStore,
    effort: Effort,
    python: Option<Python>,
}

/// Google's client, with a login in a home directory of its own.
struct Python {
    interpreter: PathBuf,
    script: PathBuf,
    home: TempDir,
}

impl Python {
    fn new(interpreter: &Path, repository: &Path, emulator: &Emulator) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let login = home.path().join(".config/earthengine/credentials");
        std::fs::create_dir_all(login.parent().expect("a directory")).expect("a directory");
        let user = emulator.create_user("jane@example.com");
        std::fs::write(login, user.earthengine_file_json(Some("p-1234"))).expect("a file");
        Self {
            interpreter: interpreter.to_owned(),
            script: repository.join("tests/benchmarks/bench/far.py"),
            home,
        }
    }

    /// Runs the script, and returns what it prints.
    fn run(&self, work: &str, numbers: &[usize]) -> String {
        let bundle = std::env::var_os("SSL_CERT_FILE").expect("a file for certificates");
        let output = Command::new(&self.interpreter)
            .arg(&self.script)
            .args([work, "p-1234"])
            .args(numbers.iter().map(usize::to_string))
            .env_clear()
            .env("HOME", self.home.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SSL_CERT_FILE", &bundle)
            .env("REQUESTS_CA_BUNDLE", &bundle)
            .env("HTTPLIB2_CA_CERTS", &bundle)
            .output()
            .expect("Python");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "far.py {work}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn time(&self, work: &str, numbers: &[usize]) -> Duration {
        let seconds = self.run(work, numbers);
        Duration::from_secs_f64(seconds.trim().parse().expect("seconds"))
    }
}

impl World {
    fn bare(&self, kind: Bare) -> reqwest::Client {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let with_alpn = |protocol: &[u8]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = vec![protocol.to_vec()];
            tls
        };
        let builder = match kind {
            Bare::Http1 => builder
                .http1_only()
                .tls_backend_preconfigured(with_alpn(b"http/1.1")),
            Bare::Http2 => builder.tls_backend_preconfigured(with_alpn(b"h2")),
            Bare::Tuned => builder
                .http2_initial_stream_window_size(16 << 20)
                .http2_initial_connection_window_size(32 << 20)
                .tls_backend_preconfigured(with_alpn(b"h2")),
        };
        builder.build().expect("a client")
    }

    fn ours(&self) -> Client {
        let token = AccessToken::new("ya29.far").expect("a token");
        let auth = Auth::token_cache(TokenCache::new(token));
        Client::builder(auth, HttpClient::new(Endpoints::google()))
            .project("p-1234")
            .max_concurrent_requests(200)
            .build()
            .expect("a client")
    }

    /// Measures all contenders, each with new connections that one small and one large request have
    /// warmed up. Python's client does `python`.
    fn compare<F: Future>(
        &self,
        rounds: usize,
        value: impl Fn(Duration) -> f64 + Copy,
        work: impl Fn(Far) -> F + Copy,
        python: (&str, &[usize]),
    ) -> Vec<f64> {
        let measure = move |far: &dyn Fn() -> Far| {
            all_cores().block_on(async {
                let far = far();
                far.compute().await;
                far.pixels(1).await;
                let started = Instant::now();
                work(far).await;
                value(started.elapsed())
            })
        };
        let bare = |kind| move || measure(&|| Far::Bare(self.bare(kind)));
        let mut contenders = vec![
            contender("ours", || measure(&|| Far::Ours(self.ours()))),
            contender("reqwest, HTTP/1.1", bare(Bare::Http1)),
            contender("reqwest, HTTP/2", bare(Bare::Http2)),
            contender("reqwest, tuned HTTP/2", bare(Bare::Tuned)),
        ];
        if let Some(google) = &self.python {
            let (work, numbers) = python;
            let measure = move || value(google.time(work, numbers));
            contenders.push(contender("earthengine-api", measure));
        }
        interleaved(self.effort.pick(rounds, 1), &mut contenders)
    }
}

impl Far {
    async fn compute(&self) {
        let body = json!({"expression": {"result": "0", "values": {"0": {"constantValue": 7}}}});
        match self {
            Self::Ours(client) => {
                let request = client.request(Method::POST, "value:compute");
                let response = request.json(&body).send().await.expect("a response");
                response.json::<Value>().expect("JSON");
            }
            Self::Bare(client) => {
                let request = client.post(format!("{EARTH_ENGINE}/value:compute"));
                let body = request.body(body.to_string()).send().await;
                body.expect("a response").bytes().await.expect("a body");
            }
        }
    }

    /// Reads pixels as a stream.
    async fn pixels(&self, bytes: usize) {
        let path = format!("assets/{bytes}:getPixels");
        let mut read = 0;
        match self {
            Self::Ours(client) => {
                let request = client.request(Method::GET, path);
                let mut response = request.send_streaming().await.expect("a response");
                while let Some(chunk) = response.chunk().await.expect("a chunk") {
                    read += chunk.len();
                }
            }
            Self::Bare(client) => {
                // h2 gives up a connection with many small frames, which small windows cause.
                while read < bytes {
                    read = 0;
                    let request = client.get(format!("{EARTH_ENGINE}/{path}"));
                    let Ok(mut response) = request.send().await else {
                        continue;
                    };
                    while let Ok(Some(chunk)) = response.chunk().await {
                        read += chunk.len();
                    }
                }
            }
        }
        assert_eq!(read, bytes);
    }
}

fn rows_inside(effort: Effort, python: Option<&Path>, repository: &Path) -> Vec<Row> {
    let emulator = Emulator::builder()
        .project(Project::new("p-1234"))
        .start_blocking()
        .expect("an emulator");
    let python = python.map(|interpreter| Python::new(interpreter, repository, &emulator));
    let authority = Authority::new();
    let bundle = std::env::var_os("SSL_CERT_FILE").expect("a file for certificates");
    std::fs::write(bundle, authority.pem()).expect("a disk");
    distance::start(&authority, emulator.url("earthengine.googleapis.com"));
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
    roots.add(root).expect("a certificate");
    let world = World {
        roots,
        effort,
        python,
    };
    vec![
        start(&world),
        long_responses(&world, "far_response", 1),
        long_responses(&world, "far_responses", 4),
        tiles(&world),
        computations(&world),
    ]
}

/// From nothing to a verified client, with a login.
fn start(world: &World) -> Row {
    let login = login_json(1).to_string();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "1//0"),
        ("client_id", "id"),
        ("client_secret", "secret"),
    ];
    let millis = |started: Instant| started.elapsed().as_secs_f64() * 1e3;
    let python = world.python.as_ref().map(|python| {
        let start = || {
            let started = Instant::now();
            python.run("initialize", &[]);
            millis(started)
        };
        interleaved(
            world.effort.pick(5, 1),
            &mut [contender("earthengine-api", start)],
        )[0]
    });
    let medians = interleaved(
        world.effort.pick(21, 1),
        &mut [
            contender("ours", || {
                all_cores().block_on(async {
                    let started = Instant::now();
                    let builder = EarthEngine::builder().isolated().project("p-1234");
                    let client = builder.credentials_json(login.clone()).connect().await;
                    client.expect("a client");
                    millis(started)
                })
            }),
            contender("reqwest", || {
                all_cores().block_on(async {
                    let started = Instant::now();
                    let client = world.bare(Bare::Http2);
                    let request = client.post("https://oauth2.googleapis.com/token");
                    let body = url::form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(form)
                        .finish();
                    let token = request.body(body).send().await.expect("a response");
                    token.bytes().await.expect("a body");
                    let config = client.get(format!("{EARTH_ENGINE}/config")).send().await;
                    config.expect("a response").bytes().await.expect("a body");
                    millis(started)
                })
            }),
        ],
    );
    let round_trips = |ms: f64| ms / (ROUND_TRIP.as_secs_f64() * 1e3);
    let mut row = Row::new("far_start", "ms", Better::Lower, medians[0])
        .peer("reqwest", medians[1])
        .more("round_trips", round_trips(medians[0]));
    if let Some(python) = python {
        row = row.peer("earthengine-api", python);
    }
    row.goal("4 round trips of 60 ms, and at most 15 ms", |row| {
        row.ours <= 255.0
    })
}

const MIB: usize = 1 << 20;

fn long_responses(world: &World, name: &'static str, count: usize) -> Row {
    let bytes = world.effort.pick(64 * MIB, MIB);
    let rate = |took: Duration| (count * bytes) as f64 / MIB as f64 / took.as_secs_f64();
    let work = |far: Far| async move {
        let all = (0..count).map(|_| far.pixels(bytes));
        futures_util::future::join_all(all).await;
    };
    let medians = world.compare(9, rate, work, ("pixels", &[count, count, bytes]));
    row(name, "MiB/s", Better::Higher, &medians)
}

fn tiles(world: &World) -> Row {
    let (tiles, bytes) = (world.effort.pick(200, 4), 256 << 10);
    let medians = world.compare(
        9,
        |took| took.as_secs_f64(),
        |far| async move {
            let far = &far;
            let all = stream::iter(0..tiles).map(|_| far.pixels(bytes));
            all.buffer_unordered(40).collect::<Vec<()>>().await;
        },
        ("pixels", &[tiles, 40, bytes]),
    );
    row("far_tiles", "s", Better::Lower, &medians)
}

fn computations(world: &World) -> Row {
    let count = world.effort.pick(2_000, 20);
    let medians = world.compare(
        5,
        |took| took.as_secs_f64(),
        |far| async move {
            let far = &far;
            let all = stream::iter(0..count).map(|_| far.compute());
            all.buffer_unordered(200).collect::<Vec<()>>().await;
        },
        ("compute", &[count, 200]),
    );
    row("far_computations", "s", Better::Lower, &medians)
}

fn row(name: &'static str, unit: &'static str, better: Better, medians: &[f64]) -> Row {
    let mut row = Row::new(name, unit, better, medians[0])
        .peer("reqwest, HTTP/1.1", medians[1])
        .peer("reqwest, HTTP/2", medians[2])
        .peer("reqwest, tuned HTTP/2", medians[3]);
    if let Some(python) = medians.get(4) {
        row = row.peer("earthengine-api", *python);
    }
    row.goal("≤ 1.1 × the best", |row| {
        row.ratio_best_peer().is_some_and(|ratio| match better {
            Better::Lower => ratio <= 1.1,
            Better::Higher => ratio >= 1.0 / 1.1,
        })
    })
}
