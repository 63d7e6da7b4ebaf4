//! Error responses of Earth Engine, proxies and other services, and the errors made of them.
#![no_main]

use ee_credentials::Credentials;
use ee_rest::{ApiError, fuzzing};
use ee_token::AccessToken;
use fuzz::{check_command, is_trick};
use http::StatusCode;
use url::Url;

const TOKEN: &str = "canary-token";
const KEY: &str = "canary-key";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let token = AccessToken::new(TOKEN).expect("a token");
    let url = Url::parse("https://cloudresourcemanager.googleapis.com/v3/x").expect("a URL");
    let credentials = Credentials::from_token(token.clone());
    for status in [400, 401, 403, 404, 429, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let api = fuzzing::api_error(status, data, &token, KEY);
        check(&api);
        for error in [
            ee_init::Error::from(fuzzing::explain(&api, "my-project", "jane@example.com")),
            ee_init::fuzzing::explain_service(&api, &url, &credentials),
        ] {
            let text = format!("{error}");
            assert!(!text.contains(is_trick), "{text:?}");
            let remedy = error.remedy();
            assert!(!remedy.to_string().contains(is_trick), "{remedy:?}");
            if let Some(command) = &remedy.command {
                check_command(command);
            }
            if let Some(page) = &remedy.url {
                assert!(
                    Url::parse(page).is_ok_and(|url| url.scheme() == "https"),
                    "{page}"
                );
            }
        }
    }
});

/// The error contains no secret that was sent, and cannot control a terminal.
fn check(api: &ApiError) {
    let shown = format!("{api:?} {api}");
    assert!(!shown.contains(TOKEN) && !shown.contains(KEY), "{shown}");
    assert!(
        !api.message.is_empty() && !api.to_string().contains(is_trick),
        "{api}"
    );
    let metadata = api.metadata.iter().flat_map(|(key, value)| [key, value]);
    let links = api
        .links
        .iter()
        .flat_map(|link| [&link.description, &link.url]);
    let quotas = api
        .quota_violations
        .iter()
        .flat_map(|v| [&v.subject, &v.description]);
    let others = [&api.reason, &api.domain].into_iter().flatten();
    for text in metadata.chain(links).chain(quotas).chain(others) {
        assert!(!text.contains(is_trick), "{text:?}");
    }
    if api.is_from_intermediary() {
        assert!(api.message.chars().count() <= 201);
    }
    if api.is_transient() {
        assert!(!api.is_daily_quota());
    }
}
