//! Service accounts at the token endpoint.

use std::time::Duration;

use ee_emulator::{Emulator, RsaKey, ServiceAccount};
use serde_json::{Value, json};

use crate::client::*;

async fn start() -> (Emulator, ServiceAccount) {
    let emulator = Emulator::start().await.unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    (emulator, account)
}

/// The answer to a JWT that is right but for these claims; null removes one.
async fn with_claims(emulator: &Emulator, account: &ServiceAccount, other: Value) -> Answer {
    let mut claims = claims(emulator);
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    assert_jwt(emulator, &sign(account, &header(account), &claims)).await
}

fn refused(answer: &Answer, error: &str, sentence: &str) {
    let (actual, description) = answer.oauth_error();
    assert_eq!((answer.status, actual.as_str()), (400, error), "{answer:?}");
    assert!(description.contains(sentence), "{description}");
}

#[tokio::test]
async fn a_correct_jwt_gets_a_bearer_token_and_no_scope() {
    let (emulator, account) = start().await;
    let answer = with_claims(&emulator, &account, json!({})).await;
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert!(body["access_token"].as_str().unwrap().starts_with("ya29."));
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], Value::Null);
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("no-store")
    );
}

#[tokio::test]
async fn the_date_header_follows_the_emulators_clock() {
    let (emulator, account) = start().await;
    emulator
        .clock()
        .set("2030-05-06T07:08:09Z".parse().unwrap());
    let answer = with_claims(&emulator, &account, json!({})).await;
    assert_eq!(answer.status, 200);
    let date = answer.headers["date"].to_str().unwrap();
    assert!(date.starts_with("Mon, 06 May 2030 07:08:"), "{date}");
    assert!(date.ends_with(" GMT"), "{date}");
}

#[tokio::test]
async fn the_configured_token_lifetime_is_answered() {
    let emulator = Emulator::builder()
        .token_lifetime(Duration::from_secs(7))
        .start()
        .await
        .unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let body = with_claims(&emulator, &account, json!({})).await.json();
    assert_eq!(body["expires_in"], 7);
    let bearer = body["access_token"].as_str().unwrap();
    assert_eq!(config(&emulator, PROJECT, bearer, None).await.status, 200);
    emulator.clock().advance(Duration::from_secs(8));
    let answer = config(&emulator, PROJECT, bearer, None).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.reason().unwrap(), "ACCESS_TOKEN_EXPIRED");
}

#[tokio::test]
async fn another_audience_is_refused_even_if_only_a_slash_differs() {
    let (emulator, account) = start().await;
    for audience in [
        json!(format!("{AUDIENCE}/")),
        json!("https://accounts.google.com/o/oauth2/token"),
        json!([AUDIENCE]),
        Value::Null,
    ] {
        let answer = with_claims(&emulator, &account, json!({"aud": audience})).await;
        refused(&answer, "invalid_grant", "audience");
    }
}

#[tokio::test]
async fn times_that_are_too_long_too_early_or_over_are_refused_with_googles_sentence() {
    let (emulator, account) = start().await;
    let now = emulator.clock().now().timestamp();
    for times in [
        json!({"iat": now, "exp": now + 3601}),
        json!({"iat": now + 400, "exp": now + 3600}),
        json!({"iat": now - 3600, "exp": now - 1}),
        json!({"iat": now, "exp": now}),
        json!({"iat": now + 10, "exp": now + 5}),
        json!({"iat": null}),
        json!({"exp": null}),
        json!({"iat": now.to_string()}),
    ] {
        let answer = with_claims(&emulator, &account, times.clone()).await;
        refused(
            &answer,
            "invalid_grant",
            "must be a short-lived token (60 minutes)",
        );
    }
}

#[tokio::test]
async fn a_signers_clock_may_be_a_little_ahead() {
    let (emulator, account) = start().await;
    let now = emulator.clock().now().timestamp();
    let times = json!({"iat": now + 200, "exp": now + 3800});
    assert_eq!(with_claims(&emulator, &account, times).await.status, 200);
}

