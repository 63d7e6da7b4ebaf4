//! What can come to the login's address on this machine, and what people paste: only the answer
//! of this very login is taken.
#![no_main]

use std::cell::LazyCell;

use ee_credentials::fuzzing::{Loopback, callback, loopback, notebook_reply, notebook_verifier};
use ee_token::ExposeSecret as _;
use fuzz::{CANARY, check_error, check_secrets};
use tokio::runtime::{Builder, Runtime};

const STATE: &str = "s3cr3t-st4te";
const PORT: u16 = 8085;

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        Builder::new_current_thread().enable_time().build().expect("a runtime")
    });
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match RUNTIME.with(|runtime| runtime.block_on(loopback(data, STATE, PORT))) {
        Loopback::Code(code) => {
            assert!(!code.expose_secret().is_empty());
            check_taken(data);
        }
        Loopback::Refused(reason) => {
            assert!(!reason.is_empty());
            check_taken(data);
        }
        Loopback::Page(status) => assert!(status.starts_with(['2', '4'])),
        Loopback::NoRequest => {}
    }
    let text = String::from_utf8_lossy(data);
    match callback(&text, STATE) {
        Some(Ok(code)) => assert!(!code.expose_secret().is_empty()),
        Some(Err(error)) => check_error(&error, error.remedy()),
        None => {}
    }
    let whole = format!("state={STATE}&code=x&{text}");
    if callback(&whole, STATE).is_none() {
        // Another `state`, `code` or `error` makes it useless, and nothing else does.
        let again = ["state", "code", "error"];
        let mut names = url::form_urlencoded::parse(data).map(|(name, _)| name);
        assert!(names.any(|name| again.contains(&&*name)), "{whole}");
    }
    match notebook_reply(data, &"canary-verifier".into()) {
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

/// A GET of the root, sent to this machine by name.
fn check_taken(data: &[u8]) {
    let head = String::from_utf8_lossy(data).to_ascii_lowercase();
    assert!(head.starts_with("get /?"));
    let names = ["localhost:8085", "127.0.0.1:8085", "[::1]:8085"];
    assert!(names.iter().any(|name| head.contains(name)));
}
