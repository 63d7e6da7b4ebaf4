//! Each type of credential, whatever the type in the file. Secrets are sent only to the service of
//! their field, and no subject token comes from Google's metadata server.
#![no_main]

use ee_credentials::{CredentialKind, Credentials, ErrorKind};
use fuzz::{check_error, check_names, check_secrets, decoded, options, with_keys};
use serde_json::Value;
use url::Url;

/// The types, and the fields of each that name a service for its secrets.
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
                assert_ne!(credentials.kind(), CredentialKind::ApiKey);
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

/// Secrets of the file and of its source are sent only to the service of their field, and no
/// subject token comes from Google's metadata server.
fn check_hosts(file: &Value) {
    let hosts = TYPES.iter().find(|(kind, _)| file["type"] == *kind);
    let (kind, fields) = hosts.expect("a known type");
    for (name, url) in fields
        .iter()
        .filter_map(|name| Some((*name, file[*name].as_str()?)))
    {
        assert!(
            url.trim().is_empty() || is_trusted(kind, name, url),
            "{name}: {url}"
        );
    }
    if *kind == "impersonated_service_account" {
        check_hosts(&file["source_credentials"]);
    }
    if *kind == "external_account" {
        check_source(&file["credential_source"]);
    }
}

fn check_source(source: &Value) {
    if source.get("environment_id").is_some_and(|id| !id.is_null()) {
        let template = source["regional_cred_verification_url"].as_str();
        let url = template.expect("a URL").replace("{region}", "us-east-1");
        let host = host_of(&url);
        assert!(
            host.starts_with("sts.") || host.starts_with("sts-fips."),
            "{url}"
        );
        let amazons = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        assert!(amazons.iter().any(|end| host.ends_with(end)), "{url}");
        // The name of a bucket comes before this label.
        assert!(
            !host.split('.').any(|label| label.starts_with("s3")),
            "{url}"
        );
        for name in ["url", "region_url", "imdsv2_session_token_url"] {
            let Some(url) = source[name].as_str().filter(|url| !url.trim().is_empty()) else {
                continue;
            };
            assert!(
                ["169.254.169.254", "[fd00:ec2::254]"].contains(&host_of(url).as_str()),
                "{url}"
            );
        }
        return;
    }
    let Some(url) = source["url"].as_str().filter(|url| !url.trim().is_empty()) else {
        return;
    };
    let host = host_of(url);
    let name = host.trim_end_matches('.');
    assert!(
        name != "metadata" && !name.ends_with("google.internal"),
        "{url}"
    );
    assert!(
        host != "[fd20:ce::254]" && !host.ends_with(":a9fe:a9fe]"),
        "{url}"
    );
    let mut path = Url::parse(url.trim()).expect("a URL").path().to_owned();
    loop {
        assert!(
            !path.to_ascii_lowercase().contains("computemetadata"),
            "{url}"
        );
        let decoded = decoded(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    for name in source["headers"]
        .as_object()
        .into_iter()
        .flat_map(|headers| headers.keys())
    {
        assert!(
            !name.trim().eq_ignore_ascii_case("metadata-flavor"),
            "{url}"
        );
    }
}

fn host_of(url: &str) -> String {
    let url = Url::parse(url.trim()).expect("a URL");
    url.host_str().unwrap_or_default().to_owned()
}

/// Returns whether this is the service's own host over HTTPS, by the labels of the host instead of
/// a list. No host with content of others has such a label.
fn is_trusted(kind: &str, field: &str, url: &str) -> bool {
    let url = Url::parse(url.trim()).expect("a URL");
    let host = url.host_str().unwrap_or_default();
    let services: &[&str] = match (kind, field) {
        // Its hosts must be allowed by the caller, and none is.
        ("gdch_service_account", _) => &[],
        (_, "token_uri") => &["oauth2", "accounts", "www"],
        (_, "token_url") => &["sts"],
        _ => &["iamcredentials"],
    };
    let paths: &[&str] = match field {
        "token_uri" => &[
            "/token",
            "/o/oauth2/token",
            "/oauth2/v3/token",
            "/oauth2/v4/token",
        ],
        "token_url" => &["/v1/token", "/v1/oauthtoken", "/v1beta/token"],
        _ => &[":generateAccessToken"],
    };
    let is_service = |label: &str| {
        services.iter().any(|service| {
            label == *service
                || label
                    .strip_prefix(service)
                    .is_some_and(|rest| rest.starts_with('-'))
                || label
                    .strip_suffix(service)
                    .is_some_and(|rest| rest.ends_with('-'))
        })
    };
    let labels: Vec<&str> = host.split('.').collect();
    url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.query().is_none()
        && labels.iter().take(2).any(|label| is_service(label))
        && !labels.iter().any(|label| label.contains("storage"))
        && paths.iter().any(|path| url.path().ends_with(path))
        && (host == "accounts.google.com" || host.ends_with(".googleapis.com"))
}
