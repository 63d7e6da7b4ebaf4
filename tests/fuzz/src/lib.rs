//! What the fuzz targets share: the rules that hold for everything that is shown to people,
//! and keys made at run time.

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

/// What seeds have in the place of secrets.
pub const CANARY: &str = "canary";

/// Seeds have these words in the place of keys, which are made at run time.
const RSA_KEY: &str = "RSA-KEY";
const EC_KEY: &str = "EC-KEY";
const SEC1_KEY: &str = "SEC1-KEY";

/// An error must be fit to be shown: short, without characters that steer a terminal, and
/// with a command, if there is one, that does what it says and nothing else.
pub fn check_error(error: &(impl Error + ?Sized), remedy: Option<&Remedy>) {
    check_shown(&error.to_string());
    if let Some(remedy) = remedy {
        check_shown(&remedy.to_string());
        if let Some(command) = &remedy.command {
            check_command(command);
        }
    }
}

/// Control characters, and those that are invisible or turn the direction of writing.
pub fn is_trick(c: char) -> bool {
    let invisible = matches!(c, '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    invisible || c.is_control() && !matches!(c, '\n' | '\t')
}

/// A text that is shown as it is.
pub fn check_shown(text: &str) {
    assert!(!text.contains(is_trick), "it steers a terminal: {text:?}");
    let length = text.chars().count();
    assert!(length < 3000, "it has no end: {length} characters");
}

/// What credentials say of themselves is shown in lists and logs.
pub fn check_names(credentials: &Credentials) {
    let names = [
        credentials.principal(),
        credentials.project(),
        credentials.quota_project(),
        credentials.oauth_client_project_number(),
    ];
    names.into_iter().flatten().for_each(check_shown);
}

/// People paste it into a shell.
pub fn check_command(command: &str) {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " @%+=:,./_-~[]…".contains(c);
    assert!(
        command.chars().all(harmless),
        "a shell makes something else of it: {command:?}"
    );
}

/// Written and read again they are the same, none is there twice, and each can stand in a
/// request (RFC 6749 §3.3).
pub fn check_scopes(scopes: &Scopes) {
    let written = scopes.to_string();
    assert_eq!(&Scopes::new(written.split_whitespace()), scopes);
    assert_eq!(&Scopes::new(scopes.iter()), scopes);
    assert!(scopes.iter().all(|scope| scopes.contains(scope)));
    let allowed = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
    let stands = |scope: &str| scope.bytes().all(allowed);
    assert!(scopes.iter().all(stands), "{scopes:?}");
}

/// What was read, written again, is read the same.
pub fn check_written_again<T>(value: &T)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let written = serde_json::to_string(value).expect("JSON");
    let again: T = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!(&again, value);
}

/// A segment of a path without its percent-encoding.
pub fn decoded(segment: &str) -> String {
    let pair = format!("x={}", segment.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    // `&` stands for itself in a path, and separates here.
    let rest = segment.split_once('&').map(|(_, rest)| rest);
    match (decoded, rest) {
        (Some((_, first)), Some(rest)) => format!("{first}&{}", self::decoded(rest)),
        (Some((_, whole)), None) => whole.into_owned(),
        (None, _) => String::new(),
    }
}

/// If the secret fields of a JSON text are the only place of a canary in it, `shown` must not
/// have it. Of a text that is no JSON, nothing may be shown at all.
pub fn check_secrets(json: &str, secret_fields: &[&str], shown: &str) {
    if !shown.contains(CANARY) {
        return;
    }
    let mut value = match serde_json::from_str::<Value>(json) {
        Ok(value) => value,
        Err(_) if is_json(json) => return,
        Err(_) => panic!("it shows a part of what is no JSON: {shown}"),
    };
    let mut secrets = Vec::new();
    take(&mut value, secret_fields, &mut secrets);
    // A URL's host is shown in small letters.
    if value.to_string().to_ascii_lowercase().contains(CANARY) {
        return;
    }
    for secret in secrets {
        let around = secret.find(CANARY).and_then(|at| {
            // With something around it, lest a name be taken for a secret that was made
            // look like a canary by a URL's decoding.
            secret.get(at.saturating_sub(2)..at + CANARY.len())
        });
        let leaks = around.is_some_and(|part| shown.contains(part));
        assert!(!leaks, "it shows a secret: {shown}");
    }
}

/// Whether it is JSON, be it such that these checks' own values have no room for: a number without
/// end, half of a character.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether it is a credential's file that names another, which would be read from this machine's
/// disk.
pub fn names_another_file(json: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(json)
        .is_ok_and(|fields| fields.contains_key("ca_cert_path"))
}

/// Takes the texts of the fields with these names out.
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

/// Leaves nothing but names in a value: those of headers are no secrets.
fn blank(value: &mut Value, secrets: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| blank(value, secrets)),
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, secrets)),
        Value::String(text) => secrets.push(std::mem::take(text)),
        _ => *value = Value::Null,
    }
}

/// The text with keys in the place of the words for them, in JSON or outside of it.
pub fn with_keys(text: &str) -> String {
    let mut text = text.to_owned();
    for (word, pem) in [
        (RSA_KEY, rsa_pem as fn() -> &'static str),
        (EC_KEY, ec_pem),
        (SEC1_KEY, sec1_pem),
    ] {
        if text.contains(word) {
            // Both JSON and our own reader take `\n` for a line end.
            text = text.replacen(word, &pem().replace('\n', "\\n"), 1);
        }
    }
    text
}

/// `cargo xtask fuzz` makes one, since that takes long with all the checks in it; without it
/// the word stays as it is.
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

/// The same sort of key as older programs write it (RFC 5915): PKCS #8 has it behind what says
/// which sort that is, which has the same length for all of them.
fn sec1_pem() -> &'static str {
    const BEHIND: usize = 27;
    static PEM: LazyLock<String> = LazyLock::new(|| pem("EC PRIVATE KEY", &ec_der()[BEHIND..]));
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

/// What credentials are read with: Google's own hosts, and nothing allowed beside them.
pub fn options() -> CredentialOptions {
    static OPTIONS: LazyLock<CredentialOptions> = LazyLock::new(|| {
        let options = CredentialOptions::default();
        options.gdch_audience("https://service.example")
    });
    OPTIONS.clone()
}

/// A folder for what must be a file to be read. `cargo xtask fuzz` makes one for each target.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os("EE_FUZZ_FOLDER").map(PathBuf::from)
}

/// Waits for a future, which sends nothing.
pub fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
            Builder::new_current_thread().enable_time().build().expect("a runtime")
        });
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