#[tokio::test]
async fn a_clock_that_is_two_hours_off_is_told_so() {
    let (emulator, account) = start().await;
    let claims = claims(&emulator);
    emulator.clock().advance(Duration::from_secs(7200));
    let answer = assert_jwt(&emulator, &sign(&account, &header(&account), &claims)).await;
    refused(&answer, "invalid_grant", "reasonable timeframe");
}

#[tokio::test]
async fn a_missing_or_unknown_scope_is_refused() {
    let (emulator, account) = start().await;
    for scope in [json!(null), json!(""), json!("  "), json!("earthengine")] {
        let answer = with_claims(&emulator, &account, json!({"scope": scope})).await;
        refused(&answer, "invalid_scope", "Invalid OAuth scope");
    }
}

#[tokio::test]
async fn an_unknown_account_is_not_found() {
    let (emulator, account) = start().await;
    let answer = with_claims(&emulator, &account, json!({"iss": "nobody@example.com"})).await;
    refused(&answer, "invalid_grant", "account not found");
    emulator.delete_service_account(ROBOT);
    let answer = with_claims(&emulator, &account, json!({})).await;
    refused(&answer, "invalid_grant", "account not found");
}

#[tokio::test]
async fn a_key_that_was_deleted_signs_no_more_while_the_others_and_their_tokens_stay() {
    let (emulator, account) = start().await;
    let new = emulator.create_service_account(ROBOT, PROJECT);
    let body = with_claims(&emulator, &account, json!({})).await.json();
    emulator.delete_service_account_key(ROBOT, account.private_key_id());
    let answer = with_claims(&emulator, &account, json!({})).await;
    refused(&answer, "invalid_grant", "Invalid JWT Signature.");
    let answer = with_claims(&emulator, &new, json!({})).await;
    assert_eq!(answer.status, 200);
    let bearer = body["access_token"].as_str().unwrap();
    let answer = config(&emulator, PROJECT, bearer, None).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_signature_by_another_key_or_over_other_claims_is_refused() {
    let (emulator, account) = start().await;
    let other = emulator.create_service_account_with_key(
        "other@ee-demo-project.iam.gserviceaccount.com",
        PROJECT,
        RsaKey::generate(2048),
    );
    let forged = sign(&other, &header(&account), &claims(&emulator));
    let answer = assert_jwt(&emulator, &forged).await;
    refused(&answer, "invalid_grant", "Invalid JWT Signature.");

    let good = sign(&account, &header(&account), &claims(&emulator));
    let mut more = claims(&emulator);
    more["scope"] = json!("https://www.googleapis.com/auth/cloud-platform");
    let altered = sign(&account, &header(&account), &more);
    let signature = good.rsplit_once('.').unwrap().1;
    let mixed = format!("{}.{signature}", altered.rsplit_once('.').unwrap().0);
    let answer = assert_jwt(&emulator, &mixed).await;
    refused(&answer, "invalid_grant", "Invalid JWT Signature.");
}

#[tokio::test]
async fn the_header_must_name_rs256_and_no_unknown_key() {
    let (emulator, account) = start().await;
    let kid = account.private_key_id();
    for header in [
        json!({"alg": "none", "typ": "JWT", "kid": kid}),
        json!({"alg": "HS256", "typ": "JWT", "kid": kid}),
        json!({"typ": "JWT", "kid": kid}),
        json!({"alg": "RS256", "typ": "JWT", "kid": "unknown"}),
        json!({"alg": "RS256", "typ": "secevent", "kid": kid}),
    ] {
        let jwt = sign(&account, &header, &claims(&emulator));
        let answer = assert_jwt(&emulator, &jwt).await;
        refused(&answer, "invalid_grant", "Invalid JWT Signature.");
    }
}

#[tokio::test]
async fn a_header_may_leave_open_which_of_the_accounts_keys_it_was() {
    let (emulator, account) = start().await;
    emulator.create_service_account_with_key(ROBOT, PROJECT, RsaKey::generate(2048));
    let jwt = sign(
        &account,
        &json!({"alg": "RS256", "typ": "JWT"}),
        &claims(&emulator),
    );
    assert_eq!(assert_jwt(&emulator, &jwt).await.status, 200);
}

#[tokio::test]
async fn what_is_no_jwt_is_refused() {
    let (emulator, _) = start().await;
    for text in ["x", "a.b", "a.b.c", "..", "e30.e30.?", "é.é.é"] {
        let answer = assert_jwt(&emulator, text).await;
        refused(&answer, "invalid_grant", "Invalid JWT");
    }
}

#[tokio::test]
async fn acting_for_a_user_needs_delegation() {
    let (emulator, account) = start().await;
    let subject = json!({"sub": "jane@example.com"});
    let answer = with_claims(&emulator, &account, subject.clone()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.oauth_error().0, "unauthorized_client");
    assert!(
        answer
            .oauth_error()
            .1
            .starts_with("Client is unauthorized to retrieve")
    );

    emulator.allow_delegation(ROBOT, "jane@example.com");
    assert_eq!(with_claims(&emulator, &account, subject).await.status, 200);
    let answer = with_claims(&emulator, &account, json!({"sub": "joe@example.com"})).await;
    assert_eq!(answer.status, 401);
    let answer = with_claims(&emulator, &account, json!({"sub": ROBOT})).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn only_a_form_without_repetitions_is_a_token_request() {
    let (emulator, account) = start().await;
    let jwt = sign(&account, &header(&account), &claims(&emulator));
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let url = format!("{}/token", emulator.url(OAUTH2));
    let json = json!({"grant_type": grant_type, "assertion": jwt});
    refused(
        &send(client().post(&url).json(&json)).await,
        "invalid_request",
        "x-www-form-urlencoded",
    );
    let repeated = [
        ("grant_type", grant_type),
        ("assertion", &jwt),
        ("assertion", &jwt),
    ];
    refused(
        &token(&emulator, &repeated).await,
        "invalid_request",
        "single value",
    );
    let in_url = client()
        .post(&url)
        .query(&repeated[..2])
        .form(&repeated[..2]);
    refused(&send(in_url).await, "invalid_request", "body");
    assert_eq!(get(url).await.status, 405);
}

#[tokio::test]
async fn other_grants_are_unsupported() {
    let (emulator, _) = start().await;
    refused(
        &token(&emulator, &[("grant_type", "password")]).await,
        "unsupported_grant_type",
        "password",
    );
    refused(&token(&emulator, &[]).await, "invalid_request", "");
}

#[tokio::test]
async fn the_older_name_of_the_token_endpoint_wants_its_own_audience() {
    let (emulator, account) = start().await;
    let url = format!("{}/oauth2/v4/token", emulator.url("www.googleapis.com"));
    let ask = async |audience: &str| {
        let mut claims = claims(&emulator);
        claims["aud"] = json!(audience);
        let jwt = sign(&account, &header(&account), &claims);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &jwt),
        ];
        send(client().post(&url).form(&form)).await.status
    };
    assert_eq!(ask("https://www.googleapis.com/oauth2/v4/token").await, 200);
    assert_eq!(ask(AUDIENCE).await, 400);
}

#[tokio::test]
async fn accounts_with_keys_of_their_own_do_not_share_them() {
    let emulator = Emulator::builder().share_keys(false).start().await.unwrap();
    let one = emulator.create_service_account("one@example.com", PROJECT);
    let two = emulator.create_service_account("two@example.com", PROJECT);
    assert_ne!(one.pkcs8_pem(), two.pkcs8_pem());
}

#[tokio::test]
async fn a_key_file_has_every_field_of_googles() {
    let (_emulator, account) = start().await;
    let file: Value = serde_json::from_str(&account.json_key()).unwrap();
    for field in [
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    ] {
        assert!(file[field].is_string(), "{field}");
    }
    assert_eq!(file["type"], "service_account");
    assert_eq!(file["token_uri"], AUDIENCE);
    assert!(!format!("{account:?}").contains("PRIVATE KEY"));
}
