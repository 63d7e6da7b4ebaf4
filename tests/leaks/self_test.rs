//! The tests of the search itself: it must see a leak in every form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ee_emulator::RsaKey;

use crate::canary::Canaries;
use crate::sinks::{Sinks, panic_text};

#[test]
fn a_leak_is_seen_in_every_form_in_which_it_is_written() {
    let mut canaries = Canaries::default();
    let secret = canaries.plant("it", "1//0g");
    let word = secret.trim_start_matches("1//0g");
    let bytes = secret.as_bytes();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let percent: String = url::form_urlencoded::byte_serialize(bytes).collect();
    for (how, text) in [
        ("plain", format!("error: {secret} is bad")),
        ("its beginning", format!("{}...", &word[..12])),
        ("its end", format!("...{}", &word[word.len() - 12..])),
        ("its middle", format!("...{}...", &word[14..26])),
        ("percent-encoded", format!("token={percent}&x=y")),
        (
            "JSON",
            serde_json::json!({"a": secret})
                .to_string()
                .replace('/', "\\/"),
        ),
        ("base64", STANDARD.encode(bytes)),
        (
            "base64url",
            URL_SAFE_NO_PAD.encode(format!("client:{secret}")),
        ),
        (
            "base64 after one more",
            STANDARD.encode(format!("x{secret}")),
        ),
        (
            "base64 after two more",
            STANDARD.encode(format!("xy{secret}")),
        ),
        ("hex", hex(bytes)),
        ("HEX", hex(bytes).to_uppercase()),
        ("Debug of bytes", format!("{bytes:?}")),
        ("Debug of bytes in lines", format!("{bytes:#?}")),
        ("Debug of text", format!("{:?}", Some(&secret))),
    ] {
        assert!(!canaries.find(&text).is_empty(), "{how}: {text}");
    }
    let clean = canaries.find("1//0g is how a refresh token begins; ya29. [redacted]");
    assert_eq!(clean, []);
}

#[test]
fn a_private_key_is_seen_in_lines_and_in_bytes() {
    let key = RsaKey::generate(2048);
    let mut canaries = Canaries::default();
    canaries.add_pem("key", key.pkcs8_pem());
    let lines: Vec<_> = key.pkcs8_pem().lines().collect();
    let der = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
    for text in [
        lines[5].to_owned(),
        format!("…{}", &lines[lines.len() - 2][2..]),
        key.pkcs8_pem().replace('\n', "\\n"),
        format!("{der:?}"),
    ] {
        assert!(!canaries.find(&text).is_empty(), "{text}");
    }
    assert_eq!(canaries.find(lines[0]), []);
}

#[test]
fn a_jwt_is_seen_by_its_claims_and_its_signature() {
    let claims = URL_SAFE_NO_PAD.encode(crate::canary::random(120));
    let signature = crate::canary::random(200);
    let mut canaries = Canaries::default();
    canaries.add_jwt("jwt", &format!("eyJhbGciOiJSUzI1NiJ9.{claims}.{signature}"));
    assert_eq!(canaries.find("eyJhbGciOiJSUzI1NiJ9.[redacted]"), []);
    assert!(!canaries.find(&claims).is_empty() && !canaries.find(&signature).is_empty());
}

#[test]
fn a_leak_is_seen_in_errors_their_sources_panics_and_the_log() {
    crate::sinks::start_log();
    let mut canaries = Canaries::default();
    let secret = canaries.plant("it", "");
    let inner = std::io::Error::other(secret.clone());
    let error = earthengine::token::Error::new(earthengine::token::ErrorKind::Network, "outside")
        .with_source(inner);
    let mut sinks = Sinks::default();
    sinks.error("error", &error);
    sinks.add("panic", panic_text(|| panic!("with {secret}")));
    assert_eq!(sinks.leaks(&canaries, &[]).len(), 2);
    assert_eq!(
        sinks.leaks(&canaries, &[("error", "it"), ("panic", "it")]),
        []
    );
    let spoken = canaries.plant("spoken", "");
    let logged = canaries.plant("logged", "");
    tracing::trace_span!("span", field = ?spoken).in_scope(|| tracing::trace!("said"));
    log::trace!("{logged}");
    let found = canaries.find(&crate::sinks::log_text());
    let seen = |name: &str| found.iter().any(|leak| leak.secret == name);
    assert!(seen("spoken") && seen("logged"), "{found:?}");
}

#[test]
#[should_panic(expected = "nothing of it was seen")]
fn what_is_allowed_and_does_not_happen_fails() {
    let mut canaries = Canaries::default();
    canaries.plant("it", "");
    let mut sinks = Sinks::default();
    sinks.add("stdout", "nothing here");
    sinks.assert_clean(&canaries, &[("stdout", "it")]);
}
