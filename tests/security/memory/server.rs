//! A server in place of all hosts, whose memory is not inspected.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ee_test_support::faulty_server::FaultyServer;
use ee_test_support::http::{Request, response};
use ee_test_support::success::{is_subject_token_source, success};
use serde_json::json;

use crate::fixtures::learn_text;

/// Starts a server that responds with success, or with errors that repeat the request.
pub fn serve(secrets: &BTreeMap<&'static str, String>, fails: bool) -> SocketAddr {
    let secrets = secrets.clone();
    FaultyServer::responding_on_thread(move |request| {
        // The login generates its verifier itself.
        let text = request.text();
        let mut parameters = text.split('&');
        if let Some(verifier) = parameters.find_map(|pair| pair.strip_prefix("code_verifier=")) {
            learn_text("a login's code verifier", verifier);
        }
        Some(if fails && !is_subject_token_source(request.path()) {
            error(request)
        } else {
            success(request.path(), |name| secrets[name].clone())
        })
    })
}

fn error(request: &Request) -> Vec<u8> {
    let head = request.head.replace("\r\n", "; ");
    let message = format!("cannot use {} of {head}", request.text());
    let (status, headers) = ("400 Bad Request", "Content-Type: application/json\r\n");
    if !request.path().starts_with("/earthengine") {
        let body = json!({"error": "invalid_grant", "error_description": message}).to_string();
        return response(status, headers, body.as_bytes());
    }
    // Without a length, the client's buffer has to grow.
    let error = json!({"code": 400, "message": message, "status": "INVALID_ARGUMENT"});
    let body = json!({ "error": error }).to_string();
    let chunks = body.as_bytes().chunks(1000).map(|chunk| {
        let (length, chunk) = (chunk.len(), String::from_utf8_lossy(chunk));
        format!("{length:x}\r\n{chunk}\r\n")
    });
    let chunks: String = chunks.collect();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n");
    format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").into_bytes()
}
