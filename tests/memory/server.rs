//! Servers whose memory is not looked at.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::life::learn_text;

type Secrets = BTreeMap<&'static str, String>;

/// All hosts in one place; it answers as they should, or refuses with what it was sent.
pub fn serve(secrets: &Secrets, refuses: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let secrets = Arc::new(secrets.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, secrets) = (stream.unwrap(), Arc::clone(&secrets));
            converse(stream, &secrets, refuses);
        }
    });
    address
}

fn converse(mut stream: TcpStream, secrets: &Secrets, refuses: bool) {
    let Some((head, body)) = read(&mut stream) else {
        return;
    };
    let path = head.split(' ').nth(1).unwrap();
    // A login's own, which nobody could know before.
    let verifier = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("code_verifier="));
    if let Some(verifier) = verifier {
        learn_text("a verifier of the login's own", verifier);
    }
    let gives = ["/latest/", "/tokens.example.com"];
    let mut in_pieces = false;
    let (status, text) = if refuses && !gives.iter().any(|part| path.contains(part)) {
        let said = format!("cannot use {body} of {}", head.replace("\r\n", "; "));
        let text = json!({"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}});
        let flat = json!({"error": "invalid_grant", "error_description": said});
        // Whoever reads it has to grow.
        in_pieces = head.contains("/earthengine");
        (
            "400 Bad Request",
            if in_pieces { text } else { flat }.to_string(),
        )
    } else {
        ("200 OK", answer(path, secrets))
    };
    let (length, text) = if in_pieces {
        ("Transfer-Encoding: chunked".to_owned(), pieces(&text))
    } else {
        (format!("Content-Length: {}", text.len()), text)
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Type: application/json\r\nMetadata-Flavor: Google\r\nConnection: close\r\n{length}\r\n\r\n{text}"
    );
}

/// A body that does not say how long it is.
fn pieces(text: &str) -> String {
    let pieces = text.as_bytes().chunks(1000);
    let pieces = pieces.map(|piece| {
        let (length, piece) = (piece.len(), String::from_utf8_lossy(piece));
        format!("{length:x}\r\n{piece}\r\n")
    });
    pieces.chain(["0\r\n\r\n".to_owned()]).collect()
}

fn answer(path: &str, secrets: &Secrets) -> String {
    let secret = |name: &str| Value::from(secrets[name].as_str());
    let (token, last) = (secret("an access token"), path.rsplit('/').next());
    let body = if path.contains("generateAccessToken") {
        json!({"accessToken": token, "expireTime": "2099-01-01T01:00:00Z"})
    } else if path.contains("client-auth") {
        json!({"client_id": "1-a", "client_secret": secret("a refresh token")})
    } else if path.contains("/tokens.example.com") {
        return secrets["a subject token"].clone();
    } else if path.contains("/computeMetadata/") && !path.contains("/token") {
        return "123456789012".to_owned();
    } else if path.contains("/latest/") {
        match last {
            Some("availability-zone") => return "us-east-1b".to_owned(),
            Some("security-credentials") => return "a-role".to_owned(),
            Some("token") => return secrets["a session with AWS's metadata"].clone(),
            _ => {
                json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE",
                "SecretAccessKey": secret("an AWS key"), "Token": secret("an AWS session"),
                "Expiration": "2099-01-01T00:00:00Z"})
            }
        }
    } else {
        json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "refresh_token": secret("a refresh token"),
            "scope": "https://www.googleapis.com/auth/earthengine"})
    };
    body.to_string()
}

/// The head and the body of a request.
fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16384];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
    }
}
