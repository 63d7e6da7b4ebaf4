//! A broker for every kind of credential, with malformed responses: what its clients, its ledger,
//! its status and the log say contains no secret but the requested token.

use std::net::SocketAddr;
use std::sync::Arc;

use earthengine::Credentials;
use earthengine::credentials::Search;
use ee_broker::Broker;
use ee_test_support::canaries::Leak;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::captured_output::{CapturedOutput, assert_none, log_text, start_log};
use crate::credential_kinds::{KINDS, Keys, make};
use crate::hostile_server::{Fault, FaultyHosts, HostileServer};

const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default";
/// One of each sort.
const FAULTS: [Fault; 9] = [
    Fault::InvalidGrant,
    Fault::EchoAsCode,
    Fault::Google(403),
    Fault::Html(200),
    Fault::PlainText,
    Fault::Headers,
    Fault::CutJson,
    Fault::WrongTypes,
    Fault::Echo,
];

/// Returns the response, with its head.
async fn get(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\nConnection: close\r\n{header}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

struct Case {
    output: CapturedOutput,
    leaks: Vec<(String, Leak)>,
    /// The number of tokens that clients got.
    served: usize,
}

async fn case(kind: &'static str, fault: Fault, hosts: FaultyHosts, keys: Arc<Keys>) -> Case {
    let name = format!("{kind}, {fault:?} {hosts:?}");
    let dir = tempfile::tempdir().unwrap();
    let server = HostileServer::start(&name, fault, hosts).await;
    let made = make(kind, &name, &keys, dir.path());
    let options = made.options(kind, server.address);
    let mut output = CapturedOutput::default();
    output.canaries.extend(made.canaries.clone());
    let credentials = match made.credentials(&options) {
        Some(credentials) => credentials.ok(),
        None => {
            let search = Search::new(made.environment(), options.clone());
            search.find().await.ok().map(|found| found.credentials)
        }
    };
    let mut served = 0;
    if let Some(credentials) = credentials {
        let ledger = dir.path().join("ledger");
        served = ask(&mut output, &name, credentials, &ledger).await;
        let ledger = std::fs::read_to_string(ledger).unwrap_or_default();
        output.add(format!("{name}, ledger"), ledger);
    }
    output.canaries.extend(server.canaries());
    let mut leaks = output.leaks(&[]);
    leaks.extend(output.leaks_of(&keys.finder, &[]));
    Case {
        output,
        leaks,
        served,
    }
}

/// Adds everything that clients see except tokens, and returns their number.
async fn ask(
    output: &mut CapturedOutput,
    name: &str,
    credentials: Credentials,
    ledger: &std::path::Path,
) -> usize {
    let of = |part: &str| format!("{name}, {part}");
    let builder = Broker::builder(credentials)
        .project("my-project")
        .ledger(ledger)
        .listen(([127, 0, 0, 1], 0).into());
    let Some(broker) = output.value_of(&of("start"), builder.start().await) else {
        return 0;
    };
    output.debug(&of("broker"), &broker);
    let address = broker.addresses()[0];
    let mut served = 0;
    for path in ["/token", "/identity?audience=https://a.example"] {
        let response = get(address, &format!("{ACCOUNT}{path}"), "").await;
        if response.starts_with("HTTP/1.1 200") {
            served += 1;
            let (head, _) = response.split_once("\r\n\r\n").unwrap();
            output.add(of(path), head);
        } else {
            output.add(of(path), response);
        }
    }
    for (path, header) in [
        (format!("{ACCOUNT}/?recursive=true"), ""),
        ("/computeMetadata/v1/?recursive=true".to_owned(), ""),
        ("/broker/v1/status".to_owned(), ""),
        (
            format!("{ACCOUNT}/token"),
            "Origin: https://evil.example\r\n",
        ),
    ] {
        output.add(of(&path), get(address, &path, header).await);
    }
    output.value_of(&of("token"), broker.token().await);
    broker.shutdown().await;
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_leaks_nothing_from_any_response() {
    start_log();
    let keys = Arc::new(Keys::new().await);
    let permits = Arc::new(Semaphore::new(32));
    let mut running = JoinSet::new();
    for kind in KINDS {
        for fault in FAULTS {
            for hosts in [FaultyHosts::Everywhere, FaultyHosts::Behind] {
                let is_there = match hosts {
                    FaultyHosts::Behind => {
                        matches!(kind, "impersonated" | "federation with impersonation")
                    }
                    _ => true,
                };
                if !is_there {
                    continue;
                }
                let (permits, keys) = (Arc::clone(&permits), Arc::clone(&keys));
                running.spawn(async move {
                    let _permit = permits.acquire().await.unwrap();
                    case(kind, fault, hosts, keys).await
                });
            }
        }
    }
    let (mut leaks, mut failures, mut echoes, mut served) = (Vec::new(), 0, 0, 0);
    let mut canaries = keys.canaries.clone();
    while let Some(case) = running.join_next().await {
        let case = case.unwrap();
        leaks.extend(case.leaks);
        failures += case.output.failures;
        echoes += usize::from(case.output.contains("[redacted]"));
        served += case.served;
        canaries.extend(case.output.canaries);
    }
    assert!(failures > 100, "{failures} failures");
    assert!(echoes > 30, "{echoes} echoes");
    assert!(served > 10, "{served} tokens");
    for leak in canaries.finder_of_every(4).find(&log_text()) {
        leaks.push(("the log".to_owned(), leak));
    }
    assert_none(&leaks);
}
