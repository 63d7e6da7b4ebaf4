//! The way to a metadata server: HTTP/1.1 in clear text, on a connection that knows of no proxy
//! and no TLS. Neither is set up for it: a program that starts on a machine in Google's cloud
//! asks for its token first of all, and often for nothing else.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HOST;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use reqwest::{Request, Response, ResponseBuilderExt as _};
use tokio::net::TcpStream;
use url::{Host, Position, Url};

use crate::transport::emulator::ListenerCheck;
use crate::transport::endpoints::{is_loopback, localhost};

/// One connection, kept for the next request. There is one such server, and questions to it come
/// one after the other; one that comes between gets a connection of its own.
#[derive(Clone, Default)]
pub(crate) struct ClearText(Arc<Mutex<Option<Connection>>>);

struct Connection {
    /// Host and port.
    address: String,
    /// How it was verified.
    check: Option<ListenerCheck>,
    sender: SendRequest<reqwest::Body>,
}

impl ClearText {
    /// Sends a request, on a connection with this check, and returns the response's head. The
    /// caller applies a timeout.
    pub(crate) async fn execute(
        &self,
        request: Request,
        check: Option<ListenerCheck>,
    ) -> Result<Response, Failed> {
        let url = request.url().clone();
        let address = &url[Position::BeforeHost..Position::AfterPort];
        let mut request = http::Request::try_from(request).map_err(Failed::exchange)?;
        let host = address.parse().map_err(Failed::exchange)?;
        request.headers_mut().insert(HOST, host);
        // A server is told the path, a proxy alone the whole URL.
        let path = &url[Position::BeforePath..Position::AfterQuery];
        *request.uri_mut() = path.parse().map_err(Failed::exchange)?;
        loop {
            let kept = self.kept(address, check).await;
            let is_new = kept.is_none();
            let mut connection = match kept {
                Some(kept) => kept,
                None => Connection::open(&url, check).await?,
            };
            match connection.sender.try_send_request(request).await {
                Ok(reply) => return Ok(self.reply(reply, connection, url)),
                Err(mut error) => match error.take_message() {
                    // The server had closed it, and has not seen the request.
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(Failed::exchange(error.into_error())),
                },
            }
        }
    }

    /// The connection that is kept, if it leads there, was verified alike and is still open.
    async fn kept(&self, address: &str, check: Option<ListenerCheck>) -> Option<Connection> {
        let mut kept = self.slot().take()?;
        let fits = kept.address == address && kept.check == check;
        (fits && kept.sender.ready().await.is_ok()).then_some(kept)
    }

    fn reply(&self, reply: http::Response<Incoming>, connection: Connection, url: Url) -> Response {
        let mut reply = reply.map(|body| {
            reqwest::Body::wrap(Reading {
                body,
                connection: Some(connection),
                kept: self.clone(),
            })
        });
        // Messages about an answer name the host that it came from.
        let mut from = http::Response::builder().url(url);
        if let Some(from) = from.extensions_mut() {
            reply.extensions_mut().extend(std::mem::take(from));
        }
        reply.into()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn open(url: &Url, check: Option<ListenerCheck>) -> Result<Self, Failed> {
        let before = check.as_ref().map(ListenerCheck::before_connecting);
        let before = before.transpose().map_err(Failed::connect)?;
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = match url.host() {
            Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Domain(_)) if is_loopback(url) => {
                TcpStream::connect(&localhost(port)[..]).await
            }
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        let stream = stream.map_err(Failed::connect)?;
        if let (Some(check), Some(before)) = (check, before) {
            check.after_connecting(&before).map_err(Failed::connect)?;
        }
        stream.set_nodelay(true).map_err(Failed::connect)?;
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(Failed::connect)?;
        // What ends the connection, the exchange is told too.
        tokio::spawn(async { drop(driver.await) });
        Ok(Self {
            address: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            check,
            sender,
        })
    }
}

/// A body, and the connection that it comes on, which is good for another request once the body
/// was read to its end.
struct Reading {
    body: Incoming,
    connection: Option<Connection>,
    kept: ClearText,
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none()
            && let Some(connection) = self.connection.take()
        {
            *self.kept.slot() = Some(connection);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why no answer came.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) could_not_connect: bool,
    cause: Box<dyn StdError + Send + Sync>,
}

impl Failed {
    fn connect(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            could_not_connect: true,
            cause: cause.into(),
        }
    }

