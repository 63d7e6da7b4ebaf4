//! Lists that come in pages, what is said beside them in headers, names that servers give to maps,
//! and whether an API is enabled: the first line is a header or a name, and what follows the reply.
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

/// Nothing that is told is a secret that was sent, or steers a terminal.
fn check_headers(response: &Response) {
    let (told, limit) = fuzzing::events(response);
    // The id of a profile is told each time, the rest once.
    assert!(told.len() <= 4 && (1..=40).contains(&limit));
    let read = [
        response.profile_id(),
        response.quota_status(),
        response.init_message(),
    ];
    let read = read.iter().flatten().map(AsRef::as_ref);
    for text in told.iter().map(String::as_str).chain(read) {
        assert!(
            !text.contains(TOKEN) && !text.contains(is_trick),
            "{text:?}"
        );
    }
}

/// All that is listed is on the page, in its order.
fn check_page(response: &Response, body: &[u8]) {
    match fuzzing::page::<Value>(response, KEY) {
        Ok(page) => {
            let reply: Map<String, Value> = serde_json::from_slice(body).expect("an object");
            let listed = reply.get(KEY).and_then(Value::as_array);
            assert_eq!(page.items, listed.cloned().unwrap_or_default());
            assert_ne!(page.next_page_token.as_deref(), Some(""));
        }
        Err(error) => check_refused(&error),
    }
    let others = [
        fuzzing::page::<Operation>(response, KEY).err(),
        fuzzing::page::<Asset>(response, "assets").err(),
        response.json::<Operation>().err(),
        response.json::<IamPolicy>().err(),
    ];
    others.iter().flatten().for_each(check_refused);
}

fn check_refused(error: &Error) {
    check_error(error, error.remedy());
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(TOKEN), "{shown}");
}

/// Projects that are listed: nothing is known of them yet, and no name is a secret that was sent. What a registration is called has the
/// characters of a name.
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

/// An API is on or off where a text of its own says so, and nowhere else.
fn check_service(body: &[u8]) {
    let Some(api) = ee_init::fuzzing::api_state(body) else {
        return;
    };
    // These checks' own values have no room for what the crate passes over.
    let Ok(reply) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let expected = match reply["state"].as_str().or_else(|| reply[0].as_str()) {
        Some("ENABLED") => ApiState::Enabled,
        Some("DISABLED") => ApiState::Disabled,
        _ => ApiState::Unknown,
    };
    assert_eq!(api, expected);
}

/// A map's name leads to that map, under the host that was asked.
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
