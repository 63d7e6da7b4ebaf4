//! Credentials that cannot be read: files of every kind, cut, twisted, or with a key that is none;
//! and programs that fail to give a subject token.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use earthengine::Credentials;
use earthengine::credentials::{CredentialOptions, Search};
use earthengine::token::HttpClient;
use earthengine::{Endpoints, Environment};
use serde_json::{Value, json};

use crate::canary::Canaries;
use crate::kinds::{KINDS, Keys, ROBOT, make};
use crate::sinks::{Sinks, assert_log_clean, panic_text, start_log};

/// The texts that a file may be instead of itself.
fn broken(file: &Value) -> Vec<String> {
    let text = file.to_string();
    let mut all: Vec<String> = (1..12)
        .map(|part| text[..text.len() * part / 12].to_owned())
        .collect();
    all.push(format!("{text}{text}"));
    all.push(format!("[{text}]"));
    all.push(json!(text).to_string());
    all.push(text.replace('"', "'"));
    all.push(text.replace(':', "="));
    let fields = file.as_object().unwrap();
    for (name, value) in fields {
        // Twice, and the second of another type.
        all.push(format!("{{\"{name}\":{value},{}", &text[1..]));
        all.push(format!("{{\"{name}\":[{value}],{}", &text[1..]));
        for other in [
            json!([value]),
            json!({"value": value}),
            json!({value.to_string(): 1}),
            Value::Null,
            json!(7),
        ] {
            let mut twisted = fields.clone();
            twisted.insert(name.clone(), other);
            all.push(Value::Object(twisted).to_string());
        }
        // The value under another name.
        let mut moved = fields.clone();
        moved.remove(name);
        moved.insert(format!("{name}s"), value.clone());
        all.push(Value::Object(moved).to_string());
    }
    all
}

/// What may stand where a key should: its label, its base64 or its bytes spoiled.
fn spoiled(pem: &str, other_kind: &str) -> Vec<String> {
    let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let wrapped = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let whole = body.join("\n");
    let half = body[..body.len() / 2].join("\n");
    let mut all = vec![
        wrapped("CERTIFICATE", &whole),
        wrapped("PUBLIC KEY", &whole),
        wrapped("ENCRYPTED PRIVATE KEY", &whole),
        wrapped("RSA PRIVATE KEY", &whole),
        wrapped("EC PRIVATE KEY", &whole),
        wrapped("PRIVATE KEY", &half),
        wrapped("PRIVATE KEY", &whole.replacen('A', "!", 9)),
        wrapped("PRIVATE KEY", &format!("{whole}\n{whole}")),
        wrapped(&body.join(" "), "AAAA"),
        whole,
        pem.replace('\n', " "),
        pem.replace("-----END", "---- END"),
        pem[..pem.len() / 2].to_owned(),
        other_kind.to_owned(),
    ];
    all.push(format!("{}{other_kind}", &pem[..200]));
    all
}

fn options() -> CredentialOptions {
    // Nobody is there: what is whole after all fails when it asks.
    let http = HttpClient::new(Endpoints::emulator(([127, 0, 0, 1], 9).into()).unwrap());
    CredentialOptions::new(http)
        .environment(Environment::empty())
        .gdch_audience("https://service.example.com")
}

