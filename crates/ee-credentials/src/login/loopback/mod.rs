//! The callback server (RFC 8252 §7.3), to which the consent page redirects the browser. It accepts
//! one response, the one with this login's state, and answers every other request with a page.

pub(crate) mod http;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ee_token::{Remedy, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::login::authorization::{AuthorizationResponse, InvalidCallback};
use crate::login::loopback::http::{Page, Request, RequestError, drain};
use crate::{Error, ErrorKind};

/// The number of concurrent connections. Further connections wait.
const MAX_CONNECTIONS: usize = 64;
/// How often to select a free IPv4 port that is then in use on IPv6.
const MAX_TRIES: usize = 20;
/// How long the final page may take to reach the browser.
const FINAL_PAGE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const DONE: Page = Page {
    status: "200 OK",
    title: "You are logged in",
    text: "The login to Earth Engine is complete. You can close this window.",
};
pub(super) const FAILED: Page = Page {
    status: "200 OK",
    title: "The login failed",
    text: "The program that started the login shows the reason. You can close this window.",
};
const NOT_YET: Page = Page {
    status: "200 OK",
    title: "Waiting for your login",
    text: "A program on this machine is waiting for a login to Earth Engine. Open the page that it shows.",
};
const FOREIGN: Page = Page {
    status: "400 Bad Request",
    title: "Wrong login",
    text: "This response belongs to another login. Open the page that the program shows and try again.",
};
const MALFORMED: Page = Page {
    status: "400 Bad Request",
    title: "Bad request",
    text: "This is not a response of Google's consent page.",
};
const SECOND: Page = Page {
    status: "409 Conflict",
    title: "Already received",
    text: "A response to this login was already received. You can close this window.",
};
const NOT_FOUND: Page = Page {
    status: "404 Not Found",
    title: "Not found",
    text: "There is nothing here.",
};
const NOT_ALLOWED: Page = Page {
    status: "405 Method Not Allowed",
    title: "Method not allowed",
    text: "Only GET requests are accepted.",
};
const MISDIRECTED: Page = Page {
    status: "421 Misdirected Request",
    title: "Misdirected request",
    text: "This address belongs to a program on this machine.",
};
const TOO_LONG: Page = Page {
    status: "431 Request Header Fields Too Large",
    title: "Request too long",
    text: "The request is longer than any response of Google's consent page.",
};

/// Which port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// This port; it is an error if it is in use.
    Fixed(u16),
    /// This port, or a free one if it is in use.
    Preferred(u16),
}

