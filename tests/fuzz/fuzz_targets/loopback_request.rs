//! Requests to the login's redirect address, and pasted texts. Only the response to this login is
//! accepted.
#![no_main]

use ee_credentials::fuzzing::{Loopback, callback, loopback, notebook_response, notebook_verifier};
use fuzz::{CANARY, block_on, check_error, check_secrets};

const STATE: &str = "s3cr3t-st4te";
const PORT: u16 = 8085;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match block_on(loopback(data, STATE, PORT)) {
        Loopback::Code(code) => check_answer(query_of(data), "code", code.expose_secret()),
        Loopback::Denied(reason) => check_answer(query_of(data), "error", &reason),
        Loopback::Page(status) => assert!(status.starts_with(['2', '4'])),
        Loopback::NoRequest => {}
    }
    let text = String::from_utf8_lossy(data);
    match callback(&text, STATE) {
        Some(Ok(code)) => check_answer(&text, "code", code.expose_secret()),
        Some(Err(error)) => check_error(&error, error.remedy()),
        None => {}
    }
    let whole = format!("state={STATE}&code=x&{text}");
    if callback(&whole, STATE).is_none() {
        // Another `state`, `code` or `error` makes it invalid, and nothing else does.
        let again = ["state", "code", "error"];
        let mut names = url::form_urlencoded::parse(data).map(|(name, _)| name);
        assert!(names.any(|name| again.contains(&&*name)), "{whole}");
    }
    match notebook_response(data, &"canary-verifier".into()) {
        Ok((_, secret, _)) => assert!(!format!("{secret:?}").contains(CANARY)),
        Err(error) => {
            check_error(&error, error.remedy());
            assert!(!error.to_string().contains("canary-verifier"));
            check_secrets(&text, &["client_secret"], &format!("{error:?}"));
        }
    }
    match notebook_verifier(&text) {
        Ok(verifier) => assert!(text.contains(verifier.expose_secret())),
        Err(error) => check_error(&error, error.remedy()),
    }
});

/// Returns the query of a request that a login may accept: a GET of the root of `localhost`.
fn query_of(data: &[u8]) -> &str {
    let end = data.windows(4).position(|w| w == b"\r\n\r\n");
    let head = std::str::from_utf8(&data[..end.expect("an end")]).expect("a text");
    let (first, fields) = head.split_once("\r\n").expect("a first line");
    let hosts: Vec<String> = fields
        .split("\r\n")
        .filter_map(|field| field.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, host)| host.trim().to_ascii_lowercase())
        .collect();
    let ours = ["localhost:8085", "127.0.0.1:8085", "[::1]:8085"];
    assert!(
        matches!(hosts.as_slice(), [host] if ours.contains(&&**host)),
        "{hosts:?}"
    );
    let target = first.strip_prefix("GET /?").expect("a GET of the root");
    target.split(' ').next().unwrap_or_default()
}

/// The query contains the state of this login and a single response.
fn check_answer(query: &str, name: &str, value: &str) {
    let said = |wanted: &str| -> Vec<String> {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let named = pairs.filter(|(name, _)| name == wanted);
        named.map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(said("state"), [STATE], "{query}");
    let results = [said("code"), said("error")].concat();
    assert_eq!(results, said(name), "{query}");
    assert!(results == [value] && !value.is_empty(), "{query}");
}
