//! The HTTP server: accepts connections, records requests, applies faults and calls hosts.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, DATE};
use http::{HeaderValue, Response as HttpResponse};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::body::{BodyStream, ResponseBody, connection_closed};
use crate::fault::{Fault, FaultKind};
use crate::recorded::RecordedRequest;
use crate::request::Request;
use crate::response::{Outcome, Response};
use crate::state::Shared;
use crate::{error_responses, hosts};

/// The maximum size of a request body.
const MAX_BODY_SIZE: usize = 32 * 1024 * 1024;

/// Serves until `stop` changes or its sender is dropped, then closes all connections.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            // Collects finished connections, so that the set does not grow.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(async move {
                        // Small responses should not wait for the client's acknowledgement.
                        let _ = stream.set_nodelay(true);
                        let service = service_fn(|request| serve_request(&shared, request));
                        // Connections are expected to break: clients close them, and so do faults.
                        let _ = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                // Most likely out of file descriptors: wait for some connections to close.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve_request(
    shared: &Shared,
    incoming: http::Request<Incoming>,
) -> io::Result<HttpResponse<ResponseBody>> {
    let (head, body) = incoming.into_parts();
    let body = match Limited::new(body, MAX_BODY_SIZE).collect().await {
        Ok(body) => Some(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        // The client hung up before the request was complete.
        Err(error) => return Err(io::Error::other(error)),
    };
    let (host, path) = Request::split_path(head.uri.path());
    let too_large = body.is_none();
    let request = Request {
        method: head.method,
        host,
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    };
    let number = record(shared, &request);
    let _finish = FinishOnDrop { shared, number };
    let response = if too_large {
        // The unread rest of the body makes the connection unusable.
        let response = error_responses::payload_too_large().with(CONNECTION, "close");
        full(shared, response)
    } else if let Some(permit) = shared.concurrency.try_acquire(&request.host) {
        let mut response = respond(shared, &request, number).await?;
        response.body_mut().permit = Some(permit);
        response
    } else {
        full(shared, error_responses::too_many_concurrent_aggregations())
    };
    shared.log().set_status(number, response.status().as_u16());
    Ok(response)
}

/// Marks a request as finished when dropped, also if the client disconnects first.
struct FinishOnDrop<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.log().finish(self.number);
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

/// Returns the response, or an error that makes hyper close the connection without one.
async fn respond(
    shared: &Shared,
    request: &Request,
    number: u64,
) -> io::Result<HttpResponse<ResponseBody>> {
    let fault = shared.faults().take(request);
    let Some(fault) = fault else {
        return host_response(shared, request).map(|response| full(shared, response));
    };
    shared.log().set_fault(number, fault.name());
    let Fault { kind, delay, .. } = fault;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Ok(match kind {
        FaultKind::Normal => full(shared, host_response(shared, request)?),
        FaultKind::Respond(response) => full(shared, response),
        FaultKind::Disconnect => return Err(connection_closed()),
        FaultKind::Truncate(bytes) => truncated(shared, host_response(shared, request)?, bytes),
        FaultKind::Stream(total) => stream(shared, BodyStream::generated(total)),
        FaultKind::BreakStream(bytes) => stream(shared, BodyStream::generated_truncated(bytes)),
        FaultKind::Slow(chunk, interval) => {
            let response = host_response(shared, request)?;
            let body = BodyStream::slow(response.body.clone(), chunk, interval);
            with_body(shared, &response, body)
        }
        FaultKind::Gzip => {
            let response = host_response(shared, request)?;
            full(
                shared,
                if accepts_gzip(request) {
                    gzip(response)?
                } else {
                    response
                },
            )
        }
    })
}

fn host_response(shared: &Shared, request: &Request) -> io::Result<Response> {
    match hosts::handle(shared, request) {
        Outcome::Response(response) => Ok(response),
        Outcome::Close => Err(connection_closed()),
    }
}

fn full(shared: &Shared, response: Response) -> HttpResponse<ResponseBody> {
    let body = BodyStream::full(response.body.clone());
    with_body(shared, &response, body)
}

fn stream(shared: &Shared, body: BodyStream) -> HttpResponse<ResponseBody> {
    let response = Response::new(200, "application/json; charset=UTF-8", "");
    with_body(shared, &response, body)
}

/// Returns whether both headers that Google's front ends require contain `gzip`.
fn accepts_gzip(request: &Request) -> bool {
    let has = |name| {
        request
            .header(name)
            .is_some_and(|value| value.contains("gzip"))
    };
    has("accept-encoding") && has("user-agent")
}

fn gzip(mut response: Response) -> io::Result<Response> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&response.body)?;
    response.body = encoder.finish()?.into();
    Ok(response.with(CONTENT_ENCODING, "gzip"))
}

fn truncated(shared: &Shared, response: Response, bytes: usize) -> HttpResponse<ResponseBody> {
    let length = response.body.len();
    let kept = response.body.slice(..bytes.min(length));
    let mut truncated = with_body(shared, &response, BodyStream::truncated(kept));
    truncated
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    truncated
}

fn with_body(shared: &Shared, response: &Response, body: BodyStream) -> HttpResponse<ResponseBody> {
    let mut sent = HttpResponse::new(ResponseBody {
        stream: body,
        permit: None,
    });
    *sent.status_mut() = response.status;
    let headers = sent.headers_mut();
    for (name, value) in &response.headers {
        headers.append(name, value.clone());
    }
    if !headers.contains_key(DATE) {
        let date = shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT");
        if let Ok(date) = HeaderValue::from_str(&date.to_string()) {
            headers.insert(DATE, date);
        }
    }
    sent
}
