//! The consent page and the exchange of its codes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::Emulator;
use ring::digest::{SHA256, digest};

use crate::client::*;

const CLIENT: &str = "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
const SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const REDIRECT: &str = "http://localhost:8085";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// Sends an authorization request that is valid except for these parameters. An empty value removes
/// a parameter.
async fn ask(emulator: &Emulator, other: &[(&str, &str)]) -> Response {
    let challenge = challenge();
    let mut query = vec![
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", "a state & more"),
    ];
    for (name, value) in other {
        query.retain(|(known, _)| known != name);
        if !value.is_empty() {
            query.push((name, value));
        }
    }
    let url = format!("{}/o/oauth2/auth", emulator.url("accounts.google.com"));
    send(client().get(url).query(&query)).await
}

async fn code(emulator: &Emulator) -> String {
    let response = ask(emulator, &[]).await;
    assert_eq!(response.status, 302, "{response:?}");
    query(response.headers["location"].to_str().unwrap())["code"].clone()
}

/// Sends a code exchange that is valid except for these parameters.
async fn exchange(emulator: &Emulator, code: &str, other: &[(&str, &str)]) -> Response {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in other {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    token(emulator, &form).await
}

async fn consenting() -> Emulator {
    let emulator = Emulator::start().await.unwrap();
    emulator.auto_consent("jane@example.com");
    emulator
}

#[tokio::test]
async fn consent_yields_code_and_code_yields_tokens() {
    let emulator = consenting().await;
    let response = ask(&emulator, &[]).await;
    let location = response.headers["location"].to_str().unwrap().to_owned();
    assert!(
        location.starts_with("http://localhost:8085/?"),
        "{location}"
    );
    assert_eq!(query(&location)["state"], "a state & more");
    assert_eq!(query(&location)["scope"], SCOPE);

    let response = exchange(&emulator, &query(&location)["code"], &[]).await;
    let body = response.json();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(body["scope"], SCOPE);
    let bearer = body["access_token"].as_str().unwrap();
    assert_eq!(
        config(&emulator, PROJECT, bearer, Some(PROJECT))
            .await
            .status,
        200
    );
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("refresh_token", body["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(token(&emulator, &form).await.status, 200);
}

#[tokio::test]
async fn invalid_authorization_requests_are_rejected() {
    let emulator = consenting().await;
    for (name, value, error) in [
        ("client_id", "", "invalid_request"),
        ("client_id", "unknown", "invalid_client"),
        ("redirect_uri", "", "invalid_request"),
        (
            "redirect_uri",
            "https://evil.example",
            "redirect_uri_mismatch",
        ),
        (
            "redirect_uri",
            "http://localhost.evil.example",
            "redirect_uri_mismatch",
        ),
        (
            "redirect_uri",
            "https://localhost:8085",
            "redirect_uri_mismatch",
        ),
        (
            "redirect_uri",
            "http://localhost@evil.example",
            "redirect_uri_mismatch",
        ),
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("scope", "", "invalid_request"),
        ("scope", "earthengine", "invalid_scope"),
    ] {
        let response = ask(&emulator, &[(name, value)]).await;
        assert!(
            response.status == 400 || response.status == 401,
            "{name}={value}"
        );
        assert!(
            response.text.contains(error),
            "{name}={value}: {}",
            response.text
        );
        assert!(!response.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn loopback_and_registered_redirect_uris_are_accepted() {
    let emulator = Emulator::builder()
        .redirect_uri(CLIENT, "https://app.example/done")
        .start()
        .await
        .unwrap();
    emulator.auto_consent("jane@example.com");
    for redirect in [
        "http://127.0.0.1:1234/x",
        "http://[::1]:9",
        "https://app.example/done",
    ] {
        let response = ask(&emulator, &[("redirect_uri", redirect)]).await;
        let location = response.headers["location"].to_str().unwrap();
        assert!(location.starts_with(redirect), "{location}");
    }
    let shown = ask(&emulator, &[("redirect_uri", "urn:ietf:wg:oauth:2.0:oob")]).await;
    assert_eq!(shown.status, 200);
    assert!(
        shown.text.contains("<code id=\"code\">4/0"),
        "{}",
        shown.text
    );
}

#[tokio::test]
async fn code_is_bound_to_client_verifier_and_redirect_uri() {
    let emulator = consenting().await;
    let code = code(&emulator).await;
    let rejected = async |other: &[(&str, &str)]| {
        let response = exchange(&emulator, &code, other).await;
        assert!(response.status >= 400);
        response.oauth_error()
    };
    let pair = |error: &str, text: &str| (error.to_owned(), text.to_owned());
    let other_verifier = VERIFIER.to_uppercase();
    assert_eq!(
        rejected(&[("code_verifier", &other_verifier)]).await,
        pair("invalid_grant", "Invalid code verifier.")
    );
    assert_eq!(
        rejected(&[("code_verifier", "")]).await,
        pair("invalid_grant", "Missing code verifier.")
    );
    assert_eq!(
        rejected(&[("redirect_uri", "http://localhost:8086")]).await,
        pair("redirect_uri_mismatch", "Bad Request")
    );
    assert_eq!(
        rejected(&[("code", "4/none")]).await,
        pair("invalid_grant", "Malformed auth code.")
    );
    assert_eq!(
        rejected(&[("client_secret", "wrong")]).await,
        pair("invalid_client", "Unauthorized")
    );
    assert_eq!(exchange(&emulator, &code, &[]).await.status, 200);
    assert_eq!(rejected(&[]).await, pair("invalid_grant", "Bad Request"));
}

#[tokio::test]
async fn code_is_rejected_for_another_client() {
    let emulator = Emulator::builder()
        .oauth_client("other-client", "other-secret")
        .start()
        .await
        .unwrap();
    emulator.auto_consent("jane@example.com");
    let code = code(&emulator).await;
    let other = [
        ("client_id", "other-client"),
        ("client_secret", "other-secret"),
    ];
    let response = exchange(&emulator, &code, &other).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.oauth_error().0, "unauthorized_client");
}

#[tokio::test]
async fn code_expires_after_ten_minutes() {
    let emulator = consenting().await;
    let code = code(&emulator).await;
    emulator.clock().advance(Duration::from_secs(601));
    let response = exchange(&emulator, &code, &[]).await;
    assert_eq!(response.oauth_error().0, "invalid_grant");
}

#[tokio::test]
async fn consent_can_be_partial_or_denied() {
    let emulator = Emulator::start().await.unwrap();
    emulator.auto_consent_only("jane@example.com", &["earthengine"]);
    let drive = "https://www.googleapis.com/auth/drive";
    let asked = format!("{drive} {SCOPE}");
    let response = ask(&emulator, &[("scope", &asked)]).await;
    let sent = query(response.headers["location"].to_str().unwrap());
    assert_eq!(sent["scope"], SCOPE);
    let response = exchange(&emulator, &sent["code"], &[]).await;
    assert_eq!(response.json()["scope"], SCOPE);

    emulator.deny_consent();
    let response = ask(&emulator, &[]).await;
    let sent = query(response.headers["location"].to_str().unwrap());
    assert_eq!(sent["error"], "access_denied");
    assert_eq!(sent["state"], "a state & more");
}

#[tokio::test]
async fn consent_page_buttons_redirect() {
    let emulator = Emulator::start().await.unwrap();
    emulator.create_user("jane@example.com");
    let response = ask(&emulator, &[]).await;
    assert_eq!(response.status, 200);
    let link = response
        .text
        .split("class=\"allow\" href=\"")
        .nth(1)
        .unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let base = format!("{}/o/oauth2/auth", emulator.url("accounts.google.com"));
    let url = url::Url::parse(&base).unwrap().join(&link).unwrap();
    let response = get(url.into()).await;
    assert_eq!(response.status, 302);
    let sent = query(response.headers["location"].to_str().unwrap());
    assert_eq!(exchange(&emulator, &sent["code"], &[]).await.status, 200);
}

#[tokio::test]
async fn login_hint_of_known_user_grants_consent() {
    let emulator = Emulator::start().await.unwrap();
    emulator.create_user("jane@example.com");
    let response = ask(&emulator, &[("login_hint", "jane@example.com")]).await;
    assert_eq!(response.status, 302);
    let response = ask(&emulator, &[("login_hint", "stranger@example.com")]).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn consent_form_grants_selected_scopes() {
    let emulator = Emulator::start().await.unwrap();
    emulator.create_user("jane@example.com");
    let page = ask(&emulator, &[("scope", &format!("{SCOPE} {DRIVE}"))]).await;
    assert_eq!(
        page.text.matches("type=\"checkbox\"").count(),
        2,
        "{}",
        page.text
    );
    let press = |selected: &'static [&'static str]| {
        let mut form = vec![
            ("emulator_chosen", "1"),
            ("emulator_user", "jane@example.com"),
        ];
        form.extend(selected.iter().map(|scope| ("emulator_scope", *scope)));
        form.push((
            "scope",
            "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/drive",
        ));
        form
    };
    let response = ask(&emulator, &press(&[DRIVE])).await;
    let back = query(response.headers["location"].to_str().unwrap());
    assert_eq!(back["scope"], DRIVE);
    let response = ask(&emulator, &press(&[])).await;
    let back = query(response.headers["location"].to_str().unwrap());
    assert_eq!(back["error"], "access_denied");
}

const DRIVE: &str = "https://www.googleapis.com/auth/drive";

#[tokio::test]
async fn web_client_requests_offline_access_and_earlier_scopes() {
    const WEB: &str = "987-web.apps.googleusercontent.com";
    const BACK: &str = "https://app.example/done";
    let emulator = Emulator::builder()
        .oauth_client(WEB, "web-secret")
        .redirect_uri(WEB, BACK)
        .start()
        .await
        .unwrap();
    emulator.auto_consent("jane@example.com");
    let log_in = async |other: &[(&str, &str)]| {
        let client = [("client_id", WEB), ("redirect_uri", BACK)];
        let response = ask(&emulator, &[&client, other].concat()).await;
        let back = query(response.headers["location"].to_str().unwrap());
        let client = [&client[..], &[("client_secret", "web-secret")]].concat();
        exchange(&emulator, &back["code"], &client).await.json()
    };
    let online = log_in(&[("scope", DRIVE)]).await;
    assert!(online.get("refresh_token").is_none(), "{online}");
    let offline = log_in(&[("access_type", "offline")]).await;
    assert!(offline["refresh_token"].is_string(), "{offline}");
    assert_eq!(offline["scope"], SCOPE);
    let more = log_in(&[("include_granted_scopes", "true")]).await;
    let scopes: Vec<&str> = more["scope"].as_str().unwrap().split(' ').collect();
    assert!(scopes.contains(&DRIVE) && scopes.contains(&SCOPE), "{more}");
}
