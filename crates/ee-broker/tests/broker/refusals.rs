//! Requests that are denied, and options that are rejected.

use std::time::Duration;

use ee_broker::ErrorKind as Kind;

use super::*;

/// Returns the response to a request for the token with this host and these headers.
async fn denied(address: SocketAddr, host: &str, headers: &str) -> Response {
    let response = send(address, &request(TOKEN, host, headers)).await;
    assert_eq!(response.status, 403, "{host} {headers}: {response:?}");
    assert!(!response.body.contains("ya29"));
    assert!(
        !response.has_flavor(),
        "no client must believe in this server"
    );
    response
}

#[tokio::test]
async fn requests_of_web_pages_and_proxies_are_denied() {
    let (_broker, address) = start(|builder| builder).await;
    let own = address.to_string();
    let flavor = "Metadata-Flavor: Google\r\n";
    for (host, headers, reason) in [
        (&*own, "", "Metadata-Flavor"),
        (&own, "Metadata-Flavor: Goggle\r\n", "Metadata-Flavor"),
        (
            &own,
            "Metadata-Flavor: Google\r\nOrigin: https://evil.example\r\n",
            "Origin",
        ),
        (
            &own,
            "Metadata-Flavor: Google\r\nX-Forwarded-For: 10.0.0.1\r\n",
            "X-Forwarded-For",
        ),
        ("evil.example", flavor, "Host"),
        (
            &format!("rebound.evil.example:{}", address.port()),
            flavor,
            "Host",
        ),
        ("127.0.0.1", flavor, "Host"),
    ] {
        let response = denied(address, host, headers).await;
        assert!(response.body.contains(reason), "{}", response.body);
    }
    let no_host = format!("GET {TOKEN} HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n");
    assert_ne!(send(address, &no_host).await.status, 200);
    let status = get(address, "/broker/v1/status").await.json();
    assert_eq!(status["denied"], 8);
    assert_eq!(status["tokens"], 0);
}

#[tokio::test]
async fn nothing_is_served_after_the_lifetime() {
    let (_broker, address) = start(|builder| builder.lifetime(Duration::from_millis(1200))).await;
    let token = get(address, TOKEN).await.json();
    assert!(token["expires_in"].as_i64().unwrap() <= 1, "{token}");
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for path in [TOKEN, "/computeMetadata/v1/project/project-id", "/"] {
        let response = get(address, path).await;
        assert_eq!(response.status, 403, "{path}");
        assert!(response.body.contains("--expires"), "{}", response.body);
    }
}

/// Another user runs this test again as a client.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn another_users_process_gets_no_token() {
    use std::os::unix::process::CommandExt as _;
    let as_other = |uid: u32, address: SocketAddr| async move {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{0}; printf 'GET {TOKEN} HTTP/1.0\\r\\nHost: {address}\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n' >&3; cat <&3",
            address.port()
        );
        let mut command = std::process::Command::new("bash");
        command.arg("-c").arg(script).uid(uid).gid(uid);
        tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run a client as another user");
        return;
    }
    let (_broker, address) = start(|builder| builder.allow_user(65_533)).await;
    let output = as_other(65_532, address).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("HTTP/1.0 403"),
        "{text} {output:?}",
        output = output.stderr
    );
    assert!(
        text.contains("user 65532 may not use this broker") && !text.contains("ya29"),
        "{text}"
    );
    let allowed = as_other(65_533, address).await.unwrap();
    let text = String::from_utf8(allowed.stdout).unwrap();
    assert!(
        text.starts_with("HTTP/1.0 200") && text.contains("ya29.token-0"),
        "{text}"
    );
    let status = get(address, "/broker/v1/status").await.json();
    assert_eq!(status["denied"], 1);
    assert_eq!(status["recent"][0]["uid"], 65_532);
}

#[tokio::test]
async fn invalid_options_are_errors_with_a_remedy() {
    let builder = || Broker::builder(credentials().0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let loopback = "127.0.0.1:0".parse().unwrap();
    for (builder, kind, word) in [
        (builder(), Kind::InvalidOptions, "no address"),
        (
            builder().listen("0.0.0.0:0".parse().unwrap()),
            Kind::InvalidOptions,
            "loopback",
        ),
        (
            builder().listen("[::]:0".parse().unwrap()),
            Kind::InvalidOptions,
            "loopback",
        ),
        (
            builder().listen("192.0.2.1:80".parse().unwrap()),
            Kind::InvalidOptions,
            "loopback",
        ),
        (
            builder().listen_tcp(std::net::TcpListener::bind("0.0.0.0:0").unwrap()),
            Kind::InvalidOptions,
            "loopback",
        ),
        (
            builder().listen(taken.local_addr().unwrap()),
            Kind::Listen,
            "cannot listen",
        ),
        (
            builder().listen(loopback).project("a\r\nb"),
            Kind::InvalidOptions,
            "project",
        ),
        (
            builder().listen(loopback).project(""),
            Kind::InvalidOptions,
            "project",
        ),
        (
            builder().listen(loopback).ledger("/"),
            Kind::Ledger,
            "ledger",
        ),
        (
            Broker::builder(Credentials::from_api_key("AIza")).listen(loopback),
            Kind::InvalidOptions,
            "API key",
        ),
    ] {
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.remedy().text.len() > 10, "{error}");
    }
}
