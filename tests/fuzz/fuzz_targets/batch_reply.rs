//! The reply to many calls in one request: no part is longer than what was received, and what
//! was read, written again, is read the same. What becomes of the parts: each call has its own
//! answer or an error that can be shown.
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
/// A call that no part answers, unless one has found its name.
const UNANSWERED: &str = "nobody-answers-this";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let first = text.lines().next().unwrap_or_default();
    for content_type in [first, "multipart/mixed; boundary=b"] {
        check_answers(content_type, data);
        let Ok(parts) = batch_response(content_type, data, MOST) else {
            continue;
        };
        assert!(parts.len() <= MOST);
        let bodies = parts.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        let length: usize = bodies.map(|(_, _, body)| body.len()).sum();
        assert!(length <= data.len());

        let mut written = Vec::new();
        for (id, answer) in &parts {
            let Ok((status, _, body)) = answer else {
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
            .expect("what was written is read")
            .into_iter()
            .collect();
        let usable = parts.into_iter().filter(|(_, answer)| answer.is_ok());
        for ((id, answer), (old_id, old)) in again.into_iter().zip(usable) {
            assert_eq!(id, old_id);
            let ((status, _, body), (old_status, _, old_body)) =
                (answer.expect("an answer"), old.expect("an answer"));
            assert_eq!((status, body), (old_status, old_body));
        }
    }
});

/// Whoever made a call gets the part with its id, if there is one and not two; what comes of it is
/// the part's own, and shows no secret.
fn check_answers(content_type: &str, body: &[u8]) {
    let Ok(header) = HeaderValue::from_str(content_type) else {
        return;
    };
    let parts = batch_response(content_type, body, MOST);
    let mut expected: BTreeMap<&str, Vec<&Part<'_>>> = BTreeMap::from([(UNANSWERED, Vec::new())]);
    for part in parts.iter().flatten() {
        expected.entry(&part.0).or_default().push(part);
    }
    // What cannot be the id of a call is no call's.
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
    expected.retain(|id, _| !id.is_empty() && id.len() <= 200 && id.bytes().all(plain));

    let mut batch = client().batch();
    for id in expected.keys() {
        batch = batch.get(*id, "operations/ABC");
    }
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, header)]);
    let token = AccessToken::new(TOKEN).expect("a token");
    let reply = response(headers, body, &token).expect("a path");
    let answers = match batch_responses(batch, reply) {
        Ok(answers) => answers,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidResponse);
            return check_refused(&error);
        }
    };
    assert!(
        answers
            .iter()
            .map(|(id, _)| id)
            .eq(expected.keys().copied())
    );
    for (id, answer) in answers.iter() {
        match (expected[id].as_slice(), answer) {
            ([(_, Ok((status, headers, body)))], Ok(answer)) => {
                assert!(status.is_success() && answer.status() == *status);
                assert_eq!((answer.headers(), &answer.bytes()[..]), (headers, *body));
                assert!(!format!("{answer:?}").contains(TOKEN));
                let _: Result<IgnoredAny, _> = answer.json().inspect_err(check_refused);
            }
            ([(_, Ok((status, ..)))], Err(error)) => {
                assert!(!status.is_success());
                let api = error.api().expect("a refusal");
                assert_eq!(api.status, *status);
                check_refused(error);
            }
            (parts, Err(error)) => {
                assert!(parts.len() != 1 || parts[0].1.is_err());
                assert_eq!(error.kind(), ErrorKind::InvalidResponse);
                check_refused(error);
            }
            (_, Ok(answer)) => panic!("nobody knows which part it is: {answer:?}"),
        }
    }
}

/// One that has heard nothing yet, and nothing that it is told is a secret that was sent.
fn client() -> Client {
    static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(Endpoints::google()));
    Client::builder(Auth::api_key("canary-key".into()), HTTP.clone())
        .project("my-project")
        .on_event(|signal| {
            let told = match signal {
                ClientEvent::QuotaStatus { text, .. } | ClientEvent::InitMessage(text) => text,
                ClientEvent::Profile { id, .. } => id,
                _ => return,
            };
            assert!(
                !told.contains(TOKEN) && !told.contains(is_trick),
                "{told:?}"
            );
        })
        .build()
        .expect("a client")
}

fn check_refused(error: &Error) {
    check_error(error, error.remedy());
    let shown = format!("{error} {error:?} {:?}", error.api());
    assert!(!shown.contains(TOKEN), "{shown}");
}
