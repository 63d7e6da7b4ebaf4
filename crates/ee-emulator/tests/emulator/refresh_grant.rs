//! The refresh token grant, tokeninfo and revocation.

use std::time::Duration;

use ee_emulator::{Emulator, User};
use serde_json::Value;

use crate::client::*;

async fn start() -> (Emulator, User) {
    let emulator = Emulator::start().await.unwrap();
    let user = emulator.create_user("jane@example.com");
    (emulator, user)
}

struct Login {
    id: String,
    secret: String,
    refresh_token: String,
}

impl Login {
    fn gcloud(user: &User) -> Self {
        let file: Value = serde_json::from_str(&user.authorized_user_json()).unwrap();
        let text = |name: &str| file[name].as_str().unwrap().to_owned();
        assert_eq!(file["type"], "authorized_user");
        Self {
            id: text("client_id"),
            secret: text("client_secret"),
            refresh_token: text("refresh_token"),
        }
    }

    fn earthengine(user: &User) -> Self {
        let file: Value = serde_json::from_str(&user.earthengine_file_json(None)).unwrap();
        assert_eq!(file["type"], Value::Null);
        assert_eq!(file["project"], Value::Null);
        Self {
            id: "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com"
                .to_owned(),
            secret: "RUP0RZ6e0pPhDzsqIJ7KlNd1".to_owned(),
            refresh_token: file["refresh_token"].as_str().unwrap().to_owned(),
        }
    }

    async fn refresh(&self, emulator: &Emulator, scope: Option<&str>) -> Response {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
            ("refresh_token", &self.refresh_token),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        token(emulator, &form).await
    }
}

#[tokio::test]
async fn both_logins_can_be_refreshed_and_return_scopes() {
    let (emulator, user) = start().await;
    for login in [Login::gcloud(&user), Login::earthengine(&user)] {
        let response = login.refresh(&emulator, None).await;
        let body = response.json();
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(body["expires_in"], 3600);
        assert!(body["scope"].as_str().unwrap().contains(SCOPE));
        assert_eq!(body["refresh_token"], Value::Null);
    }
}

#[tokio::test]
async fn refresh_requires_the_granted_client() {
    let (emulator, user) = start().await;
    let rejected = async |change: fn(&mut Login, &User)| {
        let mut login = Login::gcloud(&user);
        change(&mut login, &user);
        let response = login.refresh(&emulator, None).await;
        (response.status, response.oauth_error())
    };
    let pair = |error: &str, text: &str| (error.to_owned(), text.to_owned());
    assert_eq!(
        rejected(|login, _| login.id = "unknown".to_owned()).await,
        (
            401,
            pair("invalid_client", "The OAuth client was not found.")
        )
    );
    assert_eq!(
        rejected(|login, _| login.secret = "wrong".to_owned()).await,
        (401, pair("invalid_client", "Unauthorized"))
    );
    assert_eq!(
        rejected(|login, _| login.secret.clear()).await,
        (400, pair("invalid_request", "client_secret is missing."))
    );
    assert_eq!(
        rejected(|login, user| {
            login.refresh_token = user.earthengine_refresh_token().to_owned();
        })
        .await,
        (401, pair("unauthorized_client", "Unauthorized"))
    );
    assert_eq!(
        rejected(|login, _| login.refresh_token = "1//nothing".to_owned()).await,
        (400, pair("invalid_grant", "Bad Request"))
    );
}

#[tokio::test]
async fn scopes_can_be_narrowed_but_not_widened() {
    let (emulator, user) = start().await;
    let login = Login::gcloud(&user);
    let body = login.refresh(&emulator, Some(SCOPE)).await.json();
    assert_eq!(body["scope"], SCOPE);
    let drive = format!("{SCOPE} https://www.googleapis.com/auth/drive");
    let response = login.refresh(&emulator, Some(&drive)).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.oauth_error().0, "invalid_scope");
}

