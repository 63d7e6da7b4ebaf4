//! Signatures, metadata server requests, concurrent requests, and long responses.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_credentials::{CredentialOptions, Environment, Search};
use ee_emulator::RsaKey;
use ee_rest::{Auth, Client};
use ee_token::{
    AccessToken, Claims, Endpoints, HttpClient, RsaPrivateKey, Scopes, TokenCache, TokenSource,
};
use http::Method;
use reqwest::header::AUTHORIZATION;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::contenders;
use crate::harness::{Better, Effort, Row, contender, interleaved, one_thread, per_call};
use crate::server::Server;

/// A service account's assertion, compared with the signature alone.
pub fn jwt_sign(effort: Effort) -> Row {
    let pem = RsaKey::shared().pkcs8_pem();
    let ours = RsaPrivateKey::from_pem(pem).expect("a key");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a PEM");
    let bare = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key");
    let claims = Claims {
        iss: "robot@p-1234.iam.gserviceaccount.com",
        sub: None,
        aud: Some("https://oauth2.googleapis.com/token"),
        scope: Some(
            "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/cloud-platform",
        ),
        iat: 1_700_000_000,
        exp: 1_700_003_600,
    };
    let message = URL_SAFE_NO_PAD.encode([b'x'; 290]);
    let random = SystemRandom::new();
    let mut signature = vec![0; bare.public().modulus_len()];
    let n = effort.pick(10, 1);
    let medians = interleaved(
        effort.pick(101, 1),
        &mut [
            contender("ours", || {
                per_call(n, || {
                    black_box(ours.sign_jwt(Some("key"), &claims).expect("a signature"));
                })
            }),
            contender("ring", || {
                per_call(n, || {
                    bare.sign(
                        &RSA_PKCS1_SHA256,
                        &random,
                        message.as_bytes(),
                        &mut signature,
                    )
                    .expect("a signature");
                })
            }),
        ],
    );
    Row::new("jwt_sign", "µs", Better::Lower, medians[0] / 1e3)
        .limit(medians[1] / 1e3)
        .peer("ring", medians[1] / 1e3)
        .goal("≤ 1.05 × ring's signature", |row| {
            row.ratio_limit().is_some_and(|r| r <= 1.05)
        })
}

const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Measures the next token of a metadata server over an open connection.
pub fn metadata(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let n = effort.pick(200, 2);
    let machine = rt.block_on(machine_credentials(&server));
    let cache = machine.token_cache().expect("no API key").clone();
    let bare = contenders::reqwest();
    let url = same_url(&server);
    let yup = rt.block_on(contenders::yup_mds(&server));
    let medians = interleaved(
        effort.pick(21, 1),
        &mut [
            contender("ours", || {
                rt.block_on(async {
                    let started = Instant::now();
                    for _ in 0..n {
                        let token = cache.token().await.expect("a token");
                        cache.invalidate(&token);
                    }
                    started.elapsed().as_micros() as f64 / n as f64
                })
            }),
            contender("reqwest", || {
                rt.block_on(async {
                    let started = Instant::now();
                    for _ in 0..n {
                        black_box(bare_token(&bare, &url).await);
                    }
                    started.elapsed().as_micros() as f64 / n as f64
                })
            }),
            contender("yup-oauth2", || {
                rt.block_on(async {
                    let started = Instant::now();
                    for _ in 0..n {
                        let token = yup.force_refreshed_token(&[contenders::SCOPE]).await;
                        black_box(token.expect("a token"));
                    }
                    started.elapsed().as_micros() as f64 / n as f64
                })
            }),
        ],
    );
    Row::new("metadata", "µs", Better::Lower, medians[0])
        .limit(medians[1])
        .peer("reqwest", medians[1])
        .peer("yup-oauth2", medians[2])
        .goal("≤ 1.1 × a bare reqwest call", |row| {
            row.ratio_limit().is_some_and(|r| r <= 1.1)
        })
}

/// Returns the URL that this workspace's client requests, because reqwest needs more time for
/// longer ones.
pub fn same_url(server: &Server) -> String {
    let scopes = Scopes::earth_engine().iter().collect::<Vec<_>>().join(",");
    reqwest::Url::parse_with_params(&server.url(METADATA_PATH), [("scopes", scopes)])
        .expect("a URL")
        .into()
}

pub async fn machine_credentials(server: &Server) -> ee_credentials::Credentials {
    let environment =
        Environment::empty().with_var("GCE_METADATA_HOST", server.address.to_string());
    let http = HttpClient::new(Endpoints::google());
    let search = Search::new(environment, CredentialOptions::new(http));
    search.find().await.expect("a metadata server").credentials
}

