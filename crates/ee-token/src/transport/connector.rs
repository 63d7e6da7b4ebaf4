//! How connections to one host are opened: ahead of the request that needs them, and only one at a
//! time while it is unknown whether requests can share it.
//!
//! The HTTP client opens a connection for each request that finds none. Without this layer, 40 tasks
//! that start at the same time make 40 handshakes, of which HTTP/2 needs one.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper_util::client::legacy::connect::Connection;
use reqwest::{Client, Method, Request};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

/// The timeout of a connection, with its handshakes.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept for a request. Servers close it soon after.
const MAX_UNUSED: Duration = Duration::from_secs(10);
/// How long a request waits to be sent on an HTTP/2 connection that another one has opened.
const MAX_HANDOVER: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Set while a connection is opened ahead of its request.
    static AHEAD: ();
}

/// Opens a connection to the host of `url`, to which this client has not sent a request yet.
/// Failures are ignored: the request tries again.
pub(crate) fn open_ahead(client: &Client, url: Url) {
    let mut unsent = Box::pin(client.execute(Request::new(Method::GET, url)));
    // The first poll calls the connector, which continues in a task. The request itself is dropped
    // unsent.
    AHEAD.sync_scope((), || {
        let _pending = unsent
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    });
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// The layer of one client's connector. All its connections go to one host.
#[derive(Clone, Default)]
pub(crate) struct SharedConnections(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// An unused connection, and when it was opened. Its type has no name.
    unused: Option<(Box<dyn Any + Send>, Instant)>,
    last: Option<(Outcome, Instant)>,
}

/// How the last attempt to connect ended.
enum Outcome {
    /// An HTTP/2 connection, which all requests share.
    Shared,
    /// A connection for one request at a time.
    Single,
    Failed(SharedError),
}

impl State {
    /// Takes the unused connection.
    fn take<C: 'static>(&mut self) -> Option<C> {
        let (connection, since) = self.unused.take()?;
        let connection = connection.downcast().ok()?;
        (since.elapsed() < MAX_UNUSED).then_some(*connection)
    }

    fn record(&mut self, connection: &impl Connection) {
        let outcome = if connection.connected().is_negotiated_h2() {
            Outcome::Shared
        } else {
            Outcome::Single
        };
        self.last = Some((outcome, Instant::now()));
    }
}

impl<S> Layer<S> for SharedConnections {
    type Service = Connector<S>;

    fn layer(&self, connector: S) -> Connector<S> {
        Connector {
            connector: Arc::new(connector),
            state: self.0.clone(),
        }
    }
}

/// A connector that opens one connection at a time until it knows the protocol. Shares its fields,
/// because the HTTP client clones it several times per request.
#[derive(Clone)]
pub(crate) struct Connector<S> {
    connector: Arc<S>,
    state: Arc<Mutex<State>>,
}

impl<S, Target> Service<Target> for Connector<S>
where
    S: Service<Target, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Response: Connection + Send + 'static,
    S::Future: Send + 'static,
    Target: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = call_once(S::clone(&self.connector), target);
        let state = self.state.clone();
        if AHEAD.try_with(|()| ()).is_ok() {
            if let Ok(state) = state.try_lock_owned() {
                tokio::spawn(open_unused(connecting, state));
            }
            return Box::pin(pending());
        }
        Box::pin(connect(connecting, state, Instant::now()))
    }
}

/// Calls a connector when it is ready.
pub(crate) async fn call_once<S: Service<Target>, Target>(
    mut connector: S,
    target: Target,
) -> Result<S::Response, S::Error> {
    poll_fn(|context| connector.poll_ready(context)).await?;
    connector.call(target).await
}

/// Opens a connection that the first request takes.
async fn open_unused<C: Send + 'static>(
    connecting: impl Future<Output = Result<C, BoxError>>,
    mut state: OwnedMutexGuard<State>,
) {
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => state.unused = Some((Box::new(connection), Instant::now())),
        Ok(Err(error)) => tracing::debug!(error, "no connection was opened ahead of a request"),
        Err(_) => tracing::debug!("opening a connection ahead of a request timed out"),
    }
}

/// Returns a connection for a request that was sent at `called`.
async fn connect<C: Connection + Send + 'static>(
    connecting: impl Future<Output = Result<C, BoxError>> + Send + 'static,
    state: Arc<Mutex<State>>,
    called: Instant,
) -> Result<C, BoxError> {
    let mut state = state.lock_owned().await;
    if let Some(unused) = state.take() {
        state.record(&unused);
        return Ok(unused);
    }
    match &state.last {
        Some((Outcome::Single, _)) => {
            drop(state);
            connecting.await
        }
        // The client sends the request on the new connection and drops this future.
        Some((Outcome::Shared, at)) if *at >= called => {
            drop(state);
            sleep(MAX_HANDOVER).await;
            Err(io::Error::other("the connection that another request opened was lost").into())
        }
        Some((Outcome::Failed(error), at)) if *at >= called => Err(error.clone().into()),
        _ => {
            let (sender, receiver) = oneshot::channel();
            // In a task of its own, because other requests wait for it, and the task of this one
            // may stop polling.
            tokio::spawn(open(connecting, state, sender));
            receiver.await?
        }
    }
}

async fn open<C: Connection + Send + 'static>(
    connecting: impl Future<Output = Result<C, BoxError>>,
    mut state: OwnedMutexGuard<State>,
    receiver: oneshot::Sender<Result<C, BoxError>>,
) {
    let result = timeout(CONNECT_TIMEOUT, connecting).await;
    let result =
        match result.unwrap_or_else(|_| Err(Box::new(io::Error::from(io::ErrorKind::TimedOut)))) {
            Ok(connection) => {
                state.record(&connection);
                Ok(connection)
            }
            Err(error) => {
                let error = SharedError(error.into());
                state.last = Some((Outcome::Failed(error.clone()), Instant::now()));
                Err(error.into())
            }
        };
    // A request that was canceled leaves the connection to the next one.
    if let Err(Ok(connection)) = receiver.send(result) {
        state.last = None;
        state.unused = Some((Box::new(connection), Instant::now()));
    }
}

/// The failure of a connection that several requests waited for.
#[derive(Debug, Clone)]
struct SharedError(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests;
