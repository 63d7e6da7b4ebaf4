use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const STATE: &str = "the-state-of-this-login";

struct Login {
    port: u16,
    waiting: Waiting,
}

impl Login {
    async fn new() -> Self {
        let listener = Loopback::bind(Port::Named(0)).await.unwrap();
        Self {
            port: listener.port(),
            waiting: listener.serve(&STATE.into()),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }

    /// Sends bytes and returns the status line of the answer, empty if there is none.
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

    /// That the login still takes its answer.
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
        let (answer, page) = self.waiting.answer().await.unwrap();
        let Answer::Code(code) = answer else {
            panic!("a code was sent");
        };
        assert_eq!(code.expose_secret(), "4/0good");
        page.show(DONE).await;
        assert_eq!(browser.await.unwrap(), "HTTP/1.1 200 OK");
    }
}

async fn status(mut stream: TcpStream, bytes: impl AsRef<[u8]>) -> String {
    // Whoever refuses need not read all of it.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8(reply).unwrap();
    assert!(!reply.contains("4/0") && !reply.contains(STATE), "{reply}");
    reply.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_answer_with_this_logins_state_is_taken() {
    Login::new().await.succeeds().await;
}

#[tokio::test]
async fn requests_that_are_not_the_answer_are_refused_and_the_login_goes_on() {
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
async fn a_second_answer_is_refused_while_the_first_counts() {
    let mut login = Login::new().await;
    let target = format!("/?state={STATE}&code=4/0first");
    let mut first = login.connect().await;
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
        login.port
    );
    first.write_all(head.as_bytes()).await.unwrap();
    let (answer, page) = login.waiting.answer().await.unwrap();
    assert!(matches!(answer, Answer::Code(code) if code.expose_secret() == "4/0first"));
    let second = format!("/?state={STATE}&error=access_denied");
    for target in [&target, &second] {
        assert_eq!(login.get(target).await, "HTTP/1.1 409 Conflict");
    }
    page.show(FAILED).await;
    let mut reply = String::new();
    first.read_to_string(&mut reply).await.unwrap();
    assert!(reply.contains(FAILED.text), "{reply}");
}

#[tokio::test]
async fn clients_that_say_nothing_or_break_off_hold_nobody_up() {
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
async fn a_refusal_with_this_logins_state_is_an_answer() {
    let mut login = Login::new().await;
    let mut stream = login.connect().await;
    let head = format!(
        "GET /?error=access_denied&state={STATE} HTTP/1.1\r\nHost: LOCALHOST:{}\r\n\r\n",
        login.port
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (answer, _page) = login.waiting.answer().await.unwrap();
    assert!(matches!(answer, Answer::Refused(reason) if reason == "access_denied"));
}

#[tokio::test]
async fn nobody_listens_any_more_once_the_login_is_dropped() {
    let login = Login::new().await;
    let port = login.port;
    drop(login);
    // The task is ended by the runtime, some time after this one gives way to it.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn both_loopback_addresses_are_listened_on_and_no_other() {
    let listener = Loopback::bind(Port::Named(0)).await.unwrap();
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
async fn a_port_in_use_is_an_error_if_it_was_asked_for_by_name() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Loopback::bind(Port::Named(port)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginUnavailable);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.remedy().unwrap().command.is_some());
    let other = Loopback::bind(Port::Preferred(port)).await.unwrap();
    assert_ne!(other.port(), port);

    // The address under which somebody else is found first must not be theirs either.
    if let Ok(taken) = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let port = taken.local_addr().unwrap().port();
        assert!(Loopback::bind(Port::Named(port)).await.is_err());
    }
}
