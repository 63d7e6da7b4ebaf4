//! Start, shutdown and recorded requests.

use std::time::Duration;

use ee_emulator::Emulator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::*;

#[tokio::test]
async fn requests_are_recorded_completely() {
    let emulator = Emulator::start().await.unwrap();
    let url = format!("{}/token?", emulator.url(OAUTH2));
    let request = client().post(url).header("X-Test", "1");
    let form = [("grant_type", "nothing"), ("other", "a b")];
    send(request.form(&form)).await;
    let url = format!("{}/v1/a%20b?x=1&y=2", emulator.url(EARTHENGINE));
    send(client().post(url).bearer_auth("s3cret").json(&[1, 2])).await;

    let requests = emulator.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].host, OAUTH2);
    assert_eq!(requests[0].path, "/token");
    assert_eq!(requests[0].header("x-test"), Some("1"));
    assert_eq!(requests[0].form()["other"], "a b");
    assert_eq!(requests[0].status, Some(400));
    let request = &emulator.requests_to(EARTHENGINE)[0];
    assert_eq!(request.path, "/v1/a%20b");
    assert_eq!(request.query, "x=1&y=2");
    assert_eq!(request.query_parameters()["y"], "2");
    assert_eq!(request.json(), serde_json::json!([1, 2]));
    assert_eq!(request.bearer(), Some("s3cret"));
    assert_eq!(request.status, Some(404));
    assert!(!format!("{request:?}").contains("s3cret"));
    emulator.clear_requests();
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn body_over_32_mib_is_rejected() {
    let emulator = Emulator::start().await.unwrap();
    let url = format!("{}/token", emulator.url(OAUTH2));
    let long = vec![b'a'; 32 * 1024 * 1024];
    let most = client().post(&url).body(long.clone());
    assert_eq!(send(most).await.status, 400);

    // Read before the body is fully written, because the response arrives early.
    let mut connection = TcpStream::connect(emulator.address()).await.unwrap();
    let head = format!(
        "POST /{OAUTH2}/token HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        long.len() + 1
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = connection.split();
    let write = async {
        let _ = writing.write_all(&long).await;
        let _ = writing.write_all(b"a").await;
    };
    let mut response = vec![0; 12];
    let (_, read) = tokio::join!(write, reading.read_exact(&mut response));
    read.unwrap();
    assert_eq!(response, b"HTTP/1.1 413");
}

#[tokio::test]
async fn incomplete_request_is_neither_processed_nor_recorded() {
    let emulator = Emulator::start().await.unwrap();
    let mut connection = TcpStream::connect(emulator.address()).await.unwrap();
    let head = format!("POST /{OAUTH2}/token HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut response = Vec::new();
    let _ = connection.read_to_end(&mut response).await;
    assert!(response.is_empty(), "{response:?}");
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn shutdown_frees_the_port_and_closes_connections() {
    let emulator = Emulator::start().await.unwrap();
    let address = emulator.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let _ = get(emulator.url("x")).await;
    emulator.shutdown().await;
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let again = Emulator::builder().port(address.port()).start().await;
    assert_eq!(again.unwrap().address(), address);
}

#[tokio::test]
async fn drop_stops_the_emulator() {
    let emulator = Emulator::start().await.unwrap();
    let address = emulator.address();
    drop(emulator);
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("still listening");
}

#[test]
fn emulator_starts_without_runtime() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let url = emulator.url("nowhere.example");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(get(url)).status, 404);
    runtime.block_on(emulator.shutdown());
}

#[tokio::test]
async fn occupied_port_is_an_error() {
    let emulator = Emulator::start().await.unwrap();
    let port = emulator.address().port();
    assert!(Emulator::builder().port(port).start().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_are_all_handled() {
    let emulator = Emulator::start().await.unwrap();
    let url = format!("{}/$discovery/rest", emulator.url(EARTHENGINE));
    let client = client();
    let tasks: Vec<_> = (0..200)
        .map(|_| tokio::spawn(send(client.get(&url))))
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().status, 200);
    }
    assert_eq!(emulator.requests().len(), 200);
}
