//! The address on this machine that the consent page sends the browser back to
//! (RFC 8252 §7.3): it takes one answer, the one with this login's state, and outlives
//! whatever else comes along.

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

use crate::login::authorization::{Answer, NoAnswer};
use crate::login::loopback::http::{Bad, Page, Request, drain};
use crate::{Error, ErrorKind};

/// Enough for any browser; the next one waits until one of these is done.
const MAX_CONNECTIONS: usize = 64;
/// How often any free port is tried that then is not free under the other address.
const MAX_TRIES: usize = 20;
/// How long the last page may take to reach the browser.
const LAST_PAGE: Duration = Duration::from_secs(2);

pub(super) const DONE: Page = Page {
    status: "200 OK",
    title: "You are logged in",
    text: "Earth Engine: the login is done. You can close this window.",
};
pub(super) const FAILED: Page = Page {
    status: "200 OK",
    title: "The login came to nothing",
    text: "The program that asked for it says why. You can close this window.",
};
const NOT_YET: Page = Page {
    status: "200 OK",
    title: "Waiting for your login",
    text: "A program on this machine waits for a login to Earth Engine: open the page that it named.",
};
const FOREIGN: Page = Page {
    status: "400 Bad Request",
    title: "This is another login",
    text: "The answer does not belong to the login that is waited for here. Open the page that the program named, and try again.",
};
const MALFORMED: Page = Page {
    status: "400 Bad Request",
    title: "Bad request",
    text: "This is not an answer of Google's consent page.",
};
const SECOND: Page = Page {
    status: "409 Conflict",
    title: "The login was answered before",
    text: "One answer was taken already. You can close this window.",
};
const NOT_FOUND: Page = Page {
    status: "404 Not Found",
    title: "Not found",
    text: "There is nothing here.",
};
const NOT_ALLOWED: Page = Page {
    status: "405 Method Not Allowed",
    title: "Method not allowed",
    text: "Browsers come here with GET.",
};
const MISDIRECTED: Page = Page {
    status: "421 Misdirected Request",
    title: "Misdirected request",
    text: "This address belongs to a program on this machine.",
};
const TOO_LONG: Page = Page {
    status: "431 Request Header Fields Too Large",
    title: "Too long",
    text: "This is longer than any answer of Google's consent page.",
};

/// Which port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// This one; if it is in use, that is an error.
    Named(u16),
    /// This one if it is free, and any other if not.
    Preferred(u16),
}

/// Listens on 127.0.0.1 and, where there is one, on ::1: browsers try either for `localhost`.
#[derive(Debug)]
pub(super) struct Loopback {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Loopback {
    pub(super) async fn bind(port: Port) -> Result<Self, Error> {
        let (Port::Named(number) | Port::Preferred(number)) = port;
        let bound = match (bind_both(number).await, port) {
            (Err(error), Port::Preferred(_)) if is_taken(&error) => bind_both(0).await,
            (bound, _) => bound,
        };
        bound.map_err(|error| {
            let why = if is_taken(&error) {
                "another program uses it".to_owned()
            } else {
                error.to_string()
            };
            Error::new(
                ErrorKind::LoginUnavailable,
                format!("port {number} of this machine cannot be listened on: {why}"),
            )
            .with_remedy(
                Remedy::new("Take another port; 0 means any that is free.")
                    .command("eectl auth login --mode=localhost:0"),
            )
            .with_source(error)
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the consent page is told: to the letter what the Python client says.
    pub(super) fn redirect_uri(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Begins to answer, in a task of its own.
    pub(super) fn serve(self, state: &SecretString) -> Waiting {
        let (answer, answers) = mpsc::channel(1);
        let door = Arc::new(Door::new(state, self.port, answer));
        let task = tokio::spawn(serve(self.listeners, door));
        Waiting {
            answers,
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
            // Somebody else's there would get the code, if the browser tries that first.
            Err(error) if is_taken(&error) => {
                tries += 1;
                if port == 0 && tries < MAX_TRIES {
                    continue;
                }
                return Err(error);
            }
            // No IPv6 on this machine.
            Err(_) => vec![v4],
        };
        return Ok(Loopback {
            listeners,
            port: number,
        });
    }
}

/// A login that waits for its answer. Nobody listens any more once it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    answers: mpsc::Receiver<(Answer, LastPage)>,
    task: AbortHandle,
}

impl Waiting {
    /// The answer, and the browser that brought it. Later answers are refused.
    pub(super) async fn answer(&mut self) -> Result<(Answer, LastPage), Error> {
        self.answers.recv().await.ok_or_else(|| {
            Error::new(
                ErrorKind::LoginFailed,
                "the runtime ended before the browser answered",
            )
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A browser that waits for its last page.
#[derive(Debug)]
pub(super) struct LastPage {
    page: oneshot::Sender<Page>,
    sent: oneshot::Receiver<()>,
}

impl LastPage {
    /// Shows the last page, and waits a moment for it to arrive.
    pub(super) async fn show(self, page: Page) {
        if self.page.send(page).is_ok() {
            // If it does not arrive, the terminal tells the same.
            let _ = timeout(LAST_PAGE, self.sent).await;
        }
    }
}

/// What every connection needs to know.
pub(super) struct Door {
    state: SecretString,
    port: u16,
    answered: AtomicBool,
    answer: mpsc::Sender<(Answer, LastPage)>,
}

async fn serve(listeners: Vec<TcpListener>, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match accept(&listeners).await {
            Ok(stream) => {
                connections.spawn(talk(stream, door.clone()));
            }
            // Out of file handles, or a client that was gone at once.
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
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

async fn talk(mut stream: TcpStream, door: Arc<Door>) {
    let page = match Request::read(&mut stream).await {
        Ok(request) => match door.judge(&request) {
            Ok(answer) => return hand_over(stream, answer, &door).await,
            Err(page) => page,
        },
        Err(Bad::Silent) => return,
        Err(Bad::Malformed) => MALFORMED,
        Err(Bad::TooLong) => TOO_LONG,
    };
    page.send(&mut stream).await;
    drain(&mut stream).await;
}

/// Gives the answer to the login, and the browser the page that the login ends with.
async fn hand_over(mut stream: TcpStream, answer: Answer, door: &Door) {
    let (page, shown) = oneshot::channel();
    let (sent, was_sent) = oneshot::channel();
    let browser = LastPage {
        page,
        sent: was_sent,
    };
    let page = match door.answer.send((answer, browser)).await {
        Ok(()) => shown.await.unwrap_or(FAILED),
        Err(_) => FAILED,
    };
    page.send(&mut stream).await;
    // Nobody may be waiting any more.
    let _ = sent.send(());
    drain(&mut stream).await;
}

impl Door {
    pub(super) fn new(
        state: &SecretString,
        port: u16,
        answer: mpsc::Sender<(Answer, LastPage)>,
    ) -> Self {
        Self {
            state: state.clone(),
            port,
            answered: AtomicBool::new(false),
            answer,
        }
    }

    /// The answer, if the request brings it, or else the page that it gets.
    pub(super) fn judge(&self, request: &Request) -> Result<Answer, Page> {
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
        let answer = Answer::parse(&request.query, self.state.expose_secret());
        let answer = answer.map_err(|why| match why {
            NoAnswer::ForeignState => FOREIGN,
            NoAnswer::Malformed => MALFORMED,
        })?;
        if self.answered.swap(true, Ordering::AcqRel) {
            return Err(SECOND);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
