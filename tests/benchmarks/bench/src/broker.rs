//! Tokens over the broker of `ee-broker`, and `eectl exec` and `eectl serve` as whole processes.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ee_broker::Broker;
use ee_credentials::Credentials;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::contenders::{key_json, options};
use crate::harness::{Better, Effort, Row, contender, interleaved, one_thread, per_call};
use crate::processes::Machine;
use crate::server::Server;

const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// The connections of a busy broker.
const CONNECTIONS: usize = 16;

/// A server on its own thread, which has one core at most.
struct Served {
    address: SocketAddr,
    // The source of its tokens.
    source: Arc<Server>,
}

/// Starts a broker for a service account's key.
fn broker(max_connections: usize) -> Served {
    let source = Arc::new(Server::start());
    let key = key_json(&source.url("/token")).to_string();
    let credentials = Credentials::from_json(&key, &options(&source)).expect("a key");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        one_thread().block_on(async {
            let broker = Broker::builder(credentials)
                .project("p-1234")
                .max_connections(max_connections)
                .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
                .start()
                .await
                .expect("a broker");
            let _ = sender.send(broker.addresses()[0]);
            std::future::pending::<()>().await;
        });
    });
    Served {
        address: receiver.recv().expect("a broker"),
        source,
    }
}

/// Starts a bare hyper server that returns a constant of the same size as a token. Like every server
/// that silent clients must not exhaust, it has hyper's timeout for them: a runtime with a timer
/// sleeps and wakes more slowly than one without.
fn bare() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let body = format!(
        r#"{{"access_token":"ya29.{:0>220}","expires_in":3599,"token_type":"Bearer"}}"#,
        0
    );
    let body = Bytes::from(body);
    std::thread::spawn(move || {
        one_thread().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let body = body.clone();
                let service = service_fn(move |_| {
                    let response = http::Response::builder()
                        .header("metadata-flavor", "Google")
                        .header("content-type", "application/json")
                        .body(Full::new(body.clone()));
                    std::future::ready(response)
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address
}

fn request(address: SocketAddr) -> String {
    format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\n\r\n")
}

/// Returns the length of the first response in a buffer, once its head is complete.
fn response_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let mut lines = text.split("\r\n");
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.parse::<usize>().ok())?
    });
    Some(head + length?)
}

/// One connection, on which a request follows the response to the last one.
struct Asker {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Asker {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            request: request(address),
            buffer: vec![0; 4096],
        }
    }

    fn ask(&mut self) {
        self.stream
            .write_all(self.request.as_bytes())
            .expect("a request");
        let mut filled = 0;
        while response_length(&self.buffer[..filled]).is_none_or(|length| filled < length) {
            match self.stream.read(&mut self.buffer[filled..]) {
                Ok(0) | Err(_) => panic!("the connection ended"),
                Ok(n) => filled += n,
            }
        }
    }
}

/// The time of a token over an open connection, and the tokens per second of one core.
pub fn tokens(effort: Effort) -> Vec<Row> {
    let latency = std::thread::spawn(move || latency(effort)).join();
    let latency = latency.expect("a benchmark");
    let broker = broker(1024);
    let bare = bare();
    let n = effort.pick(20_000, 64);
    let rate = interleaved(
        effort.pick(21, 1),
        &mut [
            contender("ours", || rate(broker.address, n)),
            contender("hyper", || rate(bare, n)),
        ],
    );
    assert_eq!(
        broker.source.token_requests(),
        1,
        "all clients share a token"
    );
    vec![
        Row::new("broker_token", "µs", Better::Lower, latency[0])
            .limit(latency[1])
            .peer("hyper", latency[1])
            .goal("≤ 1.2 × bare hyper with a constant", |row| {
                row.ratio_limit().is_some_and(|ratio| ratio <= 1.2)
            }),
        Row::new("broker_rate", "thousand/s", Better::Higher, rate[0])
            .limit(rate[1])
            .peer("hyper", rate[1])
            .goal("≥ 20 on one core", |row| row.ours >= 20.0),
    ]
}

/// Returns the times of a token in microseconds, of the broker and of the bare server. The clients and
/// both servers share a core: on two, it is the scheduler that decides how fast a thread wakes.
fn latency(effort: Effort) -> Vec<f64> {
    #[cfg(target_os = "linux")]
    stay_on_one_core();
    let broker = broker(1024);
    let n = effort.pick(2_000, 10);
    let (mut ours, mut limit) = (Asker::new(broker.address), Asker::new(bare()));
    interleaved(
        effort.pick(51, 1),
        &mut [
            contender("ours", || per_call(n, || ours.ask()) / 1000.0),
            contender("hyper", || per_call(n, || limit.ask()) / 1000.0),
        ],
    )
}

/// Keeps the calling thread, and those that it starts, on the core that it runs on.
#[cfg(target_os = "linux")]
fn stay_on_one_core() {
    use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
    let mut core = CpuSet::new();
    core.set(sched_getcpu());
    sched_setaffinity(None, &core).expect("an affinity");
}

