//! Token exchange and Amazon's instance metadata service.

use std::collections::BTreeMap;

use ee_emulator::{Emulator, OidcProvider};

use crate::client::*;

const POOL: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/i";
const PEOPLE: &str = "//iam.googleapis.com/locations/global/workforcePools/p/providers/i";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

type Form = BTreeMap<&'static str, String>;

async fn exchange(emulator: &Emulator, host: &str, form: &Form) -> Response {
    let url = format!("{}/v1/token", emulator.url(host));
    send(client().post(url).form(form)).await
}

fn form(provider: &OidcProvider) -> Form {
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    let requested = "urn:ietf:params:oauth:token-type:access_token";
    BTreeMap::from([
        ("grant_type", grant.to_owned()),
        ("requested_token_type", requested.to_owned()),
        ("audience", provider.audience().to_owned()),
        ("scope", SCOPE.to_owned()),
        ("subject_token_type", JWT.to_owned()),
        ("subject_token", provider.subject_token("me")),
    ])
}

#[tokio::test]
async fn subject_token_is_valid_for_its_provider_until_expiry() {
    let emulator = Emulator::start().await.unwrap();
    let provider = emulator.create_oidc_provider(POOL);
    let good = form(&provider);
    let response = exchange(&emulator, "sts.googleapis.com", &good).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.json()["token_type"], "Bearer");

    let other = emulator.create_oidc_provider(&format!("{POOL}-other"));
    let long = "x".repeat(20);
    for (field, value, error) in [
        (
            "grant_type",
            "refresh_token".to_owned(),
            "unsupported_grant_type",
        ),
        ("grant_type", String::new(), "invalid_request"),
        ("requested_token_type", JWT.to_owned(), "invalid_request"),
        ("audience", format!("{POOL}-gone"), "invalid_target"),
        ("scope", "wizardry".to_owned(), "invalid_scope"),
        ("scope", String::new(), "invalid_request"),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:saml2".to_owned(),
            "invalid_request",
        ),
        ("subject_token", other.subject_token("me"), "invalid_grant"),
        (
            "subject_token",
            provider.subject_token_expiring_in("me", -1),
            "invalid_grant",
        ),
        ("subject_token", long, "invalid_grant"),
        ("options", "{}".to_owned(), "invalid_request"),
        (
            "options",
            "%7B%22userProject%22%3A%22p%22%7D".to_owned(),
            "invalid_request",
        ),
        ("unheard_of", "x".to_owned(), "invalid_request"),
    ] {
        let mut bad = good.clone();
        bad.insert(field, value);
        let response = exchange(&emulator, "sts.googleapis.com", &bad).await;
        assert_eq!(response.oauth_error().0, error, "{field}: {response:?}");
    }
    let response = exchange(&emulator, "sts.mtls.googleapis.com", &good).await;
    assert_eq!(response.status, 400);
}

#[tokio::test]
async fn deleted_provider_rejects_token_exchange() {
    let emulator = Emulator::start().await.unwrap();
    let form = form(&emulator.create_oidc_provider(POOL));
    emulator.delete_provider(POOL);
    let response = exchange(&emulator, "sts.googleapis.com", &form).await;
    assert_eq!(response.oauth_error().0, "invalid_target");
}

#[tokio::test]
async fn workforce_pool_requires_project_or_client() {
    let emulator = Emulator::builder()
        .oauth_client("1-x", "secret")
        .start()
        .await
        .unwrap();
    let mut form = form(&emulator.create_oidc_provider(PEOPLE));
    let response = exchange(&emulator, "sts.googleapis.com", &form).await;
    assert_eq!(response.status, 400);
    let url = format!("{}/v1/token", emulator.url("sts.googleapis.com"));
    for (secret, status) in [("secret", 200), ("wrong", 401)] {
        let request = client()
            .post(&url)
            .basic_auth("1-x", Some(secret))
            .form(&form);
        assert_eq!(send(request).await.status, status);
    }
    form.insert(
        "options",
        "%7B%22userProject%22%3A%22ee-demo-project%22%7D".to_owned(),
    );
    let response = exchange(&emulator, "sts.googleapis.com", &form).await;
    assert_eq!(response.status, 200, "{response:?}");
}

#[tokio::test]
async fn aws_metadata_requires_session_token() {
    let emulator = Emulator::start().await.unwrap();
    let url = format!("{}/latest", emulator.url("169.254.169.254"));
    assert!(
        client().get(&url).send().await.is_err(),
        "no machine of theirs"
    );
    let key = emulator.run_on_ec2("a-role", "us-east-2b");
    let role = format!("{url}/meta-data/iam/security-credentials/a-role");
    assert_eq!(get(role.clone()).await.status, 401);
    let session = format!("{url}/api/token");
    assert_eq!(send(client().put(&session)).await.status, 400);
    let begin = client()
        .put(&session)
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = send(begin).await.text;
    let response = send(client().get(role).header("X-aws-ec2-metadata-token", token)).await;
    assert_eq!(response.json()["AccessKeyId"], key.id());
}
