//! The parser of batch responses: `multipart/mixed` (RFC 2046 §5.1) with `application/http` parts.
//! The input is untrusted, so every length is bounded by what was received.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The maximum length of a boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The maximum size and number of a part's headers.
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// One part of a batch response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The ID of the call.
    pub(crate) id: String,
    /// The response to the call, or why it is invalid.
    pub(crate) response: Result<PartResponse<'a>, &'static str>,
}

/// The response to one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartResponse<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Parses a batch response with at most `max_parts` parts.
pub(crate) fn parse<'a>(
    content_type: &str,
    body: &'a [u8],
    max_parts: usize,
) -> Result<Vec<Part<'a>>, &'static str> {
    let boundary = boundary(content_type)?;
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary.as_bytes());
    let mut parts = Vec::new();
    let mut rest = match find_delimiter(body, &delimiter) {
        Some((_, after)) => after,
        None => return Err("it has no parts"),
    };
    // `rest` starts right after a delimiter.
    while !rest.starts_with(b"--") {
        let Some(start) = rest.iter().position(|b| *b == b'\n') else {
            break;
        };
        let content = &rest[start + 1..];
        let (content, next, complete) = match find_delimiter(content, &delimiter) {
            Some((end, after)) => (&content[..end], after, true),
            None => (content, &[][..], false),
        };
        // A part without an ID belongs to no call.
        if let Some(mut part) = read_part(content) {
            if !complete {
                part.response = Err("it is cut off");
            }
            if parts.len() == max_parts {
                return Err("it has more parts than there were calls");
            }
            parts.push(part);
        }
        if !complete {
            break;
        }
        rest = next;
    }
    Ok(parts)
}

fn boundary(content_type: &str) -> Result<&str, &'static str> {
    let mut parameters = content_type.split(';');
    let essence = parameters.next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/mixed") {
        return Err("it is not multipart/mixed");
    }
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim())
    });
    let boundary = boundary.ok_or("it has no boundary")?;
    let boundary = boundary
        .strip_prefix('"')
        .and_then(|quoted| quoted.strip_suffix('"'))
        .unwrap_or(boundary);
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err("its boundary is empty or too long");
    }
    Ok(boundary)
}

/// Finds the next line that starts with the delimiter. Returns the end of the content before it and
/// the text after it. The line break before a delimiter is part of the delimiter.
fn find_delimiter<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<(usize, &'a [u8])> {
    let mut line = 0;
    loop {
        if let Some(after) = body.get(line..)?.strip_prefix(delimiter) {
            // `--ab` is not the delimiter `--a`.
            let ends = match after {
                [] => true,
                [b'-', b'-', ..] => true,
                [b, ..] => b.is_ascii_whitespace(),
            };
            if ends {
                let mut end = line;
                if body[..end].ends_with(b"\n") {
                    end -= 1;
                }
                if body[..end].ends_with(b"\r") {
                    end -= 1;
                }
                return Some((end, after));
            }
        }
        line += body.get(line..)?.iter().position(|b| *b == b'\n')? + 1;
    }
}

fn read_part(content: &[u8]) -> Option<Part<'_>> {
    let (headers, rest) = split_headers(content)?;
    let id = headers.get("content-id")?.to_str().ok()?.trim();
    let id = id
        .strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(id);
    // Google prefixes the ID of the call with this.
    let id = id.strip_prefix("response-")?.to_owned();
    Some(Part {
        id,
        response: read_response(rest),
    })
}

fn read_response(http: &[u8]) -> Result<PartResponse<'_>, &'static str> {
    let end = http
        .iter()
        .take(MAX_HEADER_BYTES)
        .position(|b| *b == b'\n')
        .ok_or("it has no valid status")?;
    let line = std::str::from_utf8(&http[..end]).map_err(|_| "its status line is not UTF-8")?;
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse::<u16>().ok());
    let status = status
        .filter(|_| version.starts_with("HTTP/"))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or("it has no valid status")?;
    let (headers, mut body) =
        split_headers(&http[end + 1..]).ok_or("its headers are not terminated or too long")?;
    let length = headers.get(http::header::CONTENT_LENGTH).map(|length| {
        length
            .to_str()
            .ok()
            .and_then(|length| length.trim().parse::<usize>().ok())
    });
    match length {
        None => {}
        Some(None) => return Err("its content length is not a number"),
        Some(Some(length)) => body = body.get(..length).ok_or("it is cut off")?,
    }
    Ok(PartResponse {
        status,
        headers,
        body,
    })
}

/// Splits the headers from what follows the empty line. Malformed header lines are skipped.
fn split_headers(content: &[u8]) -> Option<(HeaderMap, &[u8])> {
    let mut headers = HeaderMap::new();
    let mut at = 0;
    loop {
        let length = content.get(at..)?.iter().position(|b| *b == b'\n')?;
        let line = &content[at..at + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length + 1;
        if line.is_empty() {
            return Some((headers, &content[at..]));
        }
        if at > MAX_HEADER_BYTES || headers.len() > MAX_HEADERS {
            return None;
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