/// Sends a request, and parses the body.
pub async fn bare_token(client: &reqwest::Client, url: &str) -> Value {
    let reply = client.get(url).header("metadata-flavor", "Google").send();
    let body = reply.await.expect("a reply").bytes().await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// A client of this workspace and a bare one for the same server.
pub struct Pair {
    pub ours: Client,
    pub bare: reqwest::Client,
    pub url: String,
    pub token: AccessToken,
}

impl Pair {
    pub fn new(server: &Server) -> Self {
        let endpoints = Endpoints::emulator(server.address).expect("a loopback address");
        let token = AccessToken::new(&format!("ya29.{}", "x".repeat(220))).expect("a token");
        let cache = TokenCache::new(Fixed(token.clone()));
        let http = HttpClient::new(endpoints);
        let ours = Client::builder(Auth::token_cache(cache), http)
            .project("p-1234")
            // The measured concurrency; Earth Engine allows a project 40.
            .max_concurrent_requests(64)
            .build()
            .expect("a client");
        Self {
            ours,
            bare: contenders::reqwest(),
            url: server.url("/earthengine.googleapis.com/v1/projects/p-1234/config"),
            token,
        }
    }

    pub async fn call_ours(&self) {
        let value: Value = self.ours.get_json("config").await.expect("a reply");
        black_box(value);
    }

    /// With the authorization header only, and without a timeout.
    pub async fn call_bare(&self) {
        read(self.bare.get(&self.url), &self.token).await;
    }

    /// With the headers that Earth Engine expects, and a timeout.
    pub async fn call_bare_in_full(&self) {
        let request = self
            .bare
            .get(&self.url)
            .timeout(Duration::from_secs(300))
            .header("x-goog-user-project", "p-1234")
            .header("x-goog-api-client", "ee-rust/0.1.0 rust/1.95.0")
            .header("user-agent", "ee-rust/0.1.0");
        read(request, &self.token).await;
    }
}

async fn read(request: reqwest::RequestBuilder, token: &AccessToken) {
    let request = request.header(AUTHORIZATION, token.header().clone());
    let body = request.send().await.expect("a reply").bytes().await;
    black_box(serde_json::from_slice::<Value>(&body.expect("a body")).expect("JSON"));
}

#[derive(Debug)]
struct Fixed(AccessToken);

impl TokenSource for Fixed {
    fn fetch_token(&self) -> ee_token::TokenFuture<'_> {
        self.0.fetch_token()
    }
}

/// Runs `calls` calls, 64 at a time, and returns the calls per second.
pub async fn at_64<F: Future>(calls: usize, call: impl Fn() -> F) -> f64 {
    let started = Instant::now();
    let each = calls.div_ceil(64);
    let call = &call;
    let workers = (0..64).map(|_| async move {
        for _ in 0..each {
            call().await;
        }
    });
    futures_util::future::join_all(workers).await;
    (each * 64) as f64 / started.elapsed().as_secs_f64()
}

/// Authenticated JSON calls per second, 64 at a time.
pub fn requests(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let pair = Pair::new(&server);
    let calls = effort.pick(6_400, 64);
    let medians = interleaved(
        effort.pick(21, 1),
        &mut [
            contender("ours", || rt.block_on(at_64(calls, || pair.call_ours()))),
            contender("reqwest", || {
                rt.block_on(at_64(calls, || pair.call_bare_in_full()))
            }),
            contender("reqwest with the token alone", || {
                rt.block_on(at_64(calls, || pair.call_bare()))
            }),
        ],
    );
    Row::new("requests", "calls/s", Better::Higher, medians[0])
        .limit(medians[1])
        .peer("reqwest", medians[1])
        .peer("reqwest with the token alone", medians[2])
        .goal("≥ 0.97 × bare reqwest, the same request", |row| {
            row.ratio_limit().is_some_and(|r| r >= 0.97)
        })
}

/// A long response saved to a file.
pub fn stream(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let size = effort.pick(1 << 30, 1 << 20);
    let path = format!("v1/stream/{size}");
    let pair = Pair::new(&server);
    let url = server.url(&format!("/earthengine.googleapis.com/{path}"));
    let folder = std::env::temp_dir().join(format!("ee-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let target = folder.join("reply");
    // Resets the peak of earlier benchmarks, which would hide growth below it, if the system
    // supports that.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_rss_mib();
    // A new file for each response, deleted after the measurement. Otherwise a contender pays for
    // truncating an earlier file, and for a busy disk.
    let remove_and_rate = |started: Instant| {
        let elapsed = started.elapsed();
        std::fs::remove_file(&target).expect("the file");
        size as f64 / f64::from(1 << 20) / elapsed.as_secs_f64()
    };
    let medians = interleaved(
        // The variance between responses is a twentieth, for any reader.
        effort.pick(61, 1),
        &mut [
            contender("ours", || {
                rt.block_on(async {
                    let started = Instant::now();
                    let request = pair.ours.request(Method::GET, path.as_str());
                    let mut reply = request.send_streaming().await.expect("a reply");
                    let mut file = File::create(&target).expect("a file");
                    while let Some(chunk) = reply.chunk().await.expect("a chunk") {
                        file.write_all(&chunk).expect("a disk");
                    }
                    remove_and_rate(started)
                })
            }),
            contender("reqwest", || {
                rt.block_on(async {
                    let started = Instant::now();
                    let request = pair.bare.get(&url);
                    let request = request.header(AUTHORIZATION, pair.token.header().clone());
                    let mut reply = request.send().await.expect("a reply");
                    let mut file = File::create(&target).expect("a file");
                    while let Some(chunk) = reply.chunk().await.expect("a chunk") {
                        file.write_all(&chunk).expect("a disk");
                    }
                    remove_and_rate(started)
                })
            }),
        ],
    );
    let _ = std::fs::remove_dir_all(&folder);
    let grown = peak_rss_mib()
        .zip(before)
        .map(|(after, before)| after - before);
    Row::new("stream", "MiB/s", Better::Higher, medians[0])
        .limit(medians[1])
        .peer("reqwest", medians[1])
        .more("bytes", size)
        .more("memory_growth_mib", grown)
        .goal("≥ 0.97 × bare reqwest, constant memory", |row| {
            let is_constant = grown.is_none_or(|mib| mib < MOST_GROWTH_MIB);
            is_constant && row.ratio_limit().is_some_and(|r| r >= 0.97)
        })
}

/// Memory of buffers and connections. A response in memory would take far more.
const MOST_GROWTH_MIB: f64 = 16.0;

/// Returns the peak memory of this process in MiB, if the system reports it.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
