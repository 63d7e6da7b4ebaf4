use std::collections::HashMap;

use ee_emulator::Emulator;
use ee_token::{Endpoints, ErrorKind as Token, HttpClient};

use super::*;
use crate::options::options;

const ID: &str = "987654321098-web.apps.googleusercontent.com";
const SECRET: &str = "canary-secret";
const CALLBACK: &str = "https://app.example.com/callback";

async fn emulator() -> Emulator {
    let builder = Emulator::builder().oauth_client(ID, SECRET);
    builder.redirect_uri(ID, CALLBACK).start().await.unwrap()
}

fn flow(emulator: &Emulator) -> WebFlow {
    WebFlow::new(ID, SECRET, CALLBACK, options(emulator)).unwrap()
}

/// Visits the consent page like a browser and returns the query of the callback.
async fn consent(url: &Url) -> String {
    let http = HttpClient::new(Endpoints::google());
    let request = ee_token::Request::new(http::Method::GET, url.clone());
    let response = http.send(request).await.unwrap();
    assert_eq!(response.status(), 302);
    let location = response.headers()["location"].to_str().unwrap();
    let (target, query) = location.split_once('?').unwrap();
    assert_eq!(target, CALLBACK);
    query.to_owned()
}

#[tokio::test]
async fn web_login_yields_lasting_credentials() {
    let emulator = emulator().await;
    emulator.auto_consent("jane@example.com");
    let flow = flow(&emulator);
    let (url, pending) = flow.begin().unwrap();
    let requested: HashMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("access_type", "offline"),
        ("include_granted_scopes", "true"),
        ("prompt", "consent"),
        ("code_challenge_method", "S256"),
        ("state", pending.state()),
        ("redirect_uri", CALLBACK),
    ] {
        assert_eq!(requested[name], value);
    }
    let login = flow.finish(pending, &consent(&url).await).await.unwrap();
    assert!(login.missing.is_empty());
    assert_eq!(login.granted, Scopes::earth_engine());
    assert_eq!(
        login.credentials.oauth_client_project_number(),
        Some("987654321098")
    );
    let token = login.credentials.token().await.unwrap();
    assert_eq!(emulator.requests_to("oauth2.googleapis.com").len(), 1);
    login.credentials.token_cache().unwrap().invalidate(&token);
    assert!(!login.credentials.token().await.unwrap().secret_eq(&token));

    let later = flow.restore(login.refresh_token.clone().unwrap());
    later.token().await.unwrap();
    let shown = format!("{flow:?} {login:?} {later:?}");
    for secret in [
        SECRET,
        token.secret(),
        login.refresh_token.unwrap().expose_secret(),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn scope_not_granted_is_missing() {
    let emulator = emulator().await;
    emulator.auto_consent_only("jane@example.com", &["earthengine"]);
    let flow = flow(&emulator);
    let (url, pending) = flow.begin().unwrap();
    let login = flow.finish(pending, &consent(&url).await).await.unwrap();
    assert_eq!(login.granted, Scopes::new(["earthengine"]));
    assert_eq!(login.missing, Scopes::new(["cloud-platform"]));
}

#[tokio::test]
async fn concurrent_web_logins_are_never_mixed_up() {
    let emulator = emulator().await;
    let flow = flow(&emulator);
    let (janes_url, janes) = flow.begin().unwrap();
    let (joes_url, joes) = flow.begin().unwrap();
    emulator.auto_consent("jane@example.com");
    let janes_query = consent(&janes_url).await;
    emulator.auto_consent("joe@example.com");
    let joes_query = consent(&joes_url).await;
    let error = flow.finish(joes.clone(), &janes_query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    // With the state replaced, the code is still bound to the other verifier.
    let forged = janes_query.replace(janes.state(), joes.state());
    let error = flow.finish(joes.clone(), &forged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(error.to_string().contains("was rejected"), "{error}");
    flow.finish(joes, &joes_query).await.unwrap();
    flow.finish(janes, &janes_query).await.unwrap();
}

#[tokio::test]
async fn callback_is_accepted_once() {
    let emulator = emulator().await;
    emulator.auto_consent("jane@example.com");
    let flow = flow(&emulator);
    let (url, pending) = flow.begin().unwrap();
    let query = consent(&url).await;
    flow.finish(pending.clone(), &format!("?{query}"))
        .await
        .unwrap();
    let error = flow.finish(pending, &query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert_eq!(error.token_error().unwrap().kind(), Token::Rejected);
    let code = query
        .split('&')
        .find_map(|p| p.strip_prefix("code="))
        .unwrap();
    assert!(!format!("{error:?}").contains(code));
}

#[tokio::test]
async fn denied_login_differs_from_a_failed_one() {
    let emulator = emulator().await;
    emulator.deny_consent();
    let flow = flow(&emulator);
    let (url, pending) = flow.begin().unwrap();
    let query = consent(&url).await;
    let error = flow.finish(pending.clone(), &query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginDenied);
    for query in ["", "state=x&code=y", &format!("state={}", pending.state())] {
        let error = flow.finish(pending.clone(), query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoginFailed, "{query}");
    }
    assert!(emulator.requests_to("oauth2.googleapis.com").is_empty());
}

#[tokio::test]
async fn pending_login_can_be_stored_and_shows_no_secret() {
    let emulator = emulator().await;
    emulator.auto_consent("jane@example.com");
    let flow = flow(&emulator);
    let (url, pending) = flow.begin().unwrap();
    let stored = serde_json::to_string(&pending).unwrap();
    let verifier = pending.verifier.expose_secret();
    assert!(stored.contains(verifier));
    let shown = format!("{pending:?}");
    assert!(
        !shown.contains(verifier) && !shown.contains(pending.state()),
        "{shown}"
    );
    let pending: PendingLogin = serde_json::from_str(&stored).unwrap();
    flow.finish(pending.clone(), &consent(&url).await)
        .await
        .unwrap();

    let old = PendingLogin {
        began_at: pending.began_at - 3601,
        ..pending
    };
    let query = format!("state={}&code=x", old.state());
    let error = flow.finish(old, &query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginTimeout);
}

#[test]
fn plain_http_redirect_uri_is_rejected() {
    let new = |uri: &str| WebFlow::new(ID, SECRET, uri, CredentialOptions::default());
    for good in [
        "https://a.example/cb",
        "http://localhost:8000/cb",
        "http://[::1]/",
    ] {
        assert!(new(good).is_ok(), "{good}");
    }
    for bad in [
        "http://a.example/cb",
        "nonsense",
        "javascript:1",
        "urn:ietf:wg:oauth:2.0:oob",
    ] {
        let error = new(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{bad}");
        assert!(!error.remedy().text.is_empty());
    }
    assert!(WebFlow::new(" ", SECRET, CALLBACK, CredentialOptions::default()).is_err());
}
