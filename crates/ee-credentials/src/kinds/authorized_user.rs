//! A user login as gcloud stores it: a file of the type `authorized_user`.

use std::sync::{Arc, OnceLock};

use ee_token::SecretString;
use serde::Deserialize;

use crate::input::json::{JsonObject, ProjectId};
use crate::input::universe::check_universe;
use crate::kinds::credential::Credential;
use crate::kinds::identity::{Identity, UserLogin};
use crate::kinds::oauth_clients::shared_client_id;
use crate::kinds::user_login::{Login, RefreshToken, check_refresh_token};
use crate::{CredentialKind, CredentialOptions, Error};

#[derive(Deserialize)]
pub(crate) struct AuthorizedUserFile {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    pub(crate) refresh_token: SecretString,
    rapt_token: Option<SecretString>,
    quota_project_id: Option<ProjectId>,
    /// The user's email address. gcloud leaves it empty.
    account: Option<String>,
}

pub(crate) fn load(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    check_universe(object)?;
    options.reject_subject(CredentialKind::AuthorizedUser)?;
    let file: AuthorizedUserFile = object.read()?;
    check_refresh_token(&file.refresh_token, &object.location)?;
    let client_id = shared_client_id(&file.client_id);
    let account: Option<Arc<str>> = file.account.map(Arc::from);
    let source = Arc::new(RefreshToken {
        expires_at: None,
        owner: OnceLock::new(),
        client_secret: file.client_secret,
        refresh_token: file.refresh_token,
        rapt: file.rapt_token,
        scopes: options.scopes.clone(),
        endpoint: Login::endpoint(options),
        login: Login::of_client(&client_id),
        location: object.location.clone(),
        principal: account.clone(),
        client_id: client_id.clone(),
    });
    Ok(
        Credential::new(CredentialKind::AuthorizedUser, source.clone())
            .login(Some(UserLogin::new(source)))
            .identity(Identity::login(account.clone()))
            .principal(account)
            .quota_project(file.quota_project_id.map(ProjectId::into_string))
            .oauth_client_id(client_id)
            .scopes(options.scopes.clone()),
    )
}

#[cfg(test)]
mod tests {
    use ee_emulator::{Emulator, Fault};
    use ee_token::{ErrorKind as Token, Scopes};
    use serde_json::json;

    use super::*;
    use crate::options::options;
    use crate::{Credentials, ErrorKind};

    #[tokio::test]
    async fn authorized_user_request_has_these_fields() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let text = jane.authorized_user_json_with_quota_project("pays-for-it");
        let credentials = Credentials::from_json(&text, &options(&emulator)).unwrap();
        assert_eq!(credentials.kind(), CredentialKind::AuthorizedUser);
        assert_eq!(credentials.quota_project(), Some("pays-for-it"));
        assert_eq!(
            credentials.oauth_client_project_number(),
            Some("764086051850")
        );
        assert_eq!(credentials.principal(), None);
        assert_eq!(credentials.scopes(), None);
        let token = credentials.token().await.unwrap();
        assert!(token.scopes().unwrap().contains("earthengine"));

        let form = emulator.requests()[0].form();
        let names: Vec<_> = form.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["client_id", "client_secret", "grant_type", "refresh_token"]
        );
        assert_eq!(form["grant_type"], "refresh_token");
        assert_eq!(form["refresh_token"], jane.refresh_token());
        assert_eq!(emulator.requests()[0].path, "/token");
        assert_eq!(emulator.requests()[0].host, "oauth2.googleapis.com");
    }

    #[tokio::test]
    async fn scopes_and_rapt_are_sent_and_token_uri_is_ignored() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let mut file: serde_json::Value =
            serde_json::from_str(&jane.authorized_user_json()).unwrap();
        file["rapt_token"] = json!("rapt-1");
        file["token_uri"] = json!("https://evil.example/token");
        file["account"] = json!("jane@example.com");
        let options = options(&emulator).scopes(Scopes::new(["earthengine"]));
        let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
        assert_eq!(credentials.principal(), Some("jane@example.com"));
        credentials.token().await.unwrap();
        let request = &emulator.requests()[0];
        assert_eq!(request.host, "oauth2.googleapis.com");
        assert_eq!(request.form()["rapt"], "rapt-1");
        assert_eq!(
            request.form()["scope"],
            "https://www.googleapis.com/auth/earthengine"
        );
    }

    #[tokio::test]
    async fn rejected_gcloud_login_has_a_login_command() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let credentials =
            Credentials::from_json(&jane.authorized_user_json(), &options(&emulator)).unwrap();
        emulator.require_reauth(jane.refresh_token());
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::ReauthenticationRequired);
        emulator.revoke(jane.refresh_token());
        let credentials =
            Credentials::from_json(&jane.authorized_user_json(), &options(&emulator)).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        assert!(
            error
                .to_string()
                .contains("Token has been expired or revoked."),
            "{error}"
        );
        let command = error.remedy().command.clone().unwrap();
        assert!(command.starts_with("gcloud auth application-default login --scopes="));
        assert!(!format!("{error:?} {credentials:?}").contains(jane.refresh_token()));
    }

    #[tokio::test]
    async fn login_of_another_program_has_no_gcloud_command() {
        let emulator = Emulator::start().await.unwrap();
        let text = json!({"type": "authorized_user", "client_id": "1-x", "client_secret": "s", "refresh_token": "1//canary"});
        let credentials = Credentials::from_json(&text.to_string(), &options(&emulator)).unwrap();
        emulator.fault(
            "oauth2.googleapis.com",
            Fault::status(400)
                .json(&json!({"error": "invalid_grant", "error_description": "no 1//canary"})),
        );
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.remedy().command, None);
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn missing_empty_or_mistyped_login_field_is_named() {
        let valid = json!({
            "type": "authorized_user", "client_id": "c", "client_secret": "s-canary", "refresh_token": "1//canary",
        });
        let options = CredentialOptions::default();
        for field in ["client_id", "client_secret", "refresh_token"] {
            for bad in [json!(null), json!(""), json!(["canary"]), json!(5)] {
                let mut file = valid.clone();
                file[field] = bad;
                let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidFile);
                assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
                assert!(!format!("{error:?}").contains("canary"));
            }
        }
        for field in [
            "rapt_token",
            "quota_project_id",
            "account",
            "universe_domain",
        ] {
            let mut file = valid.clone();
            file[field] = json!({"canary": 1});
            let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        let error =
            Credentials::from_json(&valid.to_string(), &options.subject("x@y")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    }
}
