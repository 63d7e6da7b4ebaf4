//! The HTTP server: connections in, requests recorded, faults applied, hosts asked.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, DATE};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::body::{Answer, AnswerBody};
use crate::concurrency::Crowds;
use crate::fault::{Fault, FaultKind, Faults};
use crate::recorded::{RecordedRequest, RequestLog};
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::state::State;
use crate::{EmulatorClock, hosts, refusals};

/// The longest request body that is read.
const LONGEST_BODY: usize = 32 * 1024 * 1024;

/// What all connections share with the [`Emulator`](crate::Emulator) that the owner holds.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) clock: EmulatorClock,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    log: Mutex<RequestLog>,
    pub(crate) crowds: Crowds,
    /// How many connections were taken so far.
    pub(crate) connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, clock: EmulatorClock, state: State) -> Self {
        Self {
            address,
            clock,
            state: Mutex::new(state),
            faults: Mutex::default(),
            log: Mutex::default(),
            crowds: Crowds::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, RequestLog> {
        lock(&self.log)
    }

    /// Where a host is emulated, without a slash at the end.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("http://{}/{host}", self.address)
    }
}

/// A test that panicked while it held a lock must not take the others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until `stop` changes or its sender is gone, then drops all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            // Finished connections are collected here, so that the set does not grow.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(async move {
                        // Small answers should not wait for the client's acknowledgement.
                        let _ = stream.set_nodelay(true);
                        let service = service_fn(|request| answer(&shared, request));
                        // A connection that breaks is the client's business or a fault's.
                        let _ = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                // Out of file descriptors, most likely: let some connections end first.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn answer(
    shared: &Shared,
    incoming: http::Request<Incoming>,
) -> io::Result<Response<Answer>> {
    let (head, body) = incoming.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await;
    let (host, path) = Request::split_path(head.uri.path());
    let too_long = body.is_err();
    let request = Request {
        method: head.method,
        host,
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.map_or_else(|_| Bytes::new(), |body| body.to_bytes()),
    };
    let number = record(shared, &request);
    let _ended = Ended { shared, number };
    let response = if too_long {
        // The rest of the body is still on the connection, which is useless therefore.
        let reply = refusals::payload_too_large().with(CONNECTION, "close");
        whole(shared, reply)
    } else if let Some(inside) = shared.crowds.enter(&request.host) {
        let mut response = respond(shared, &request, number).await?;
        response.body_mut().inside = Some(inside);
        response
    } else {
        whole(shared, refusals::too_many_concurrent_aggregations())
    };
    shared.log().answered(number, response.status().as_u16());
    Ok(response)
}

/// Notes the end of a request, whichever way it ends: the client may go away before.
struct Ended<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.shared.log().ended(self.number);
    }
}

fn record(shared: &Shared, request: &Request) -> u64 {
    let recorded = RecordedRequest {
        method: request.method.clone(),
        host: request.host.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        status: None,
        fault: None,
        at: shared.clock.now(),
        received: Instant::now(),
    };
    shared.log().add(recorded)
}

/// The answer, or an error that makes hyper close the connection without one.
async fn respond(shared: &Shared, request: &Request, number: u64) -> io::Result<Response<Answer>> {
    let fault = shared.faults().take(&request.host, &request.path);
    let Some(fault) = fault else {
        return real(shared, request).map(|reply| whole(shared, reply));
    };
    shared.log().met_with(number, fault.name());
    let Fault { kind, delay, .. } = fault;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Ok(match kind {
        FaultKind::Real => whole(shared, real(shared, request)?),
        FaultKind::Respond(reply) => whole(shared, reply),
        FaultKind::Disconnect => return Err(cut()),
        FaultKind::Truncate(bytes) => truncated(shared, real(shared, request)?, bytes),
        FaultKind::Stream(total) => stream(shared, AnswerBody::endless(total)),
        FaultKind::BreakStream(bytes) => stream(shared, AnswerBody::endless_broken(bytes)),
        FaultKind::Slow(piece, pause) => {
            let reply = real(shared, request)?;
            let body = AnswerBody::slow(reply.body.clone(), piece, pause);
            head(shared, &reply, body)
        }
        FaultKind::Gzip => {
            let reply = real(shared, request)?;
            whole(
                shared,
                if takes_gzip(request) {
                    gzip(reply)?
                } else {
                    reply
                },
            )
        }
    })
}

fn real(shared: &Shared, request: &Request) -> io::Result<Reply> {
    match hosts::answer(shared, request) {
        Outcome::Reply(reply) => Ok(reply),
        Outcome::Cut => Err(cut()),
    }
}

fn whole(shared: &Shared, reply: Reply) -> Response<Answer> {
    let body = AnswerBody::whole(reply.body.clone());
    head(shared, &reply, body)
}

fn stream(shared: &Shared, body: AnswerBody) -> Response<Answer> {
    let reply = Reply::new(200, "application/json; charset=UTF-8", "");
    head(shared, &reply, body)
}

/// Google's front ends want both.
fn takes_gzip(request: &Request) -> bool {
    let has = |name| {
        request
            .header(name)
            .is_some_and(|value| value.contains("gzip"))
    };
    has("accept-encoding") && has("user-agent")
}

fn gzip(mut reply: Reply) -> io::Result<Reply> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&reply.body)?;
    reply.body = encoder.finish()?.into();
    Ok(reply.with(CONTENT_ENCODING, "gzip"))
}

fn truncated(shared: &Shared, reply: Reply, bytes: usize) -> Response<Answer> {
    let kept = reply.body.slice(..bytes.min(reply.body.len()));
    let mut response = head(shared, &reply, AnswerBody::broken(kept));
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    response
}

fn head(shared: &Shared, reply: &Reply, body: AnswerBody) -> Response<Answer> {
    let mut response = Response::new(Answer { body, inside: None });
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        headers.append(name, value.clone());
    }
    if !headers.contains_key(DATE) {
        let date = shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT");
        if let Ok(date) = HeaderValue::from_str(&date.to_string()) {
            headers.insert(DATE, date);
        }
    }
    response
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut on request")
}
