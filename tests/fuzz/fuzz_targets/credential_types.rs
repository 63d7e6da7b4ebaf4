//! Each type of credential by turns, whatever the type in the file: secrets go to Google's hosts
//! alone.
#![no_main]

use ee_credentials::{Credentials, ErrorKind, Kind};
use fuzz::{check_error, check_names, check_secrets, options, with_keys};
use serde_json::Value;
use url::Url;

/// The types, and the fields of each that name where its secrets are sent.
const TYPES: [(&str, &[&str]); 6] = [
    ("service_account", &["token_uri"]),
    ("authorized_user", &[]),
    (
        "external_account",
        &["token_url", "service_account_impersonation_url"],
    ),
    ("external_account_authorized_user", &["token_url"]),
    (
        "impersonated_service_account",
        &["service_account_impersonation_url"],
    ),
    ("gdch_service_account", &["token_uri"]),
];
const SECRETS: [&str; 5] = [
    "private_key",
    "refresh_token",
    "client_secret",
    "rapt_token",
    "headers",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(Value::Object(mut file)) = serde_json::from_str(&with_keys(text)) else {
        return;
    };
    // It would be read from this machine's disk.
    file.remove("ca_cert_path");
    for (kind, _) in TYPES {
        file.insert("type".into(), kind.into());
        let file = Value::Object(file.clone());
        let text = file.to_string();
        match Credentials::from_json(&text, &options()) {
            Ok(credentials) => {
                assert_eq!(credentials.kind().as_str(), kind);
                assert_ne!(credentials.kind(), Kind::ApiKey);
                check_secrets(&text, &SECRETS, &format!("{credentials:?}"));
                check_names(&credentials);
                check_hosts(&file);
            }
            Err(error) => {
                check_error(&error, error.remedy());
                assert_ne!(error.kind(), ErrorKind::NoCredentials);
                check_secrets(&text, &SECRETS, &format!("{error:?} {error}"));
            }
        }
    }
});

/// The file's secrets are sent to trusted hosts alone, and so are those of its source.
fn check_hosts(file: &Value) {
    let hosts = TYPES.iter().find(|(kind, _)| file["type"] == *kind);
    let (_, hosts) = hosts.expect("a type that is read");
    for url in hosts.iter().filter_map(|name| file[*name].as_str()) {
        assert!(url.trim().is_empty() || is_trusted(url), "{url}");
    }
    if file["type"] == "impersonated_service_account" {
        check_hosts(&file["source_credentials"]);
    }
}

/// Google's hosts over HTTPS.
fn is_trusted(url: &str) -> bool {
    let url = Url::parse(url.trim()).expect("a URL");
    let host = url.host_str().unwrap_or_default();
    url.scheme() == "https"
        && url.username().is_empty()
        && (host == "accounts.google.com" || host.ends_with(".googleapis.com"))
}
