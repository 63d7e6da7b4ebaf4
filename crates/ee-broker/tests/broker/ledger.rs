//! What the ledger and the status say.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn ledger_names_process_scopes_and_expiry_but_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let (broker, address) = start(|builder| builder.ledger(&path)).await;
    get(
        address,
        &format!("{TOKEN}?scopes=https://www.googleapis.com/auth/cloud-platform"),
    )
    .await;
    send(
        address,
        &request(TOKEN, "evil.example", "Metadata-Flavor: Google\r\n"),
    )
    .await;
    broker.shutdown().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("ya29"), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    let [token, denied] = &lines[..] else {
        panic!("{text}")
    };
    assert_eq!(token["event"], "token");
    let scope = |name: &str| serde_json::json!([format!("https://www.googleapis.com/auth/{name}")]);
    assert_eq!(token["scopes_requested"], scope("cloud-platform"));
    assert_eq!(token["scopes_granted"], scope("earthengine"));
    assert!(token["expires_at"].is_string() && token["time"].is_string());
    assert_eq!(
        (&denied["event"], &denied["reason"]),
        (&"denied".into(), &"host".into())
    );
    if cfg!(target_os = "linux") {
        assert_eq!(token["pid"], std::process::id());
        assert!(!token["command"].as_str().unwrap().is_empty());
        assert!(token["uid"].is_number());
    }
}

#[tokio::test]
async fn status_tells_counts_and_no_token() {
    let (broker, address) = start(|builder| builder).await;
    get(address, TOKEN).await;
    let host = broker.metadata_host().unwrap();
    let status = ee_broker::fetch_status(&host.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(status["tokens"], 1);
    assert_eq!(status["project"], "my-project");
    assert_eq!(status["credential"]["principal"], ROBOT);
    assert_eq!(status["recent"][0]["event"], "token");
    assert!(status["token_expires_at"].is_string());
    assert!(!status.to_string().contains("ya29"), "{status}");
}

/// On a busy machine, the search for one connection may take too long.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn status_names_processes_without_a_ledger() {
    let (_broker, address) = start(|builder| builder).await;
    for _ in 0..100 {
        get(address, TOKEN).await;
        let status = get(address, "/broker/v1/status").await.json();
        let recent = status["recent"].as_array().unwrap();
        if recent.iter().any(|one| one["pid"] == std::process::id()) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("no process was found");
}

#[tokio::test]
async fn status_of_no_broker_is_an_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = ee_broker::fetch_status(&address.into()).await.unwrap_err();
    assert_eq!(error.kind(), ee_broker::ErrorKind::NoBroker);
    for invalid in [
        "",
        "x",
        "127.0.0.1",
        "127.0.0.1:1/a/b",
        "127.0.0.1:1/%0d",
        "http://127.0.0.1:1",
    ] {
        let error = invalid.parse::<ee_broker::BrokerAddress>().unwrap_err();
        assert_eq!(
            error.kind(),
            ee_broker::ErrorKind::InvalidOptions,
            "{invalid}"
        );
    }
    let shown: ee_broker::BrokerAddress = "127.0.0.1:1/secret".parse().unwrap();
    assert!(!format!("{shown} {shown:?}").contains("secret"));
}
