//! Tests of the detection itself: it must find a leak in every encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ee_emulator::RsaKey;

use ee_test_support::canaries::Canaries;

use crate::captured_output::{CapturedOutput, panic_text};

#[test]
fn leak_is_detected_in_every_encoding() {
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
fn private_key_is_detected_in_lines_and_bytes() {
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
fn jwt_is_detected_by_claims_and_signature() {
    let claims = URL_SAFE_NO_PAD.encode(ee_test_support::canaries::random(120));
    let signature = ee_test_support::canaries::random(200);
    let mut canaries = Canaries::default();
    canaries.add_jwt("jwt", &format!("eyJhbGciOiJSUzI1NiJ9.{claims}.{signature}"));
    assert_eq!(canaries.find("eyJhbGciOiJSUzI1NiJ9.[redacted]"), []);
    assert!(!canaries.find(&claims).is_empty() && !canaries.find(&signature).is_empty());
}

#[test]
fn leak_is_detected_in_errors_panics_and_logs() {
    crate::captured_output::start_log();
    let mut output = CapturedOutput::default();
    let secret = output.canaries.plant("it", "");
    let inner = std::io::Error::other(secret.clone());
    let error = earthengine::token::Error::new(earthengine::token::ErrorKind::Network, "outside")
        .with_source(inner);
    output.error("error", &error);
    output.add("panic", panic_text(|| panic!("with {secret}")));
    assert_eq!(output.leaks(&[]).len(), 2);
    assert_eq!(output.leaks(&[("error", "it"), ("panic", "it")]), []);
    let spoken = output.canaries.plant("spoken", "");
    let logged = output.canaries.plant("logged", "");
    tracing::trace_span!("span", field = ?spoken).in_scope(|| tracing::trace!("said"));
    log::trace!("{logged}");
    let found = output.canaries.find(&crate::captured_output::log_text());
    let seen = |name: &str| found.iter().any(|leak| leak.secret == name);
    assert!(seen("spoken") && seen("logged"), "{found:?}");
}

#[test]
#[should_panic(expected = "allowed but not present")]
fn unused_allowance_fails() {
    let mut output = CapturedOutput::default();
    output.canaries.plant("it", "");
    output.add("stdout", "nothing here");
    output.leaks(&[("stdout", "it")]);
}
