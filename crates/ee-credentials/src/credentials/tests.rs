use super::*;

#[tokio::test]
async fn api_key_has_no_token_and_is_never_shown() {
    let credentials = Credentials::from_api_key("AIza-canary");
    assert_eq!(credentials.kind(), CredentialKind::ApiKey);
    assert!(credentials.token_cache().is_none());
    assert!(credentials.api_key().is_some());
    let error = credentials.token().await.unwrap_err();
    assert!(!format!("{credentials:?} {error:?}").contains("canary"));
}

#[tokio::test]
async fn callers_token_is_returned_until_it_expires() {
    let token = AccessToken::new("ya29.canary").unwrap();
    let credentials = Credentials::from_token(token.clone());
    assert!(credentials.token().await.unwrap().secret_eq(&token));
    assert_eq!(credentials.source().as_str(), "caller");
    assert!(!format!("{credentials:?}").contains("canary"));
    let expired = token.with_expiry(chrono::Utc::now() - chrono::TimeDelta::seconds(1));
    let error = Credentials::from_token(expired).token().await.unwrap_err();
    assert_eq!(error.kind(), ee_token::ErrorKind::Expired);
}

#[tokio::test]
async fn function_is_called_when_a_new_token_is_needed() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let credentials = Credentials::from_fn(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move { AccessToken::new(&format!("token-{n}")) }
    });
    let clone = credentials.clone().with_principal("jane@example.com");
    assert_eq!(credentials.token().await.unwrap().secret(), "token-0");
    assert_eq!(clone.token().await.unwrap().secret(), "token-0");
    assert_eq!(clone.principal(), Some("jane@example.com"));
    assert_eq!(credentials.principal(), None);
    let token = credentials.token().await.unwrap();
    credentials.token_cache().unwrap().invalidate(&token);
    assert_eq!(clone.token().await.unwrap().secret(), "token-1");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn client_project_is_the_number_before_the_dash() {
    let number = |client_id: &str| {
        let text = serde_json::json!({
            "type": "authorized_user", "client_id": client_id, "client_secret": "s", "refresh_token": "r",
        });
        let credentials =
            Credentials::from_json(&text.to_string(), &CredentialOptions::default()).unwrap();
        credentials.oauth_client_project_number().map(str::to_owned)
    };
    assert_eq!(number("123-a-b.apps").as_deref(), Some("123"));
    for none in ["123", "abc-1", "-1", "1x-2"] {
        assert_eq!(number(none), None, "{none}");
    }
}
