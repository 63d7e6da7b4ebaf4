//! A minimal HTTP server for one browser request. Every read is bounded, because any program on the
//! machine can connect.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// A query has some hundred bytes, but browsers add all cookies for `localhost`, of which other
/// programs may have set many.
const MAX_HEAD: usize = 32 * 1024;
/// The timeout for reading the head, and for writing the response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes are read after a response, so that closing the connection does not discard it.
const MAX_DRAIN: usize = 256 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Removes the code from the address bar and the browser's history.
const SCRIPT: &str = "history.replaceState(null, '', '/')";

/// The parts of a request that the login uses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Contains the authorization code.
    pub(crate) query: Zeroizing<String>,
    pub(crate) host: String,
}

/// Why a request could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// The client disconnected or took too long, so that no response is sent.
    Disconnected,
    /// The bytes are not HTTP.
    Malformed,
    TooLong,
}

impl Request {
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, RequestError> {
        // Allocated at its maximum size, because growing would leave copies in memory.
        let mut head = Zeroizing::new(Vec::with_capacity(MAX_HEAD + 1));
        let read = async {
            loop {
                if let Some(end) = find(&head, b"\r\n\r\n") {
                    head.truncate(end);
                    return Ok(());
                }
                if head.len() > MAX_HEAD {
                    return Err(RequestError::TooLong);
                }
                match stream.read_buf(&mut *head).await {
                    Ok(0) | Err(_) => return Err(RequestError::Disconnected),
                    Ok(_) => {}
                }
            }
        };
        timeout(TIMEOUT, read)
            .await
            .map_err(|_| RequestError::Disconnected)??;
        Self::parse(&head).ok_or(RequestError::Malformed)
    }

    /// Parses a head without its final empty line (RFC 9112 §3, §5).
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let is_http = matches!(version, "HTTP/1.1" | "HTTP/1.0") && words.next().is_none();
        if !is_http || !target.starts_with('/') {
            return None;
        }
        let mut hosts = lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map(|(_, value)| value.trim());
        let host = hosts.next()?;
        if hosts.next().is_some() {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Zeroizing::new(query.to_owned()),
            host: host.to_ascii_lowercase(),
        })
    }

    /// Returns whether `Host` is a loopback name. In a DNS rebinding attack it is the name of the
    /// attacker's site.
    pub(crate) fn is_for(&self, port: u16) -> bool {
        let names = ["localhost", "127.0.0.1", "[::1]"];
        names.iter().any(|name| {
            let rest = self.host.strip_prefix(name);
            rest.is_some_and(|rest| {
                rest.strip_prefix(':') == Some(&port.to_string()) || rest.is_empty() && port == 80
            })
        })
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A page that the browser shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

impl Page {
    /// Sends the page. Errors are ignored, because the browser may have disconnected.
    pub(crate) async fn send(self, stream: &mut (impl AsyncWrite + Unpin)) {
        let response = self.to_http();
        let sent = async {
            stream.write_all(response.as_bytes()).await?;
            stream.shutdown().await
        };
        let _ = timeout(TIMEOUT, sent).await;
    }

    fn to_http(self) -> String {
        let Self {
            status,
            title,
            text,
        } = self;
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <script>{SCRIPT}</script>\n\
             <style>body{{font-family:sans-serif;max-width:34em;margin:4em auto;padding:0 1em}}</style>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n"
        );
        let script = STANDARD.encode(digest(&SHA256, SCRIPT.as_bytes()));
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; script-src 'sha256-{script}'; \
             style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Reads remaining data after a response. Closing a connection with unread data would discard the
/// response.
pub(crate) async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let drained = async {
        let mut left = MAX_DRAIN;
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    };
    // A timeout is fine: the client had enough time.
    let _ = timeout(DRAIN_TIMEOUT, drained).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Option<Request> {
        Request::parse(head.as_bytes())
    }

    #[test]
    fn browser_request_is_parsed() {
        let request =
            parse("GET /?code=4/0a&state=x HTTP/1.1\r\nUser-Agent: x: y\r\nhost: LocalHost:8085")
                .unwrap();
        assert_eq!(request.method, "GET");
        assert_eq!(
            (&*request.path, request.query.as_str()),
            ("/", "code=4/0a&state=x")
        );
        assert!(request.is_for(8085) && !request.is_for(80) && !request.is_for(808));
    }

    #[test]
    fn invalid_requests_are_rejected() {
        for head in [
            "",
            "GET",
            "GET /",
            "GET / HTTP/1.1",
            "GET / HTTP/2.0\r\nHost: localhost",
            "GET / HTTP/1.1 x\r\nHost: localhost",
            "GET http://localhost/ HTTP/1.1\r\nHost: localhost",
            "GET * HTTP/1.1\r\nHost: localhost",
            "CONNECT a:1 HTTP/1.1\r\nHost: localhost",
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(parse(head), None, "{head:?}");
        }
        assert_eq!(
            Request::parse(b"GET /\xff HTTP/1.1\r\nHost: localhost"),
            None
        );
    }

    #[test]
    fn host_must_be_a_loopback_name() {
        let is_for = |host: &str, port| {
            parse(&format!("GET / HTTP/1.1\r\nHost: {host}"))
                .unwrap()
                .is_for(port)
        };
        for host in ["localhost:7", "127.0.0.1:7", "[::1]:7"] {
            assert!(is_for(host, 7), "{host}");
        }
        assert!(is_for("localhost", 80));
        for host in [
            "evil.example:7",
            "localhost.evil.example:7",
            "localhost",
            "localhost:77",
            "127.0.0.1:7:7",
            "127.0.0.11:7",
            "",
        ] {
            assert!(!is_for(host, 7), "{host}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_endless_requests_are_abandoned() {
        let (mut near, far) = tokio::io::duplex(64);
        assert_eq!(
            Request::read(&mut near).await,
            Err(RequestError::Disconnected)
        );
        drop(far);
        let mut endless = tokio::io::repeat(b'x');
        assert_eq!(
            Request::read(&mut endless).await,
            Err(RequestError::TooLong)
        );
    }
}
