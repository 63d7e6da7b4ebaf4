//! Sources of subject tokens: output of executables, files and URLs, certificates and their keys,
//! AWS's metadata service; and command lines.
#![no_main]

use std::sync::LazyLock;

use ee_credentials::fuzzing;
use ee_token::{Endpoints, HttpClient, SecretString};
use fuzz::{CANARY, check_error, check_secrets, check_shown, is_json, with_keys};
use http::HeaderValue;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match fuzzing::executable_output(data) {
        Ok(token) => assert!(!token.expose_secret().is_empty()),
        Err(error) => {
            let shown = error.to_string();
            check_shown(&shown);
            check_secrets(&text, &["id_token", "saml_response"], &shown);
        }
    }
    // Surrounding whitespace is removed, including that of Unicode, of which there is more than in
    // JSON.
    let inner = text.trim_start_matches('\u{feff}').trim();
    for field in [None, Some("access_token")] {
        match fuzzing::subject_token(&text, field) {
            Ok(token) => {
                // A JWT is accepted in quotes, and without the field.
                let token = token.expose_secret();
                let is_inner = token == inner.trim_matches('"') || token == inner;
                assert!(is_inner || field.is_some() && is_json(inner));
                assert!(!token.trim().is_empty());
            }
            Err(error) => {
                check_error(&error, error.remedy());
                check_secrets(inner, &["access_token"], &format!("{error:?}"));
            }
        }
    }
    match fuzzing::certificate_chain(&text) {
        Ok(chain) => assert!(chain.iter().all(|der| der.len() < data.len())),
        Err(error) => {
            check_error(&error, error.remedy());
            assert!(!format!("{error:?}").contains(CANARY));
        }
    }
    check_pem(&text);
    check_certificate_config(&text);
    if let Ok(words) = fuzzing::command_line(&text) {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        assert_eq!(fuzzing::command_line(&quoted.join(" ")), Ok(words));
    }
    if let Some(token) = fuzzing::aws_session_token(&text) {
        assert!(!token.is_empty() && HeaderValue::from_str(token).is_ok());
    }
    if let Some(role) = fuzzing::aws_role(&text) {
        assert!(
            role.bytes()
                .all(|b| b.is_ascii_graphic() && !b"/?#%\\".contains(&b))
        );
    }
    let (zone, key) = text.split_once('\n').unwrap_or(("us-east-1d", &text));
    if let Some(token) = fuzzing::aws_subject_token(zone, key)
        && !zone.contains(CANARY)
    {
        check_signed_request(token.expose_secret(), key);
    }
});

/// Parses a client certificate, its key, and root certificates.
fn check_pem(text: &str) {
    static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(Endpoints::google()));
    let key = SecretString::from(with_keys("EC-KEY"));
    let made = [
        HTTP.with_root_certificates(text),
        HTTP.with_identity(text, &key),
        HTTP.with_identity(text, &with_keys(text).into()),
    ];
    for error in made.into_iter().filter_map(Result::err) {
        check_error(&error, error.remedy());
        assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
    }
}

/// Each path is the string of its field, and an error contains only names.
fn check_certificate_config(text: &str) {
    match fuzzing::certificate_paths(text) {
        Ok((certificate, key)) => {
            for (path, name) in [(certificate, "cert_path"), (key, "key_path")] {
                let path = path.to_str().expect("a text");
                check_shown(path);
                // This test's values cannot hold what the crate ignores.
                if let Ok(config) = serde_json::from_str::<Value>(text) {
                    let workload = &config["cert_configs"]["workload"];
                    assert_eq!(workload[name].as_str().map(str::trim), Some(path));
                }
            }
        }
        Err(error) => {
            check_error(&error, error.remedy());
            check_secrets(text, &[], &format!("{error:?}"));
        }
    }
}

/// It is a URL-encoded JSON request to AWS, and does not contain the key that signed it.
fn check_signed_request(token: &str, key: &str) {
    let pair = format!("t={token}");
    let request = url::form_urlencoded::parse(pair.as_bytes()).next();
    let (_, request) = request.expect("one value");
    let value: Value = serde_json::from_str(&request).expect("JSON");
    let address = value["url"].as_str().expect("a URL");
    let url = url::Url::parse(address).expect("a URL");
    let host = url.host_str().expect("a host");
    assert!(
        host.starts_with("sts.") && host.ends_with(".amazonaws.com"),
        "{host}"
    );
    check_secrets(key, &["SecretAccessKey"], &request);
}
