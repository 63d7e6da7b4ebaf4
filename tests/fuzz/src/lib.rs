//! Shared code of the fuzz targets: rules for everything that is shown to users, and keys generated
//! at run time.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_credentials::{CredentialOptions, Credentials};
use ee_token::{Remedy, Scopes};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// The placeholder of secrets in seeds.
pub const CANARY: &str = "canary";

/// The placeholders of keys in seeds. Keys are generated at run time.
const RSA_KEY: &str = "RSA-KEY";
const EC_KEY: &str = "EC-KEY";
const SEC1_KEY: &str = "SEC1-KEY";

/// Checks an error: it is short, cannot control a terminal, and its command does only what it says.
pub fn check_error(error: &(impl Error + ?Sized), remedy: &Remedy) {
    check_shown(&error.to_string());
    assert!(!remedy.text.is_empty(), "{error}");
    check_shown(&remedy.to_string());
    if let Some(command) = &remedy.command {
        check_command(command);
    }
}

/// Returns whether a character is a control character, invisible, or changes the text direction.
pub fn is_trick(c: char) -> bool {
    let invisible = matches!(c, '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    invisible || c.is_control() && !matches!(c, '\n' | '\t')
}

/// Checks a text that is shown unchanged.
pub fn check_shown(text: &str) {
    assert!(!text.contains(is_trick), "controls the terminal: {text:?}");
    let length = text.chars().count();
    assert!(length < 3000, "too long: {length} characters");
}

/// Checks the names in credentials, which are shown in lists and logs.
pub fn check_names(credentials: &Credentials) {
    let names = [
        credentials.principal(),
        credentials.project(),
        credentials.quota_project(),
        credentials.oauth_client_project_number(),
    ];
    names.into_iter().flatten().for_each(check_shown);
}

/// Checks a command that users paste into a shell.
pub fn check_command(command: &str) {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " @%+=:,./_-~[]…".contains(c);
    let mut is_quoted = false;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        let is_unchanged = match c {
            '\'' => {
                is_quoted = !is_quoted;
                true
            }
            '\\' if !is_quoted => chars.next() == Some('\''),
            c => is_quoted || harmless(c),
        };
        assert!(is_unchanged, "a shell changes it: {command:?}");
    }
    assert!(!is_quoted, "the quotes do not end: {command:?}");
}

/// Checks scopes: they survive a round trip without duplicates, and each is valid in a request (RFC
/// 6749 §3.3).
pub fn check_scopes(scopes: &Scopes) {
    let written = scopes.to_string();
    assert_eq!(&Scopes::new(written.split_whitespace()), scopes);
    assert_eq!(&Scopes::new(scopes.iter()), scopes);
    assert!(scopes.iter().all(|scope| scopes.contains(scope)));
    let allowed = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
    let stands = |scope: &str| scope.bytes().all(allowed);
    assert!(scopes.iter().all(stands), "{scopes:?}");
}

/// Checks that a value survives a round trip.
pub fn check_written_again<T>(value: &T)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let written = serde_json::to_string(value).expect("JSON");
    let again: T = serde_json::from_str(&written).expect("a serialized value is parsed");
    assert_eq!(&again, value);
}

