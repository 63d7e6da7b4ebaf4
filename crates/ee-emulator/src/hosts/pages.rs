//! Pagination.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::error_responses;
use crate::request::Request;
use crate::response::Response;

/// Returns the page of a list that the query of a request asks for.
pub(super) fn requested(
    request: &Request,
    key: &str,
    items: Vec<Value>,
    list: &str,
) -> Result<Response, Response> {
    let token = request.query("pageToken");
    let size = size(request.query("pageSize"))?;
    page(key, items, list, size, token.as_deref())
}

/// Returns one page of a list. A page token contains the start index and a hash of the list's name,
/// so that it is invalid for another list.
pub(super) fn page(
    key: &str,
    items: Vec<Value>,
    list: &str,
    size: Option<usize>,
    token: Option<&str>,
) -> Result<Response, Response> {
    let list_hash = list.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let start = match token.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| {
                let (hash, start) = text.split_once(':')?;
                (hash == format!("{list_hash:x}")).then(|| start.parse::<usize>().ok())?
            })
            .ok_or_else(|| error_responses::invalid_argument("The page token is invalid."))?,
    };
    let total = items.len();
    let size = size.filter(|size| *size > 0).unwrap_or(1000).min(1000);
    let on_page: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let end = start + on_page.len();
    let mut body = json!({});
    // Google omits empty lists.
    if !on_page.is_empty() {
        body[key] = Value::Array(on_page);
    }
    if end < total {
        body["nextPageToken"] = json!(URL_SAFE_NO_PAD.encode(format!("{list_hash:x}:{end}")));
    }
    Ok(Response::json(200, &body))
}

/// Parses a page size from a query.
pub(super) fn size(text: Option<String>) -> Result<Option<usize>, Response> {
    text.map(|text| {
        text.parse().map_err(|_| {
            error_responses::invalid_argument("Invalid value at 'page_size' (TYPE_INT32).")
        })
    })
    .transpose()
}