/// Listeners on 127.0.0.1 and, if available, on ::1, because browsers resolve `localhost` to either.
#[derive(Debug)]
pub(super) struct Loopback {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Loopback {
    pub(super) async fn bind(port: Port) -> Result<Self, Error> {
        let (Port::Fixed(number) | Port::Preferred(number)) = port;
        let bound = match (bind_both(number).await, port) {
            (Err(error), Port::Preferred(_)) if is_taken(&error) => bind_both(0).await,
            (bound, _) => bound,
        };
        bound.map_err(|error| {
            let reason = if is_taken(&error) {
                "it is in use by another program".to_owned()
            } else {
                error.to_string()
            };
            Error::new(
                ErrorKind::LoginUnavailable,
                format!("cannot listen on port {number}: {reason}"),
            )
            .with_remedy(
                Remedy::new("Use another port; 0 selects a free one.")
                    .command("eectl auth login --mode=localhost:0"),
            )
            .with_source(error)
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the redirect URI, in the same form as the Python client's.
    pub(super) fn redirect_uri(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Starts the server in a separate task.
    pub(super) fn serve(self, state: &SecretString) -> PendingCallback {
        let (sender, responses) = mpsc::channel(1);
        let handler = Arc::new(CallbackHandler::new(state, self.port, sender));
        let task = tokio::spawn(serve(self.listeners, handler));
        PendingCallback {
            responses,
            task: task.abort_handle(),
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

async fn bind_both(port: u16) -> io::Result<Loopback> {
    let mut tries = 0;
    loop {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let number = v4.local_addr()?.port();
        let listeners = match TcpListener::bind((Ipv6Addr::LOCALHOST, number)).await {
            Ok(v6) => vec![v4, v6],
            // Another program on IPv6 would receive the code if the browser tried it first.
            Err(error) if is_taken(&error) => {
                tries += 1;
                if port == 0 && tries < MAX_TRIES {
                    continue;
                }
                return Err(error);
            }
            // The machine has no IPv6.
            Err(_) => vec![v4],
        };
        return Ok(Loopback {
            listeners,
            port: number,
        });
    }
}

/// A running callback server. It stops when this is dropped.
#[derive(Debug)]
pub(super) struct PendingCallback {
    responses: mpsc::Receiver<(AuthorizationResponse, FinalPage)>,
    task: AbortHandle,
}

impl PendingCallback {
    /// Waits for the response. Later responses are rejected.
    pub(super) async fn response(&mut self) -> Result<(AuthorizationResponse, FinalPage), Error> {
        self.responses.recv().await.ok_or_else(|| {
            Error::new(
                ErrorKind::LoginFailed,
                "the runtime shut down before the browser responded",
            )
            .with_remedy(Remedy::new("Log in again."))
        })
    }
}

impl Drop for PendingCallback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection of a browser that waits for its final page.
#[derive(Debug)]
pub(super) struct FinalPage {
    page: oneshot::Sender<Page>,
    sent: oneshot::Receiver<()>,
}

impl FinalPage {
    /// Sends the final page and waits briefly until it was sent.
    pub(super) async fn show(self, page: Page) {
        if self.page.send(page).is_ok() {
            // The terminal shows the outcome, too.
            let _ = timeout(FINAL_PAGE_TIMEOUT, self.sent).await;
        }
    }
}

/// Validates callbacks; shared by all connections.
pub(super) struct CallbackHandler {
    state: SecretString,
    port: u16,
    received: AtomicBool,
    sender: mpsc::Sender<(AuthorizationResponse, FinalPage)>,
}

async fn serve(listeners: Vec<TcpListener>, handler: Arc<CallbackHandler>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match accept(&listeners).await {
            Ok(stream) => {
                connections.spawn(serve_connection(stream, handler.clone()));
            }
            // Too many open files, or a client that disconnected immediately.
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    let (stream, _) = match listeners {
        [one, other] => tokio::select! {
            accepted = one.accept() => accepted?,
            accepted = other.accept() => accepted?,
        },
        [one, ..] => one.accept().await?,
        [] => std::future::pending().await,
    };
    Ok(stream)
}

async fn serve_connection(mut stream: TcpStream, handler: Arc<CallbackHandler>) {
    let page = match Request::read(&mut stream).await {
        Ok(request) => match handler.handle(&request) {
            Ok(response) => return deliver(stream, response, &handler).await,
            Err(page) => page,
        },
        Err(RequestError::Disconnected) => return,
        Err(RequestError::Malformed) => MALFORMED,
        Err(RequestError::TooLong) => TOO_LONG,
    };
    page.send(&mut stream).await;
    drain(&mut stream).await;
}

/// Passes the response to the login, and sends the login's final page to the browser.
async fn deliver(
    mut stream: TcpStream,
    response: AuthorizationResponse,
    handler: &CallbackHandler,
) {
    let (page, shown) = oneshot::channel();
    let (sent, was_sent) = oneshot::channel();
    let browser = FinalPage {
        page,
        sent: was_sent,
    };
    let page = match handler.sender.send((response, browser)).await {
        Ok(()) => shown.await.unwrap_or(FAILED),
        Err(_) => FAILED,
    };
    page.send(&mut stream).await;
    // The login may have stopped waiting.
    let _ = sent.send(());
    drain(&mut stream).await;
}

impl CallbackHandler {
    pub(super) fn new(
        state: &SecretString,
        port: u16,
        sender: mpsc::Sender<(AuthorizationResponse, FinalPage)>,
    ) -> Self {
        Self {
            state: state.clone(),
            port,
            received: AtomicBool::new(false),
            sender,
        }
    }

    /// Returns the response in the request, or the page to send instead.
    pub(super) fn handle(&self, request: &Request) -> Result<AuthorizationResponse, Page> {
        if !request.is_for(self.port) {
            return Err(MISDIRECTED);
        }
        if request.method != "GET" {
            return Err(NOT_ALLOWED);
        }
        if request.path != "/" {
            return Err(NOT_FOUND);
        }
        if request.query.is_empty() {
            return Err(NOT_YET);
        }
        let response = AuthorizationResponse::parse(&request.query, self.state.expose_secret());
        let response = response.map_err(|reason| match reason {
            InvalidCallback::StateMismatch => FOREIGN,
            InvalidCallback::Malformed => MALFORMED,
        })?;
        if self.received.swap(true, Ordering::AcqRel) {
            return Err(SECOND);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
