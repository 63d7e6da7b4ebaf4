//! `/batch`: several calls in one request.

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};

use crate::error_responses;
use crate::random;
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;

/// The maximum number of calls in one request.
const MAX_CALLS: usize = 1000;

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    perform(shared, request).unwrap_or_else(|error| error)
}

fn perform(shared: &Shared, request: &Request) -> Result<Response, Response> {
    let invalid = || {
        error_responses::invalid_argument(
            "Failed to parse batch request, error: invalid multipart body.",
        )
    };
    let boundary = request
        .header("content-type")
        .and_then(|value| value.strip_prefix("multipart/mixed;"))
        .and_then(|value| value.trim().strip_prefix("boundary="))
        .map(|value| value.trim_matches('"'))
        .filter(|boundary| !boundary.is_empty())
        .ok_or_else(invalid)?;
    let text = std::str::from_utf8(&request.body).map_err(|_| invalid())?;
    let delimiter = format!("--{boundary}");
    // Strict RFC 2046: CRLF line endings, no preamble, and a closing delimiter.
    let mut parts = format!("\r\n{text}");
    let end = format!("\r\n{delimiter}--\r\n");
    if !parts.ends_with(&end) {
        return Err(invalid());
    }
    parts.truncate(parts.len() - end.len());
    let begin = format!("\r\n{delimiter}\r\n");
    let mut parts = parts.split(&begin);
    if parts.next() != Some("") {
        return Err(invalid());
    }
    let calls: Vec<Call> = parts
        .map(|part| call(part, request).ok_or_else(invalid))
        .collect::<Result<_, _>>()?;
    if calls.is_empty() || calls.len() > MAX_CALLS {
        return Err(error_responses::invalid_argument(&format!(
            "The batch request could not be processed: the number of calls must be from 1 to {MAX_CALLS}."
        )));
    }
    let boundary = format!("batch_{}", random::url_safe(18));
    let mut body = Vec::new();
    for Call { id, request } in calls {
        let response = super::earthengine::handle_one(shared, &request);
        let content_type = response
            .headers
            .iter()
            .find(|(name, _)| name == CONTENT_TYPE)
            .and_then(|(_, value)| value.to_str().ok())
            .unwrap_or_default();
        let head = format!(
            "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n\
             HTTP/1.1 {} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            response.status.as_u16(),
            response.status.canonical_reason().unwrap_or_default(),
            response.body.len(),
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&response.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(Response::new(
        200,
        &format!("multipart/mixed; boundary={boundary}"),
        body,
    ))
}

struct Call {
    id: String,
    request: Request,
}

/// Parses one part: its headers and its request, which inherits the batch's credentials.
fn call(part: &str, outer: &Request) -> Option<Call> {
    let (part_headers, http) = part.split_once("\r\n\r\n")?;
    let mut id = None;
    let mut is_http = false;
    for line in part_headers.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-id" => id = Some(value.strip_prefix('<')?.strip_suffix('>')?.to_owned()),
            "content-type" => is_http = value == "application/http",
            _ => {}
        }
    }
    let (head, body) = http.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let method = Method::from_bytes(words.next()?.as_bytes()).ok()?;
    let target = words.next()?;
    if words.next()? != "HTTP/1.1" || !target.starts_with('/') || !is_http {
        return None;
    }
    let mut headers = outer.headers.clone();
    headers.remove(CONTENT_TYPE);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Call {
        id: id?,
        request: Request {
            method,
            host: outer.host.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        },
    })
}
