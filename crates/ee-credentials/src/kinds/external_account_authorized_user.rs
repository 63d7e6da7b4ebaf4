//! A user login through workforce identity federation, as gcloud stores it: a file of the type
//! `external_account_authorized_user`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ee_token::internal::{UrlField, refusal_cause};
use ee_token::{
    AccessToken, ClientBasicAuth, ErrorKind as Token, Grant, HttpClient, Remedy, SecretString,
    TokenEndpoint, TokenFuture, TokenSource, introspect,
};
use serde::Deserialize;
use url::Url;

use crate::input::allowed_hosts;
use crate::input::json::{JsonObject, ProjectId};
use crate::input::location::Location;
use crate::input::universe::check_universe;
use crate::kinds::credential::Credential;
use crate::kinds::identity::{Identity, LoginOwner, OwnerQuery, Subject, UserLogin};
use crate::{CredentialKind, CredentialOptions, Error};

const LOGIN: &str = "gcloud auth application-default login --login-config=LOGIN_CONFIG_FILE";

#[derive(Deserialize)]
struct ExternalAccountAuthorizedUserFile {
    audience: Option<String>,
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    token_url: String,
    quota_project_id: Option<ProjectId>,
}

pub(crate) struct WorkforceUser {
    location: Location,
    http: HttpClient,
    endpoint: TokenEndpoint,
    introspection_url: Url,
    client_id: String,
    client_secret: SecretString,
    /// The newest one: a response may contain a replacement.
    refresh_token: Mutex<SecretString>,
}

pub(crate) fn load(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    check_universe(object)?;
    options.reject_subject(CredentialKind::ExternalAccountAuthorizedUser)?;
    let location = &object.location;
    let file: ExternalAccountAuthorizedUserFile = object.read()?;
    let field = ("token_url", UrlField::TokenUrl);
    let url = allowed_hosts::check(&file.token_url, field, location, options)?;
    // Relative to the token endpoint, so that no other host receives the tokens.
    let introspection_url = url
        .join("introspect")
        .map_err(|_| location.invalid_field("token_url", "is not a URL with a path"))?;
    let source = Arc::new(WorkforceUser {
        client_id: file.client_id,
        client_secret: file.client_secret,
        refresh_token: Mutex::new(file.refresh_token),
        endpoint: TokenEndpoint::new(options.http.clone(), url),
        http: options.http.clone(),
        introspection_url,
        location: location.clone(),
    });
    let kind = CredentialKind::ExternalAccountAuthorizedUser;
    Ok(Credential::new(kind, source.clone())
        .login(Some(UserLogin::new(source)))
        // The file names the pool's provider, and not the user.
        .identity(Identity::member_of(file.audience))
        .quota_project(file.quota_project_id.map(ProjectId::into_string)))
}

impl WorkforceUser {
    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let refresh_token = self.newest().clone();
        let grant = Grant::RefreshToken {
            client_id: None,
            client_secret: None,
            refresh_token: &refresh_token,
            rapt: None,
            scopes: None,
        };
        let response = self
            .endpoint
            .exchange(&grant, Some(&self.client()))
            .await
            .map_err(|error| self.explain(error))?;
        if let Some(new) = response.refresh_token {
            *self.newest() = new;
        }
        Ok(response.access_token)
    }

    fn client(&self) -> ClientBasicAuth<'_> {
        ClientBasicAuth {
            client_id: &self.client_id,
            client_secret: &self.client_secret,
        }
    }

    fn newest(&self) -> MutexGuard<'_, SecretString> {
        let newest = self.refresh_token.lock();
        newest.unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        if !matches!(
            error.kind(),
            Token::Rejected | Token::ReauthenticationRequired
        ) {
            return error;
        }
        let message = format!("{error} (the login in {})", self.location);
        let said = error.server_message().unwrap_or_default();
        let is_unknown = !said.starts_with("invalid_grant") && !said.contains("_client");
        if error.kind() == Token::Rejected && (is_unknown || refusal_cause(&error).is_some()) {
            return error.context(message);
        }
        error.context(message).with_remedy(
            Remedy::new(
                "The login has expired (the workforce pool sets the session length) or was revoked. Log in again.",
            )
            .command(LOGIN)
            .url("https://cloud.google.com/iam/docs/workforce-obtaining-short-lived-credentials"),
        )
    }
}

