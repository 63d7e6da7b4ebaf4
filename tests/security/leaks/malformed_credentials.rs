//! Credentials that cannot be read: files of every kind, truncated, altered or with an invalid key;
//! and programs that fail to return a subject token.

use std::fs;
use std::path::Path;

use earthengine::Credentials;
use earthengine::credentials::{CredentialOptions, Error, FoundCredentials, Search};
use earthengine::token::HttpClient;
use earthengine::{Endpoints, Environment};
use serde_json::{Value, json};

use crate::captured_output::{CapturedOutput, start_log};
use crate::credential_kinds::{KINDS, Keys, ROBOT, make};

/// Returns malformed variants of a file.
fn malformed_files(file: &Value) -> Vec<String> {
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
        // Twice, and the second time with another type.
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

/// Returns malformed variants of a key: with an invalid label, base64 or encoding.
fn malformed_keys(pem: &str, other_kind: &str) -> Vec<String> {
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
    // Nothing listens there: a variant that is still valid fails with its first request.
    let http = HttpClient::new(Endpoints::emulator(([127, 0, 0, 1], 9).into()).unwrap());
    CredentialOptions::new(http)
        .environment(Environment::empty())
        .gdch_audience("https://service.example.com")
}

/// Reads a text as a credential, records the output, and returns whether it is rejected.
fn read(output: &mut CapturedOutput, name: &str, text: &str) -> bool {
    let result = Credentials::from_json(text, &options());
    output.result(name, result).is_none()
}

#[tokio::test]
async fn malformed_credential_files_leak_nothing() {
    start_log();
    let keys = Keys::new().await;
    let mut output = CapturedOutput::default();
    output.canaries.extend(keys.canaries.clone());
    let mut failures = 0;
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let made = make(kind, kind, &keys, dir.path());
        output.canaries.extend(made.canaries.clone());
        let Some(file) = &made.json else { continue };
        let mut rejected = 0;
        for text in malformed_files(file) {
            rejected += usize::from(read(&mut output, kind, &text));
        }
        assert!(rejected > 12, "{kind}: {rejected}");
        failures += rejected;
        let path = dir.path().join("credentials.json");
        fs::write(&path, &file.to_string()[..file.to_string().len() - 20]).unwrap();
        for path in [path.as_path(), dir.path()] {
            output.result_and_panic(&format!("{kind}, file"), find(path).await);
        }
    }
    assert!(failures > 500, "{failures}");
    output.assert_clean();
}

/// Searches for credentials where a variable names this file.
async fn find(path: &Path) -> Result<FoundCredentials, Error> {
    let environment = Environment::empty()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap())
        .with_var("NO_GCE_CHECK", "true");
    Search::new(environment, options()).find().await
}

#[tokio::test]
async fn malformed_keys_leak_nothing() {
    start_log();
    let keys = Keys::new().await;
    let mut output = CapturedOutput::default();
    let mut failures = 0;
    let (rsa, ec) = (keys.rsa.pkcs8_pem(), keys.ec.sec1_pem());
    let dir = tempfile::tempdir().unwrap();
    for (kind, key, other) in [("service account", rsa, ec), ("service identity", ec, rsa)] {
        let made = make(kind, kind, &keys, dir.path());
        for (number, key) in malformed_keys(key, other).into_iter().enumerate() {
            let name = format!("{kind}, key {number}");
            let mut file = made.json.clone().unwrap();
            file["private_key"] = json!(key);
            failures += usize::from(read(&mut output, &name, &file.to_string()));
            let result = Credentials::from_pem(&key, ROBOT, &options());
            output.result(&format!("{name}, PEM"), result);
        }
    }
    assert!(failures > 18, "{failures}");
    output.canaries.extend(keys.canaries);
    output.assert_clean();
}

#[cfg(unix)]
#[tokio::test]
async fn failing_executables_leak_nothing() {
    start_log();
    let keys = Keys::new().await;
    let mut output = CapturedOutput::default();
    let dir = tempfile::tempdir().unwrap();
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
        let mut made = make("subject token of a program", &name, &keys, dir.path());
        let subject_token = made
            .canaries
            .plant_word(format!("{name}: the subject token"), "");
        let path = dir.path().join(format!("{number}.sh"));
        fs::write(&path, format!("T={subject_token}\n{script}\n")).unwrap();
        let mut file = made.json.clone().unwrap();
        file["credential_source"]["executable"] =
            json!({"command": format!("/bin/sh {}", path.display()), "timeout_millis": 5000});
        let options = made.options("subject token of a program", ([127, 0, 0, 1], 9).into());
        let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
        let token = output.result_and_panic(&name, credentials.token().await);
        assert!(token.is_none());
        output.debug(&name, &credentials);
        output.canaries.extend(made.canaries);
    }
    output.assert_clean();
}
