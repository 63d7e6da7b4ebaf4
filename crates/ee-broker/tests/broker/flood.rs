//! Clients that misbehave do not keep the broker from serving others.

use std::time::Duration;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_for_others() {
    let (_broker, address) = start(|builder| builder.max_connections(8)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for _ in 0..3 {
        let served = tokio::time::timeout(Duration::from_secs(30), get(address, TOKEN)).await;
        assert_eq!(served.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let (_broker, address) = start(|builder| builder.max_connections(32)).await;
    for _ in 0..2000 {
        drop(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(get(address, TOKEN).await.status, 200);
    let status = get(address, "/broker/v1/status").await.json();
    assert!(status["connections"].as_u64().unwrap() <= 32, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_headers_end_with_an_error() {
    let (_broker, address) = start(|builder| builder).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut sent = 0;
    let line = format!("X-Junk: {}\r\n", "x".repeat(1000));
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    while sent < 100 << 20 {
        match stream.write_all(line.as_bytes()).await {
            Ok(()) => sent += line.len(),
            Err(_) => break,
        }
    }
    assert!(sent < 100 << 20, "the broker read everything");
    let many = "X: y\r\n".repeat(1000);
    let headers = format!("Metadata-Flavor: Google\r\n{many}");
    let response = send(address, &request(TOKEN, &address.to_string(), &headers)).await;
    assert_eq!(response.status, 431);
    assert_eq!(get(address, TOKEN).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_blocks_no_other() {
    let (_broker, address) = start(|builder| builder.max_connections(4)).await;
    let line = request(TOKEN, &address.to_string(), "Metadata-Flavor: Google\r\n");
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let lines = line.repeat(1000);
        let written = async { while stream.write_all(lines.as_bytes()).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_millis(300), written).await;
        greedy.push(stream);
    }
    let served = tokio::time::timeout(Duration::from_secs(60), get(address, TOKEN)).await;
    assert_eq!(served.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_not_http_ends_the_connection() {
    let (_broker, address) = start(|builder| builder).await;
    for junk in [
        "\u{16}\u{3}\u{1}\u{2}TLS",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(junk.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("ya29"), "{junk}");
    }
    assert_eq!(get(address, TOKEN).await.status, 200);
}