impl LoginOwner for WorkforceUser {
    fn query<'a>(&'a self, token: &'a AccessToken, _: &'a HttpClient) -> OwnerQuery<'a> {
        Box::pin(async {
            let (url, client) = (&self.introspection_url, self.client());
            let subject = introspect(&self.http, url, &client, token).await?;
            Ok(Subject {
                id: subject.map(String::into_boxed_str),
                email: None,
            })
        })
    }
}

impl TokenSource for WorkforceUser {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }
}

impl fmt::Debug for WorkforceUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkforceUser")
            .field("place", &self.location)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ee_emulator::Emulator;
    use serde_json::{Value, json};

    use super::*;
    use crate::options::options;
    use crate::{Credentials, ErrorKind};

    #[tokio::test]
    async fn client_uses_basic_authentication() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_workforce_user("jane");
        let credentials = Credentials::from_json(&jane.json(), &options(&emulator)).unwrap();
        assert_eq!(
            credentials.kind(),
            CredentialKind::ExternalAccountAuthorizedUser
        );
        credentials.token().await.unwrap();
        let requests = emulator.requests();
        let [request] = requests.as_slice() else {
            panic!("{requests:?}");
        };
        assert_eq!(request.host, "sts.googleapis.com");
        assert_eq!(request.path, "/v1/oauthtoken");
        assert!(
            request
                .header("authorization")
                .unwrap()
                .starts_with("Basic ")
        );
        let form = request.form();
        let fields: Vec<_> = form.keys().map(String::as_str).collect();
        assert_eq!(fields, ["grant_type", "refresh_token"]);
        assert_eq!(form["refresh_token"], jane.refresh_token());
        let shown = format!("{credentials:?} {:?}", credentials.token_cache());
        assert!(!shown.contains(jane.refresh_token()));
    }

    #[tokio::test]
    async fn rotated_refresh_token_is_used() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_workforce_user("jane");
        emulator.rotate_refresh_tokens(true);
        let credentials = Credentials::from_json(&jane.json(), &options(&emulator)).unwrap();
        let mut sent = Vec::new();
        for _ in 0..3 {
            let token = credentials.token().await.unwrap();
            credentials.token_cache().unwrap().invalidate(&token);
        }
        for request in emulator.requests() {
            let token = request.form()["refresh_token"].clone();
            assert!(
                !sent.contains(&token),
                "an old refresh token was used again"
            );
            sent.push(token);
        }
        assert_eq!(sent.len(), 3);
    }

    #[tokio::test]
    async fn rejected_workforce_login_has_a_login_command() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_workforce_user("jane");
        let credentials = Credentials::from_json(&jane.json(), &options(&emulator)).unwrap();
        emulator.revoke(jane.refresh_token());
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        let command = error.remedy().command.clone().unwrap();
        assert!(command.contains("--login-config"), "{command}");
        assert!(!format!("{error:?}").contains(jane.refresh_token()));
    }

    #[test]
    fn invalid_workforce_login_fields_are_named_without_a_request() {
        let valid = json!({
            "type": "external_account_authorized_user", "audience": "//iam.googleapis.com/x",
            "client_id": "c", "client_secret": "s-canary", "refresh_token": "1//canary",
            "token_url": "https://sts.googleapis.com/v1/oauthtoken",
        });
        let error_kind_of = |field: &str, value: Value| {
            let options = CredentialOptions::default();
            let mut file = valid.clone();
            file[field] = value;
            let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            assert!(!error.remedy().text.is_empty(), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert_eq!(options.http.request_count(), 0);
            error.kind()
        };
        for field in ["client_id", "client_secret", "refresh_token", "token_url"] {
            for bad in [
                json!(null),
                json!(" "),
                json!(["canary"]),
                json!(5),
                json!({}),
            ] {
                assert_eq!(error_kind_of(field, bad), ErrorKind::InvalidFile);
            }
        }
        for field in ["audience", "quota_project_id", "universe_domain"] {
            assert_eq!(
                error_kind_of(field, json!({"canary": 1})),
                ErrorKind::InvalidFile
            );
        }
        for (url, kind) in [
            ("no url", ErrorKind::InvalidFile),
            ("https://sts.evil.example/token", ErrorKind::DisallowedHost),
            (
                "http://sts.googleapis.com/v1/oauthtoken",
                ErrorKind::DisallowedHost,
            ),
            (
                "https://u:canary@sts.googleapis.com/",
                ErrorKind::DisallowedHost,
            ),
        ] {
            assert_eq!(error_kind_of("token_url", json!(url)), kind);
        }
        assert_eq!(
            error_kind_of("universe_domain", json!("example.net")),
            ErrorKind::UnsupportedUniverse
        );
    }
}
