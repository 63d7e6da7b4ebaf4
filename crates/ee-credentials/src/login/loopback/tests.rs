use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const STATE: &str = "the-state-of-this-login";

struct Login {
    port: u16,
    callback: PendingCallback,
}

impl Login {
    async fn new() -> Self {
        let listener = Loopback::bind(Port::Fixed(0)).await.unwrap();
        Self {
            port: listener.port(),
            callback: listener.serve(&STATE.into()),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }

    /// Sends bytes and returns the status line of the response, which may be empty.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        status(self.connect().await, bytes).await
    }

    async fn get(&self, target: &str) -> String {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n",
            self.port
        ))
        .await
    }

    /// Checks that the login still accepts its response.
    async fn succeeds(mut self) {
        let port = self.port;
        let browser = tokio::spawn(async move {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap();
            let head = format!(
                "GET /?state={STATE}&code=4/0good&scope=x HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            );
            status(stream, head).await
        });
        let (response, page) = self.callback.response().await.unwrap();
        let AuthorizationResponse::Code(code) = response else {
            panic!("a code was sent");
        };
        assert_eq!(code.expose_secret(), "4/0good");
        page.show(DONE).await;
        assert_eq!(browser.await.unwrap(), "HTTP/1.1 200 OK");
    }
}

async fn status(mut stream: TcpStream, bytes: impl AsRef<[u8]>) -> String {
    // A rejected request is not read completely.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    assert!(
        !response.contains("4/0") && !response.contains(STATE),
        "{response}"
    );
    assert!(
        response.is_empty() || response.contains("\r\nX-Content-Type-Options: nosniff\r\n"),
        "{response}"
    );
    response.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn response_with_the_state_is_accepted() {
    Login::new().await.succeeds().await;
}

#[tokio::test]
async fn other_requests_are_rejected_without_ending_the_login() {
    let login = Login::new().await;
    let port = login.port;
    for (target, status) in [
        ("/", "200 OK"),
        ("/?code=x", "400 Bad Request"),
        ("/?code=x&state=other", "400 Bad Request"),
        ("/?error=access_denied", "400 Bad Request"),
        ("/?error=access_denied&state=other", "400 Bad Request"),
        ("/favicon.ico", "404 Not Found"),
        (&format!("/callback?code=x&state={STATE}"), "404 Not Found"),
        (&format!("//?code=x&state={STATE}"), "404 Not Found"),
        (&format!("/?state={STATE}"), "400 Bad Request"),
        (&format!("/?state={STATE}&code=a&code=b"), "400 Bad Request"),
    ] {
        assert_eq!(
            login.get(target).await,
            format!("HTTP/1.1 {status}"),
            "{target}"
        );
    }
    let query = format!("/?code=x&state={STATE}");
    for (head, status) in [
        (
            format!("POST {query} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 9\r\n\r\n"),
            "405 Method Not Allowed",
        ),
        (
            format!("HEAD {query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "405 Method Not Allowed",
        ),
        (
            format!("GET {query} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            "421 Misdirected Request",
        ),
        (
            format!("GET {query} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
            "421 Misdirected Request",
        ),
        (format!("GET {query} HTTP/1.1\r\n\r\n"), "400 Bad Request"),
        (
            format!(
                "GET http://localhost:{port}{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            ),
            "400 Bad Request",
        ),
        (
            "\u{16}\u{3}\u{1}\u{2}\r\n\r\n".to_owned(),
            "400 Bad Request",
        ),
        ("SSH-2.0-scanner\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            format!("GET /?{} HTTP/1.1\r\n", "a".repeat(100_000)),
            "431 Request Header Fields Too Large",
        ),
    ] {
        assert_eq!(
            login.send(&head).await,
            format!("HTTP/1.1 {status}"),
            "{head:.60}"
        );
    }
    login.succeeds().await;
}

#[tokio::test]
async fn second_response_is_rejected() {
    let mut login = Login::new().await;
    let target = format!("/?state={STATE}&code=4/0first");
    let mut first = login.connect().await;
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
        login.port
    );
    first.write_all(head.as_bytes()).await.unwrap();
    let (response, page) = login.callback.response().await.unwrap();
    assert!(
        matches!(response, AuthorizationResponse::Code(code) if code.expose_secret() == "4/0first")
    );
    let second = format!("/?state={STATE}&error=access_denied");
    for target in [&target, &second] {
        assert_eq!(login.get(target).await, "HTTP/1.1 409 Conflict");
    }
    page.show(FAILED).await;
    let mut response = String::new();
    first.read_to_string(&mut response).await.unwrap();
    assert!(response.contains(FAILED.text), "{response}");
}

#[tokio::test]
async fn silent_and_disconnecting_clients_block_no_others() {
    let login = Login::new().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 {
        let mut stream = login.connect().await;
        stream.write_all(b"GET /?code=").await.unwrap();
        idle.push(stream);
        drop(login.connect().await);
    }
    login.succeeds().await;
    drop(idle);
}

#[tokio::test]
async fn denial_with_the_state_is_accepted() {
    let mut login = Login::new().await;
    let mut stream = login.connect().await;
    let head = format!(
        "GET /?error=access_denied&state={STATE} HTTP/1.1\r\nHost: LOCALHOST:{}\r\n\r\n",
        login.port
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (response, _page) = login.callback.response().await.unwrap();
    assert!(matches!(response, AuthorizationResponse::Denied(reason) if reason == "access_denied"));
}

#[tokio::test]
async fn dropping_the_login_stops_the_server() {
    let login = Login::new().await;
    let port = login.port;
    drop(login);
    // The runtime stops the task some time after this one yields.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn server_listens_only_on_loopback_addresses() {
    let listener = Loopback::bind(Port::Fixed(0)).await.unwrap();
    for one in &listener.listeners {
        let address = one.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        assert_eq!(address.port(), listener.port());
    }
    let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    assert_eq!(listener.listeners.len(), if has_ipv6 { 2 } else { 1 });
    assert_eq!(
        listener.redirect_uri(),
        format!("http://localhost:{}", listener.port())
    );
}

#[tokio::test]
async fn fixed_port_in_use_is_an_error() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Loopback::bind(Port::Fixed(port)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginUnavailable);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.remedy().command.is_some());
    let other = Loopback::bind(Port::Preferred(port)).await.unwrap();
    assert_ne!(other.port(), port);

    // The IPv6 port must not belong to another program either.
    if let Ok(taken) = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let port = taken.local_addr().unwrap().port();
        assert!(Loopback::bind(Port::Fixed(port)).await.is_err());
    }
}