/// Returns a path segment without its percent-encoding.
pub fn decoded(segment: &str) -> String {
    let pair = format!("x={}", segment.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    // `&` is literal in a path, and a separator here.
    let rest = segment.split_once('&').map(|(_, rest)| rest);
    match (decoded, rest) {
        (Some((_, first)), Some(rest)) => format!("{first}&{}", self::decoded(rest)),
        (Some((_, whole)), None) => whole.into_owned(),
        (None, _) => String::new(),
    }
}

/// Checks that `shown` contains no canary from secret fields of a JSON text. Nothing of a text that
/// is not JSON may be shown.
pub fn check_secrets(json: &str, secret_fields: &[&str], shown: &str) {
    if !shown.contains(CANARY) {
        return;
    }
    let mut value = match serde_json::from_str::<Value>(json) {
        Ok(value) => value,
        Err(_) if is_json(json) => return,
        Err(_) => panic!("shows a part of a text that is not JSON: {shown}"),
    };
    let mut secrets = Vec::new();
    take(&mut value, secret_fields, &mut secrets);
    // The host of a URL is shown in lowercase.
    if value.to_string().to_ascii_lowercase().contains(CANARY) {
        return;
    }
    for secret in secrets {
        let around = secret.find(CANARY).and_then(|at| {
            // With surrounding text, because URL decoding could make a name look like a canary.
            secret.get(at.saturating_sub(2)..at + CANARY.len())
        });
        let leaks = around.is_some_and(|part| shown.contains(part));
        assert!(!leaks, "shows a secret: {shown}");
    }
}

/// Returns whether a text is JSON, even if these values cannot hold it: an infinite number, half of
/// a surrogate pair.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns whether a credential file names another file, which would be read from this machine's
/// disk.
pub fn names_another_file(json: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(json)
        .is_ok_and(|fields| fields.contains_key("ca_cert_path"))
}

/// Collects the strings of the fields with these names, and removes them.
fn take(value: &mut Value, names: &[&str], secrets: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if names.contains(&name.as_str()) {
                    blank(value, secrets);
                } else {
                    take(value, names, secrets);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| take(item, names, secrets)),
        _ => {}
    }
}

/// Removes everything but names from a value: names of headers are not secret.
fn blank(value: &mut Value, secrets: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| blank(value, secrets)),
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, secrets)),
        Value::String(text) => secrets.push(std::mem::take(text)),
        _ => *value = Value::Null,
    }
}

/// Returns the text with keys in place of their placeholders, in JSON or outside of it.
pub fn with_keys(text: &str) -> String {
    let mut text = text.to_owned();
    for (word, pem) in [
        (RSA_KEY, rsa_pem as fn() -> &'static str),
        (EC_KEY, ec_pem),
        (SEC1_KEY, sec1_pem),
    ] {
        if text.contains(word) {
            // Both JSON and the crate's reader accept `\n` as a line end.
            text = text.replacen(word, &pem().replace('\n', "\\n"), 1);
        }
    }
    text
}

/// The RSA key, which `cargo xtask fuzz` generates because that is slow with all checks. Without
/// it, the placeholder stays.
fn rsa_pem() -> &'static str {
    static PEM: LazyLock<String> = LazyLock::new(|| {
        std::env::var_os("EE_FUZZ_RSA_KEY")
            .map(|path| std::fs::read_to_string(path).expect("the key's file"))
            .unwrap_or_else(|| RSA_KEY.to_owned())
    });
    &PEM
}

fn ec_pem() -> &'static str {
    static PEM: LazyLock<String> = LazyLock::new(|| pem("PRIVATE KEY", &ec_der()));
    &PEM
}

/// The same key in the format of older programs (RFC 5915): the part of PKCS #8 after the
/// algorithm, which always has the same length.
fn sec1_pem() -> &'static str {
    const PREFIX_LENGTH: usize = 27;
    static PEM: LazyLock<String> =
        LazyLock::new(|| pem("EC PRIVATE KEY", &ec_der()[PREFIX_LENGTH..]));
    &PEM
}

fn ec_der() -> Vec<u8> {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = ring::rand::SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    der.expect("a key").as_ref().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Options with Google's hosts, and no other allowed host.
pub fn options() -> CredentialOptions {
    static OPTIONS: LazyLock<CredentialOptions> = LazyLock::new(|| {
        let options = CredentialOptions::default();
        options.gdch_audience("https://service.example")
    });
    OPTIONS.clone()
}

/// A directory for inputs that must be files. `cargo xtask fuzz` creates one for each target.
pub fn dir() -> Option<PathBuf> {
    std::env::var_os("EE_FUZZ_DIR").map(PathBuf::from)
}

/// Runs a future that sends nothing.
pub fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
            Builder::new_current_thread().enable_time().build().expect("a runtime")
        });
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