    fn exchange(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            could_not_connect: false,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.could_not_connect {
            "the connection could not be made"
        } else {
            "the request was not answered"
        })
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers each connection's first requests, as many as are told, and closes it.
    /// It says what it was asked, and on which connection.
    struct Server {
        url: Url,
        seen: Arc<Mutex<Vec<(usize, String)>>>,
    }

    impl Server {
        async fn start(answers: &'static [usize], answer: &'static str) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/a?b=c", listener.local_addr().unwrap());
            let seen = Arc::<Mutex<Vec<_>>>::default();
            let told = seen.clone();
            tokio::spawn(async move {
                for (number, answers) in answers.iter().enumerate() {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    for _ in 0..*answers {
                        let mut text = String::new();
                        while !text.ends_with("\r\n\r\n") {
                            let Ok(byte) = socket.read_u8().await else {
                                break;
                            };
                            text.push(char::from(byte));
                        }
                        told.lock().unwrap().push((number, text));
                        socket.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
            Self {
                url: url.parse().unwrap(),
                seen,
            }
        }

        async fn ask(&self, client: &ClearText) -> Result<Response, Failed> {
            let request = Request::new(Method::GET, self.url.clone());
            client.execute(request, None).await
        }

        /// The connection of each request.
        fn connections(&self) -> Vec<usize> {
            self.seen.lock().unwrap().iter().map(|(n, _)| *n).collect()
        }
    }

    const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

    #[tokio::test]
    async fn a_server_is_told_its_name_and_the_path_and_the_answer_says_whose_it_is() {
        let server = Server::start(&[1], HELLO).await;
        let mut reply = server.ask(&ClearText::default()).await.unwrap();
        assert_eq!(reply.url(), &server.url);
        assert_eq!(reply.content_length(), Some(5));
        assert_eq!(reply.chunk().await.unwrap().as_deref(), Some(&b"hello"[..]));
        assert!(reply.chunk().await.unwrap().is_none());
        let host = &server.url[Position::BeforeHost..Position::AfterPort];
        let (_, text) = server.seen.lock().unwrap().pop().unwrap();
        assert_eq!(text, format!("GET /a?b=c HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_connection_whose_answer_was_read_is_used_again_and_a_closed_one_is_not_missed() {
        let server = Server::start(&[2, 2], HELLO).await;
        let client = ClearText::default();
        for _ in 0..4 {
            let reply = server.ask(&client).await.unwrap();
            assert_eq!(&reply.bytes().await.unwrap()[..], b"hello");
        }
        assert_eq!(server.connections(), [0, 0, 1, 1]);
    }

    #[tokio::test]
    async fn who_asks_while_an_answer_is_read_or_after_one_that_was_not_has_a_connection_anew() {
        let server = Server::start(&[1, 1, 2], HELLO).await;
        let client = ClearText::default();
        let unread = server.ask(&client).await.unwrap();
        drop(server.ask(&client).await.unwrap());
        let read = server.ask(&client).await.unwrap();
        read.bytes().await.unwrap();
        server.ask(&client).await.unwrap();
        assert_eq!(server.connections(), [0, 1, 2, 2]);
        drop(unread);
    }

    #[tokio::test]
    async fn a_connection_to_one_server_is_not_taken_for_another() {
        let (one, other) = (
            Server::start(&[1], HELLO).await,
            Server::start(&[1], HELLO).await,
        );
        let client = ClearText::default();
        for server in [&one, &other] {
            server.ask(&client).await.unwrap().bytes().await.unwrap();
            assert_eq!(server.connections(), [0]);
        }
    }

    #[tokio::test]
    async fn what_is_not_http_or_breaks_off_is_an_error() {
        for answer in ["SSH-2.0-OpenSSH_9.6\r\n", "", "HTTP/1.1 200 OK\r\ncont"] {
            let server = Server::start(&[1], answer).await;
            let error = server.ask(&ClearText::default()).await.unwrap_err();
            assert!(!error.could_not_connect, "{answer:?}");
        }
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
        let server = Server::start(&[1, 1], cut).await;
        let client = ClearText::default();
        for n in 0..2 {
            let reply = server.ask(&client).await.unwrap();
            assert!(reply.bytes().await.is_err());
            assert_eq!(server.connections().last(), Some(&n));
        }
    }
}