#[tokio::test]
async fn revocation_invalidates_both_logins_and_tokens() {
    let (emulator, user) = start().await;
    let bearer = Login::gcloud(&user).refresh(&emulator, None).await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    emulator.revoke(user.refresh_token());
    for login in [Login::gcloud(&user), Login::earthengine(&user)] {
        let response = login.refresh(&emulator, None).await;
        assert_eq!(response.status, 400);
        let expected = ("invalid_grant", "Token has been expired or revoked.");
        let (error, description) = response.oauth_error();
        assert_eq!((error.as_str(), description.as_str()), expected);
    }
    let response = config(&emulator, PROJECT, &bearer, Some(PROJECT)).await;
    assert_eq!(response.status, 401);
}

#[tokio::test]
async fn deleted_user_loses_logins_and_tokens() {
    let (emulator, user) = start().await;
    let body = Login::gcloud(&user).refresh(&emulator, None).await.json();
    emulator.delete_user(user.email());
    for login in [Login::gcloud(&user), Login::earthengine(&user)] {
        let response = login.refresh(&emulator, None).await;
        assert_eq!(response.oauth_error().0, "invalid_grant");
    }
    let bearer = body["access_token"].as_str().unwrap();
    let response = config(&emulator, PROJECT, bearer, Some(PROJECT)).await;
    assert_eq!(response.status, 401);
}

#[tokio::test]
async fn required_reauth_fails_refresh_but_keeps_tokens() {
    let (emulator, user) = start().await;
    let login = Login::gcloud(&user);
    let body = login.refresh(&emulator, None).await.json();
    emulator.require_reauth(user.refresh_token());
    let response = login.refresh(&emulator, None).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.oauth_error().0, "invalid_grant");
    assert_eq!(response.json()["error_subtype"], "invalid_rapt");
    let bearer = body["access_token"].as_str().unwrap();
    let response = config(&emulator, PROJECT, bearer, Some(PROJECT)).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn tokeninfo_describes_valid_tokens_only() {
    let (emulator, user) = start().await;
    let bearer = emulator.issue_token(
        user.email(),
        &["earthengine", "userinfo.email"],
        Duration::from_secs(100),
    );
    let url = format!("{}/tokeninfo", emulator.url(OAUTH2));
    let info = get(format!("{url}?access_token={bearer}")).await.json();
    assert_eq!(info["email"], "jane@example.com");
    assert!(info["scope"].as_str().unwrap().starts_with(SCOPE));
    let left: i64 = info["expires_in"].as_str().unwrap().parse().unwrap();
    assert!((98..=100).contains(&left));

    let form = [("access_token", bearer.as_str())];
    assert_eq!(send(client().post(&url).form(&form)).await.status, 200);
    emulator.clock().advance(Duration::from_secs(101));
    let response = send(client().post(&url).form(&form)).await;
    assert_eq!(response.status, 400);
    assert_eq!(
        response.oauth_error(),
        ("invalid_token".to_owned(), "Invalid Value".to_owned())
    );
    assert_eq!(get(url).await.status, 400);
}

#[tokio::test]
async fn revocation_request_succeeds_once() {
    let (emulator, user) = start().await;
    let url = format!("{}/revoke", emulator.url(OAUTH2));
    let form = [("token", user.refresh_token())];
    assert_eq!(send(client().post(&url).form(&form)).await.status, 200);
    let again = send(client().post(&url).form(&form)).await;
    assert_eq!(
        (again.status, again.oauth_error().0.as_str()),
        (400, "invalid_token")
    );
    let gcloud = Login::gcloud(&user).refresh(&emulator, None).await;
    assert_eq!(gcloud.status, 400);
    let earthengine = Login::earthengine(&user).refresh(&emulator, None).await;
    assert_eq!(earthengine.status, 200, "the other login is another grant");
}

#[tokio::test]
async fn login_files_can_contain_a_project() {
    let (_emulator, user) = start().await;
    let file: Value = serde_json::from_str(&user.earthengine_file_json(Some(PROJECT))).unwrap();
    assert_eq!(file["project"], PROJECT);
    let file = user.authorized_user_json_with_quota_project(PROJECT);
    let file: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(file["quota_project_id"], PROJECT);
    assert!(!format!("{user:?}").contains(user.refresh_token()));
}
