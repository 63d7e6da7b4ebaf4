//! Batch responses. No part is longer than the input; parsed parts survive a round trip; each call
//! gets its own response, or an error that can be shown.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ee_rest::fuzzing::{Part, batch_response, batch_responses, response};
use ee_rest::{Auth, Client, ClientEvent, Error, ErrorKind};
use ee_token::{AccessToken, Endpoints, HttpClient};
use fuzz::{check_error, is_trick};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::de::IgnoredAny;

const MOST: usize = 10;
const TOKEN: &str = "canary-token";
/// A call without a part, unless an input contains its ID.
const UNANSWERED: &str = "no-such-id";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let first = text.lines().next().unwrap_or_default();
    for content_type in [first, "multipart/mixed; boundary=b"] {
        check_answers(content_type, data);
        let Ok(parts) = batch_response(content_type, data, MOST) else {
            continue;
        };
        assert!(parts.len() <= MOST);
        let bodies = parts.iter().filter_map(|(_, result)| result.as_ref().ok());
        let length: usize = bodies.map(|(_, _, body)| body.len()).sum();
        assert!(length <= data.len());

        let mut written = Vec::new();
        for (id, result) in &parts {
            let Ok((status, _, body)) = result else {
                continue;
            };
            assert!((200..600).contains(&status.as_u16()));
            let head = format!(
                "--none-of-the-bodies-has-this\r\nContent-ID: <response-{id}>\r\n\r\n\
                 HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n",
                status.as_u16(),
                body.len()
            );
            written.extend_from_slice(head.as_bytes());
            written.extend_from_slice(body);
            written.extend_from_slice(b"\r\n");
        }
        if written.is_empty() || text.contains("none-of-the-bodies-has-this") {
            continue;
        }
        written.extend_from_slice(b"--none-of-the-bodies-has-this--\r\n");
        let again = batch_response(
            "multipart/mixed; boundary=none-of-the-bodies-has-this",
            &written,
            MOST,
        );
        let again: Vec<_> = again
            .expect("serialized parts are parsed")
            .into_iter()
            .collect();
        let usable = parts.into_iter().filter(|(_, result)| result.is_ok());
        for ((id, result), (old_id, old)) in again.into_iter().zip(usable) {
            assert_eq!(id, old_id);
            let ((status, _, body), (old_status, _, old_body)) =
                (result.expect("a response"), old.expect("a response"));
            assert_eq!((status, body), (old_status, old_body));
        }
    }
});

/// Each call gets the part with its ID if there is exactly one. Its result contains no other part
/// and no secret.
fn check_answers(content_type: &str, body: &[u8]) {
    let Ok(header) = HeaderValue::from_str(content_type) else {
        return;
    };
    let parts = batch_response(content_type, body, MOST);
    let mut expected: BTreeMap<&str, Vec<&Part<'_>>> = BTreeMap::from([(UNANSWERED, Vec::new())]);
    for part in parts.iter().flatten() {
        expected.entry(&part.0).or_default().push(part);
    }
    // A part without a valid ID belongs to no call.
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
    expected.retain(|id, _| !id.is_empty() && id.len() <= 200 && id.bytes().all(plain));

    let mut batch = client().batch();
    for id in expected.keys() {
        batch = batch.get(*id, "operations/ABC");
    }
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, header)]);
    let token = AccessToken::new(TOKEN).expect("a token");
    let parsed = response(headers, body, &token).expect("a path");
    let results = match batch_responses(batch, parsed) {
        Ok(results) => results,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidResponse);
            return check_rejected(&error);
        }
    };
    assert!(
        results
            .iter()
            .map(|(id, _)| id)
            .eq(expected.keys().copied())
    );
    for (id, result) in results.iter() {
        match (expected[id].as_slice(), result) {
            ([(_, Ok((status, headers, body)))], Ok(result)) => {
                assert!(status.is_success() && result.status() == *status);
                assert_eq!((result.headers(), &result.bytes()[..]), (headers, *body));
                assert!(!format!("{result:?}").contains(TOKEN));
                let _: Result<IgnoredAny, _> = result.json().inspect_err(check_rejected);
            }
            ([(_, Ok((status, ..)))], Err(error)) => {
                assert!(!status.is_success());
                let api = error.api().expect("a refusal");
                assert_eq!(api.status, *status);
                check_rejected(error);
            }
            (parts, Err(error)) => {
                assert!(parts.len() != 1 || parts[0].1.is_err());
                assert_eq!(error.kind(), ErrorKind::InvalidResponse);
                check_rejected(error);
            }
            (_, Ok(result)) => panic!("an ambiguous part was returned: {result:?}"),
        }
    }
}

/// Returns a client that has received no response. Its events contain no secret that was sent.
fn client() -> Client {
    static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(Endpoints::google()));
    Client::builder(Auth::api_key("canary-key".into()), HTTP.clone())
        .project("my-project")
        .on_event(|signal| {
            let texts = match signal {
                ClientEvent::QuotaStatus { text, .. } | ClientEvent::InitMessage(text) => text,
                ClientEvent::Profile { id, .. } => id,
                _ => return,
            };
            assert!(
                !texts.contains(TOKEN) && !texts.contains(is_trick),
                "{texts:?}"
            );
        })
        .build()
        .expect("a client")
}

fn check_rejected(error: &Error) {
    check_error(error, error.remedy());
    let shown = format!("{error} {error:?} {:?}", error.api());
    assert!(!shown.contains(TOKEN), "{shown}");
}