/// Reads a text as a credential, and keeps what is said of it.
fn read(sinks: &mut Sinks, name: &str, text: &str) -> bool {
    match Credentials::from_json(text, &options()) {
        Ok(credentials) => {
            sinks.debug(name, &credentials);
            false
        }
        Err(error) => {
            sinks.error(name, &error);
            sinks.add(name, format!("{:?}", error.remedy()));
            true
        }
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_file_that_cannot_be_read() {
    start_log();
    let keys = Keys::new().await;
    let (mut sinks, mut canaries, mut failures) = (Sinks::default(), keys.canaries.clone(), 0);
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let made = make(kind, kind, &keys, folder.path());
        canaries.extend(made.canaries.clone());
        let Some(file) = &made.json else { continue };
        let mut refused = 0;
        for text in broken(file) {
            refused += usize::from(read(&mut sinks, kind, &text));
        }
        assert!(refused > 12, "{kind}: {refused}");
        failures += refused;
        let path = folder.path().join("credentials.json");
        fs::write(&path, &file.to_string()[..file.to_string().len() - 20]).unwrap();
        for path in [path.as_path(), folder.path()] {
            let error = found(path).await;
            sinks.add(format!("{kind}, panic"), panic_text(|| panic!("{error}")));
            sinks.add(format!("{kind}, file"), error);
        }
    }
    assert!(failures > 500, "{failures}");
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}

/// What a search says of a file that a variable names.
async fn found(path: &Path) -> String {
    let environment = Environment::empty()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap())
        .with_var("NO_GCE_CHECK", "true");
    let error = Search::new(environment, options())
        .find()
        .await
        .unwrap_err();
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut next = std::error::Error::source(&error);
    while let Some(error) = next {
        let _ = write!(text, "{error} {error:?}");
        next = error.source();
    }
    text
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_key_that_is_none() {
    start_log();
    let keys = Keys::new().await;
    let (mut sinks, mut failures) = (Sinks::default(), 0);
    let (rsa, ec) = (keys.rsa.pkcs8_pem(), keys.ec.sec1_pem());
    let folder = tempfile::tempdir().unwrap();
    for (kind, key, other) in [("service account", rsa, ec), ("service identity", ec, rsa)] {
        let made = make(kind, kind, &keys, folder.path());
        for (number, key) in spoiled(key, other).into_iter().enumerate() {
            let name = format!("{kind}, key {number}");
            let mut file = made.json.clone().unwrap();
            file["private_key"] = json!(key);
            failures += usize::from(read(&mut sinks, &name, &file.to_string()));
            if let Err(error) = Credentials::from_pem(&key, ROBOT, &options()) {
                sinks.error(&format!("{name}, PEM"), &error);
            }
        }
    }
    assert!(failures > 18, "{failures}");
    sinks.assert_clean(&keys.canaries, &[]);
    assert_log_clean(&keys.canaries);
}

#[cfg(unix)]
#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_program_that_fails() {
    start_log();
    let keys = Keys::new().await;
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    let folder = tempfile::tempdir().unwrap();
    // What the program does with the token, `$T`.
    let scripts = [
        "echo $T; echo $T >&2; exit 3",
        "echo \"not JSON: $T\"",
        "echo \"{\\\"version\\\": 1, \\\"success\\\": false, \\\"code\\\": \\\"$T\\\", \\\"message\\\": \\\"$T\\\"}\"",
        "echo \"{\\\"version\\\": 1, \\\"success\\\": true, \\\"token_type\\\": \\\"$T\\\", \\\"id_token\\\": \\\"$T\\\"}\"",
        "echo \"{\\\"version\\\": \\\"$T\\\", \\\"success\\\": true}\"",
        "echo \"{\\\"version\\\": 1, \\\"success\\\": true, \\\"id_token\\\": \\\"$T\"",
        "echo \"{\\\"$T\\\": 1}\"",
        "echo $T >&2; kill -9 $$",
        "echo $T; echo $T >&2; exec sleep 60",
    ];
    for (number, script) in scripts.iter().enumerate() {
        let name = format!("program {number}");
        let mut made = make("subject token of a program", &name, &keys, folder.path());
        let token = made
            .canaries
            .plant_word(format!("{name}: the subject token"), "");
        let path = folder.path().join(format!("{number}.sh"));
        fs::write(&path, format!("T={token}\n{script}\n")).unwrap();
        let mut file = made.json.clone().unwrap();
        file["credential_source"]["executable"] =
            json!({"command": format!("/bin/sh {}", path.display()), "timeout_millis": 5000});
        let options = made.options("subject token of a program", ([127, 0, 0, 1], 9).into());
        let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
        let error = credentials.token().await.unwrap_err();
        sinks.error(&name, &error);
        sinks.add(&name, format!("{:?}", error.remedy()));
        sinks.add(&name, panic_text(|| panic!("{error:?}: {error}")));
        sinks.debug(&name, &credentials);
        canaries.extend(made.canaries);
    }
    sinks.assert_clean(&canaries, &[]);
    assert_log_clean(&canaries);
}
