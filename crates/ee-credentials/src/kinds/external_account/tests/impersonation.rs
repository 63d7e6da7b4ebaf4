use ee_token::{ManualClock, TokenCache};

use super::*;

#[tokio::test]
async fn file_token_is_exchanged_for_an_impersonated_account() {
    let machine = Machine::new().await;
    let path = machine.file("token", &format!("{}\n", machine.token));
    let mut account = account(json!({ "file": path }));
    account["quota_project_id"] = json!("ee-demo-project");
    account["service_account_impersonation"] = json!({"token_lifetime_seconds": 1200});
    account["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    ));
    let credentials = machine.load(&account).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::ExternalAccount);
    assert_eq!(credentials.principal(), Some(ROBOT));
    assert_eq!(credentials.project(), Some("123456789012"));
    assert_eq!(credentials.quota_project(), Some("ee-demo-project"));
    let token = credentials.token().await.unwrap();
    let left = token.expires_at().unwrap() - chrono::Utc::now();
    assert!((1000..=1200).contains(&left.num_seconds()), "{left}");

    let requests = machine.emulator.requests();
    let form = requests[0].form();
    assert_eq!(form["scope"], "https://www.googleapis.com/auth/iam");
    assert_eq!(form["subject_token"], machine.token);
    assert_eq!(requests[1].json()["lifetime"], "1200s");
    assert_eq!(
        requests[1].header("x-goog-user-project"),
        Some("ee-demo-project")
    );
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn impersonated_account_has_id_tokens() {
    use base64::Engine as _;
    const AUDIENCE_OF_SERVICE: &str = "https://service.example";
    let machine = Machine::new().await;
    let path = machine.file("token", &machine.token);
    let mut file = account(json!({ "file": path }));
    let federated = machine.load(&file).unwrap();
    let error = federated.fetch_id_token(AUDIENCE_OF_SERVICE).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(machine.emulator.requests().is_empty());

    file["quota_project_id"] = json!("ee-demo-project");
    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    ));
    let credentials = machine.load(&file).unwrap();
    let token = credentials.fetch_id_token(AUDIENCE_OF_SERVICE).await;
    let token = token.unwrap();
    let claims = token.expose_secret().split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        (&claims["aud"], &claims["email"]),
        (&json!(AUDIENCE_OF_SERVICE), &json!(ROBOT))
    );
    let requests = machine.emulator.take_requests();
    assert_eq!(requests.len(), 2);
    let scope = "https://www.googleapis.com/auth/iam";
    assert_eq!(requests[0].form()["scope"], scope);
    assert!(requests[1].path.ends_with(":generateIdToken"));
    assert_eq!(
        requests[1].header("x-goog-user-project"),
        Some("ee-demo-project")
    );

    let provider = machine.emulator.create_oidc_provider(AUDIENCE);
    std::fs::write(path, provider.subject_token("another")).unwrap();
    let error = credentials.fetch_id_token(AUDIENCE_OF_SERVICE).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token(Token::Rejected), "{error}");
    assert!(
        error.remedy().text.contains("Workload Identity User"),
        "{error:?}"
    );
}

#[tokio::test]
async fn granted_role_ends_the_federated_rejection() {
    let machine = Machine::new().await;
    const OTHER: &str = "other@ee-demo-project.iam.gserviceaccount.com";
    machine
        .emulator
        .create_service_account(OTHER, "ee-demo-project");
    let path = machine.file("token", &machine.token);
    let mut file = account(json!({ "file": path }));
    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{OTHER}:generateAccessToken"
    ));
    let text = file.to_string();
    let object = JsonObject::parse(&text, &Location::InMemory).unwrap();
    let source = load(&object, &machine.options()).unwrap().source;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(source, &clock);
    for _ in 0..2 {
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
    }
    assert_eq!(machine.emulator.requests_to(STS).len(), 1);
    let provider = machine.emulator.create_oidc_provider(AUDIENCE);
    machine
        .emulator
        .allow_impersonation(&provider.principal("me"), OTHER);
    clock.advance(Duration::from_secs(60));
    tokens.token().await.unwrap();
}
