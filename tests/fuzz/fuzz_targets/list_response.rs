//! Paged lists, informative headers, names of maps, and API states. The first line of the input is
//! a header or a name, the rest is the response.
#![no_main]

use ee_init::ApiState;
use ee_rest::{Asset, Error, IamPolicy, Operation, Response, fuzzing};
use ee_token::AccessToken;
use fuzz::{check_error, check_shown, decoded, is_trick};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

const TOKEN: &str = "canary-token";
const KEY: &str = "operations";
const HEADERS: [&str; 3] = [
    "x-earth-engine-quota-status",
    "x-earth-engine-init-message",
    "x-earth-engine-computation-profile",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let token = AccessToken::new(TOKEN).expect("a token");
    let end = data.iter().position(|byte| *byte == b'\n');
    let (line, body) = data.split_at(end.unwrap_or(data.len()));
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line.trim_ascii()) {
        for name in HEADERS {
            headers.insert(name, value.clone());
        }
    }
    let response = fuzzing::response(headers, body, &token).expect("a path");
    check_headers(&response);
    check_page(&response, body);
    check_projects(body, &token);
    check_service(body);
    if let Ok(name) = std::str::from_utf8(line) {
        check_name(name);
    }
});

/// Messages contain no secret that was sent, and cannot control a terminal.
fn check_headers(response: &Response) {
    let (texts, limit) = fuzzing::events(response);
    // A profile ID is reported each time, other events once.
    assert!(texts.len() <= 4 && (1..=40).contains(&limit));
    let read = [
        response.profile_id(),
        response.quota_status(),
        response.init_message(),
    ];
    let read = read.iter().flatten().map(AsRef::as_ref);
    for text in texts.iter().map(String::as_str).chain(read) {
        assert!(
            !text.contains(TOKEN) && !text.contains(is_trick),
            "{text:?}"
        );
    }
}

/// Listed items are on the page, in order.
fn check_page(response: &Response, body: &[u8]) {
    match fuzzing::page::<Value>(response, KEY) {
        Ok(page) => {
            // Items may be nested more deeply on their own.
            let Ok(parsed) = serde_json::from_slice::<Map<String, Value>>(body) else {
                return;
            };
            let listed = parsed.get(KEY).and_then(Value::as_array);
            assert_eq!(page.items, listed.cloned().unwrap_or_default());
            assert_ne!(page.next_page_token.as_deref(), Some(""));
        }
        Err(error) => check_rejected(&error),
    }
    let others = [
        fuzzing::page::<Operation>(response, KEY).err(),
        fuzzing::page::<Asset>(response, "assets").err(),
        response.json::<Operation>().err(),
        response.json::<IamPolicy>().err(),
    ];
    others.iter().flatten().for_each(check_rejected);
}

fn check_rejected(error: &Error) {
    check_error(error, error.remedy());
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(TOKEN), "{shown}");
}

/// Listed projects have no state yet, and no name contains a secret that was sent. The name of a
/// registration state has only the characters of a name.
fn check_projects(body: &[u8], token: &AccessToken) {
    if let Some((projects, _)) = ee_init::fuzzing::listed_projects(body, token) {
        for project in &projects {
            let shown = format!("{project:?}");
            assert!(!project.is_ready() && !shown.contains(TOKEN), "{shown}");
            assert!(ee_init::check_project(&project.id).is_ok(), "{shown}");
            assert!(
                project.number.bytes().all(|b| b.is_ascii_digit()),
                "{shown}"
            );
            check_shown(&project.name);
        }
    }
    if let Ok(config) = serde_json::from_slice::<ee_rest::ProjectConfig>(body) {
        let name = config.registration_state.as_str();
        assert!(name.len() <= 64, "{name}");
        let plain = |b: u8| b.is_ascii_uppercase() || b == b'_';
        assert!(name.bytes().all(plain), "{name:?}");
    }
}

/// An API is enabled or disabled only if a string of its own says so.
fn check_service(body: &[u8]) {
    let Some(api) = ee_init::fuzzing::api_state(body) else {
        return;
    };
    // This test's values cannot hold what the crate ignores.
    let Ok(parsed) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let expected = match parsed["state"].as_str().or_else(|| parsed[0].as_str()) {
        Some("ENABLED") => ApiState::Enabled,
        Some("DISABLED") => ApiState::Disabled,
        _ => ApiState::Unknown,
    };
    assert_eq!(api, expected);
}

/// The name of a map leads to that map on the same host.
fn check_name(name: &str) {
    let base = Url::parse("https://ee.example/").expect("a URL");
    for collection in ["maps", "thumbnails"] {
        let Some(url) = fuzzing::url_of_named(name, collection, &base) else {
            continue;
        };
        assert!(url.as_str().starts_with("https://ee.example/v1/projects/"));
        assert!(url.query().is_none() && url.fragment().is_none());
        let segments = url.path_segments().expect("segments");
        let path: Vec<String> = segments.map(decoded).collect();
        assert_eq!(path.join("/"), format!("v1/{name}"), "{url}");
        assert!(path.len() == 5 && path[3] == collection, "{url}");
    }
}