/// Returns the thousands of tokens per second of a server that is always busy.
fn rate(address: SocketAddr, n: usize) -> f64 {
    one_thread().block_on(async {
        let mut all = Vec::new();
        let started = Instant::now();
        for _ in 0..CONNECTIONS {
            all.push(tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let request = request(address);
                let mut buffer = vec![0; 4096];
                for _ in 0..n / CONNECTIONS {
                    stream.write_all(request.as_bytes()).await?;
                    let mut filled = 0;
                    while response_length(&buffer[..filled]).is_none_or(|length| filled < length) {
                        match stream.read(&mut buffer[filled..]).await? {
                            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                            read => filled += read,
                        }
                    }
                }
                Ok::<_, io::Error>(())
            }));
        }
        for one in all {
            one.await.expect("a task").expect("tokens");
        }
        n as f64 / started.elapsed().as_secs_f64() / 1000.0
    })
}

/// The token requests of an empty broker with this many requests at once.
pub fn herd(effort: Effort) -> Row {
    let askers = effort.pick(10_000, 50);
    // A connection has a file descriptor at both ends. Beyond that, several requests are sent
    // over each connection without waiting for a response.
    let connections = askers.min(open_files().saturating_sub(512) / 2);
    let broker = broker(connections + 16);
    // Long enough for all to ask.
    broker.source.set(3600, 1_000, 0);
    let address = broker.address;
    let waiting = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let served: usize = one_thread().block_on(async {
        let mut all = Vec::new();
        for index in 0..connections {
            let waiting = waiting.clone();
            let share = askers / connections + usize::from(index < askers % connections);
            all.push(tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                let requests = request(address).repeat(share);
                stream.write_all(requests.as_bytes()).await?;
                waiting.fetch_add(share, Ordering::Relaxed);
                let (mut buffer, mut served) = (Vec::new(), 0);
                while served < share {
                    if stream.read_buf(&mut buffer).await? == 0 {
                        break;
                    }
                    while let Some(length) = response_length(&buffer)
                        && length <= buffer.len()
                    {
                        buffer.drain(..length);
                        served += 1;
                    }
                }
                Ok::<_, io::Error>(served)
            }));
        }
        let mut served = 0;
        for one in all {
            served += one.await.expect("a task").expect("tokens");
        }
        served
    });
    assert_eq!(served, askers, "an asker got no token");
    let requests = broker.source.token_requests() as f64;
    Row::new("broker_herd", "token requests", Better::Lower, requests)
        .limit(1.0)
        .more("askers", askers)
        .more("connections", connections)
        .more("ms", started.elapsed().as_secs_f64() * 1000.0)
        .goal("1", |row| row.ours == 1.0)
}

/// Returns how many files this process may open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1024)
}

/// The memory of an idle broker that has served a token.
pub fn memory(machine: &Machine) -> Option<Row> {
    let mut command = machine.eectl()?;
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--quiet"])
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("eectl");
    let stdout = child.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the address");
    let address = address_in(&line);
    Asker::new(address).ask();
    std::thread::sleep(Duration::from_millis(500));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let _ = child.kill();
    let _ = child.wait();
    let status = status.ok()?;
    let resident = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = resident.split_whitespace().nth(1)?.parse().ok()?;
    let row = Row::new("broker_memory", "MiB", Better::Lower, kib / 1024.0);
    Some(row.goal("≤ 15", |row| row.ours <= 15.0))
}

/// Returns the first loopback address in a line.
fn address_in(line: &str) -> SocketAddr {
    let at = line.find("127.0.0.1:").expect("an address");
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    let end = line[at..].find(|c| !is_part(c)).unwrap_or(line.len() - at);
    line[at..at + end].parse().expect("an address")
}

/// The milliseconds that `eectl exec` adds to a program that fetches a token, with a token on disk.
/// Alone, the program gets its token from a bare hyper server.
pub fn exec(machine: &Machine, effort: Effort) -> Option<Row> {
    machine.eectl()?;
    let (bare, login) = (bare().to_string(), machine.login());
    let alone = || {
        let mut command = machine.hello("hello-reqwest-metadata");
        command.env("GCE_METADATA_HOST", &bare);
        machine.run(command).0
    };
    let with_exec = || {
        let program = machine.hello("hello-reqwest-metadata");
        let mut command = machine.eectl().expect("checked");
        command
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .arg("--credentials")
            .arg(&login)
            .args(["exec", "--project", "p-1234", "--"])
            .arg(program.get_program());
        machine.run(command)
    };
    // The first fills the cache on disk.
    with_exec();
    let requests = with_exec().1;
    let medians = interleaved(
        effort.pick(101, 1),
        &mut [
            contender("exec", || with_exec().0),
            contender("alone", alone),
        ],
    );
    let row = Row::new("exec", "ms added", Better::Lower, medians[0] - medians[1])
        .more("ms", medians[0])
        .more("alone_ms", medians[1])
        .more("requests", requests);
    Some(row.goal("≤ 10, no request", |row| {
        row.ours <= 10.0 && requests == 0.0
    }))
}
