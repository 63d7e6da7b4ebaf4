//! `eectl serve` under load: more connections than it and the system allow.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Child;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::broker::{first_line, shell};
use super::broker_serve::serve;
use super::login::send_signal;
use super::*;

const CONNECTIONS: usize = 100_000;
const TASKS: usize = 8;
/// The connections that each task leaves open: together more than the broker allows.
const LEFT_OPEN: usize = 200;
/// How long a client may wait for a token, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects. The connection is reset when it is dropped, so that the system does not run out of
/// ports.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_zero_linger().unwrap();
    socket.connect(address).await.unwrap()
}

fn request(address: SocketAddr) -> String {
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
    )
}

/// Returns the response, or `None` if the broker closed the connection.
async fn try_token(address: SocketAddr) -> Option<String> {
    let mut stream = connect(address).await;
    stream.write_all(request(address).as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    Some(response).filter(|response| !response.is_empty())
}

async fn get_token(address: SocketAddr) {
    let started = Instant::now();
    let response = tokio::time::timeout(PATIENCE, try_token(address)).await;
    let response = response.unwrap().unwrap_or_default();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(started.elapsed() < PATIENCE);
}

fn open_files(broker: &Child) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", broker.id()));
    files.unwrap().count()
}

/// Returns a field of `/proc/PID/status` in KiB.
fn memory(broker: &Child, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn connections(machine: &Machine, address: SocketAddr) -> u64 {
    let address = address.to_string();
    let status = ["serve", "--status", "--listen", &address, "--json"];
    let status = machine.json(&status).await;
    status["connections"].as_u64().unwrap()
}

/// Opens connections of clients that misbehave, and asks for a token after every hundredth.
async fn misbehave(address: SocketAddr, connections: usize) {
    let mut open = VecDeque::new();
    for index in 0..connections {
        let mut stream = connect(address).await;
        // The broker may have closed it already.
        let _ = match index % 4 {
            0 => Ok(()),
            1 => {
                stream
                    .write_all(b"GET /computeMetadata HTTP/1.1\r\nHo")
                    .await
            }
            2 => stream.write_all(request(address).as_bytes()).await,
            _ => stream.write_all(&[0; 64]).await,
        };
        if index % 3 == 0 {
            open.push_back(stream);
        }
        if open.len() > LEFT_OPEN {
            open.pop_front();
        }
        if index % 100 == 0 {
            get_token(address).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_thousand_connections_leave_nothing_behind() {
    let machine = Machine::with_key(|b| b).await;
    let (mut broker, address) = serve(&machine, &["--listen", "127.0.0.1:0"]);
    let address: SocketAddr = address.parse().unwrap();
    get_token(address).await;
    let files = open_files(&broker);
    let memory_before = memory(&broker, "VmRSS:");
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(misbehave(address, CONNECTIONS / TASKS));
    }
    tasks.join_all().await;
    // Each connection has buffers of a few KiB.
    let grown = memory(&broker, "VmHWM:") - memory_before;
    assert!(grown < 64 << 10, "{grown} KiB more");
    let ended = Instant::now();
    while connections(&machine, address).await > 1 || open_files(&broker) > files + 1 {
        assert!(ended.elapsed() < PATIENCE, "connections stay open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    get_token(address).await;
    let tokens = machine.emulator.requests_to("oauth2.googleapis.com");
    assert_eq!(tokens.len(), 1);
    send_signal(&broker, "TERM");
    assert!(broker.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_without_free_files_serves_and_recovers() {
    let machine = Machine::with_key(|b| b).await;
    let (mut broker, _) = serve(&machine, &["--listen", "127.0.0.1:0"]);
    let files = open_files(&broker);
    broker.kill().unwrap();
    broker.wait().unwrap();

    let log = machine.home.path().join("log");
    let script = format!(
        "ulimit -n {}; exec '{EECTL}' serve -vv --listen 127.0.0.1:0 2>'{}'",
        files + 6,
        log.display()
    );
    let mut broker = shell(&machine, &script).spawn().unwrap();
    let address: SocketAddr = first_line(&mut broker).parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect(address).await);
    }
    let started = Instant::now();
    // The first requests may be those that find no file.
    while !matches!(try_token(address).await, Some(response) if response.starts_with("HTTP/1.1 200"))
    {
        assert!(started.elapsed() < PATIENCE, "no token");
    }
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Too many open files"), "{log}");
    for _ in 0..10 {
        get_token(address).await;
    }
    drop(silent);
    get_token(address).await;
    assert!(connections(&machine, address).await <= 2);
    send_signal(&broker, "TERM");
    assert!(broker.wait().unwrap().success());
}
