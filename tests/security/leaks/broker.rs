//! A broker for every kind of credential, with malformed responses: what its clients, its ledger,
//! its status and the log say contains no secret but the requested token.

use std::net::SocketAddr;

use earthengine::Credentials;
use ee_broker::Broker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::captured_output::{CapturedOutput, assert_none};
use crate::cases::{Case, run_all};
use crate::credential_kinds::KINDS;
use crate::hostile_server::{Fault, FaultyHosts};

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

/// Returns the number of tokens that clients got.
async fn serve(mut case: Case) -> (Case, usize) {
    let mut served = 0;
    if let Some(credentials) = case.credentials().await {
        let ledger = case.dir.path().join("ledger");
        served = ask(&mut case.output, &case.name, credentials, &ledger).await;
        let ledger = std::fs::read_to_string(ledger).unwrap_or_default();
        case.output.add(format!("{}, ledger", case.name), ledger);
    }
    (case, served)
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
    let mut cases = Vec::new();
    for kind in KINDS {
        for fault in FAULTS {
            cases.push((kind, fault, FaultyHosts::Everywhere));
            if matches!(kind, "impersonated" | "federation with impersonation") {
                cases.push((kind, fault, FaultyHosts::Behind));
            }
        }
    }
    let results = run_all(cases, serve).await;
    assert!(results.failures > 100, "{} failures", results.failures);
    assert!(results.echoes > 30, "{} echoes", results.echoes);
    assert!(results.tokens > 10, "{} tokens", results.tokens);
    assert_none(&results.leaks);
}
