//! The reply to many calls in one request: `multipart/mixed` (RFC 2046 §5.1) of
//! `application/http` parts. It comes from outside: every length is bounded by what was
//! received, and nothing is taken for granted.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The longest boundary (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// What is read of headers at most, in bytes and in number.
const LONGEST_HEADERS: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;

/// One part of the reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The id of the call that it answers.
    pub(crate) id: String,
    /// The answer, or what is wrong with it.
    pub(crate) answer: Result<Answer<'a>, &'static str>,
}

/// The answer to one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Reads a reply with so many parts at most.
pub(crate) fn parse<'a>(
    content_type: &str,
    body: &'a [u8],
    most: usize,
) -> Result<Vec<Part<'a>>, &'static str> {
    let boundary = boundary(content_type)?;
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary.as_bytes());
    let mut parts = Vec::new();
    let mut rest = match find_delimiter(body, &delimiter) {
        Some((_, after)) => after,
        None => return Err("it has no parts"),
    };
    // `rest` begins right behind a delimiter.
    while !rest.starts_with(b"--") {
        let Some(start) = rest.iter().position(|b| *b == b'\n') else {
            break;
        };
        let content = &rest[start + 1..];
        let (content, next, whole) = match find_delimiter(content, &delimiter) {
            Some((end, after)) => (&content[..end], after, true),
            None => (content, &[][..], false),
        };
        // A part without an id answers nobody's call.
        if let Some(mut part) = read_part(content) {
            if !whole {
                part.answer = Err("it is cut off");
            }
            if parts.len() == most {
                return Err("it has more parts than there were calls");
            }
            parts.push(part);
        }
        if !whole {
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
    let boundary = boundary.ok_or("it names no boundary")?;
    let boundary = boundary
        .strip_prefix('"')
        .and_then(|quoted| quoted.strip_suffix('"'))
        .unwrap_or(boundary);
    if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
        return Err("its boundary is empty or too long");
    }
    Ok(boundary)
}

/// The next line that begins with the delimiter: where the content before it ends, and what
/// follows the delimiter. The line end before a delimiter belongs to the delimiter.
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
    // Google puts this in front of the call's own id.
    let id = id.strip_prefix("response-")?.to_owned();
    Some(Part {
        id,
        answer: read_answer(rest),
    })
}

fn read_answer(http: &[u8]) -> Result<Answer<'_>, &'static str> {
    let end = http
        .iter()
        .take(LONGEST_HEADERS)
        .position(|b| *b == b'\n')
        .ok_or("it has no status")?;
    let line = std::str::from_utf8(&http[..end]).map_err(|_| "its status is no text")?;
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse::<u16>().ok());
    let status = status
        .filter(|_| version.starts_with("HTTP/"))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or("it has no status")?;
    let (headers, mut body) = split_headers(&http[end + 1..]).ok_or("its headers do not end")?;
    let length = headers.get(http::header::CONTENT_LENGTH).map(|length| {
        length
            .to_str()
            .ok()
            .and_then(|length| length.trim().parse::<usize>().ok())
    });
    match length {
        None => {}
        Some(None) => return Err("its length is no number"),
        Some(Some(length)) => body = body.get(..length).ok_or("it is cut off")?,
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Headers up to an empty line, and what follows. Lines that are no headers are left out.
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
        if at > LONGEST_HEADERS || headers.len() > MOST_HEADERS {
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
