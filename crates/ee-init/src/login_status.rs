//! The status of a login: its principal and scopes.

use ee_credentials::{CredentialKind, Credentials, FoundCredentials, Warning};
use ee_token::{AccessToken, Scopes};

use crate::project::resolve::{ProjectInputs, SDK_PROJECT_IGNORED, resolve};
use crate::{EarthEngineBuilder, Error, ErrorKind, Project, scope_check};

/// The status of a login, returned by [`EarthEngineBuilder::login_status`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginStatus {
    /// The credentials and the result of each search step.
    pub found: FoundCredentials,
    /// A token. `None` for an API key.
    pub token: Option<AccessToken>,
    /// The granted scopes. Empty if unknown.
    pub scopes: Scopes,
    /// Whether `scopes` were only requested, because no server tells which were granted.
    pub scopes_are_requested: bool,
    /// The principal, usually an email address, if known.
    pub principal: Option<String>,
    /// Non-fatal problems with the credentials and the choice of the project.
    pub warnings: Vec<Warning>,
}

impl EarthEngineBuilder {
    /// Finds the credentials, fetches a token and its scopes. No project is needed.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), ee_init::Error> {
    /// let status = ee_init::EarthEngine::builder().login_status().await?;
    /// println!("{:?} {}", status.principal, status.scopes);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns the error of the credentials or the network.
    pub async fn login_status(self) -> Result<LoginStatus, Error> {
        let environment = self.search_environment();
        let (_, found) = self.find(&environment).await?;
        let credentials = &found.credentials;
        let mut scopes = TokenScopes::Granted(Scopes::new::<&str>([]));
        let mut token = None;
        if credentials.token_cache().is_some() {
            let current = credentials.token().await?;
            if let Ok(Some(known)) = token_scopes(credentials, &current).await {
                scopes = known;
            }
            token = Some(current);
        }
        let scopes_are_requested = matches!(scopes, TokenScopes::Requested(_));
        let scopes = scopes.into_inner();
        let mut principal = credentials.principal().map(str::to_owned);
        if principal.is_none()
            && (reveals_email(&scopes) || credentials.kind() == CredentialKind::MetadataServer)
        {
            principal = credentials.fetch_principal().await.ok().flatten();
        }
        let chosen = resolve(&ProjectInputs {
            given: self.given_project(),
            environment: &environment,
            credentials: Some(credentials),
        })
        .await;
        let mut warnings = credentials.warnings().to_vec();
        if !scopes_are_requested {
            warnings.extend(scope_check::warnings(credentials.kind(), &scopes));
        }
        warnings.extend(project_warnings(chosen));
        Ok(LoginStatus {
            found,
            token,
            scopes,
            scopes_are_requested,
            principal,
            warnings,
        })
    }
}

/// Returns the warnings about the project. A login needs none, so only an unusable one is reported.
fn project_warnings(chosen: Result<Project, Error>) -> Vec<Warning> {
    match chosen {
        Ok(project) => project.warnings,
        Err(error) if error.kind() == ErrorKind::SdkProject => {
            let remedy = error.remedy().clone();
            vec![Warning::new(SDK_PROJECT_IGNORED, error.to_string(), remedy)]
        }
        Err(_) => Vec::new(),
    }
}

fn reveals_email(scopes: &Scopes) -> bool {
    ["email", "userinfo.email"]
        .iter()
        .any(|scope| scopes.contains(scope))
}

/// The scopes of a token.
pub(crate) enum TokenScopes {
    Granted(Scopes),
    /// No server tells which of them were granted.
    Requested(Scopes),
}

impl TokenScopes {
    pub(crate) fn into_inner(self) -> Scopes {
        match self {
            Self::Granted(scopes) | Self::Requested(scopes) => scopes,
        }
    }
}

/// Returns the scopes of a token: those in the token response, those that the server reports, or
/// else those requested. `None` if unknown. A token that may be for another host is sent nowhere.
pub(crate) async fn token_scopes(
    credentials: &Credentials,
    token: &AccessToken,
) -> Result<Option<TokenScopes>, Error> {
    if let Some(scopes) = token.scopes() {
        return Ok(Some(TokenScopes::Granted(scopes.clone())));
    }
    // A metadata server reports the scopes of the machine, and those of its tokens may differ.
    if credentials.kind() == CredentialKind::MetadataServer
        && let Ok(Some(info)) = credentials.fetch_token_info().await
    {
        return Ok(Some(TokenScopes::Granted(info.scopes)));
    }
    match (
        credentials.fetch_granted_scopes().await,
        credentials.scopes(),
    ) {
        (Ok(Some(scopes)), _) => Ok(Some(TokenScopes::Granted(scopes))),
        (_, Some(requested)) => Ok(Some(TokenScopes::Requested(requested.clone()))),
        (Ok(None), None) => Ok(None),
        (Err(error), None) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use ee_credentials::Environment;
    use ee_emulator::{Emulator, Fault};
    use ee_token::Endpoints;
    use serde_json::json;

    use super::*;
    use crate::EarthEngine;

    fn builder(emulator: &Emulator) -> EarthEngineBuilder {
        EarthEngine::builder()
            .isolated()
            .endpoints(Endpoints::emulator(emulator.address()).unwrap())
    }

    #[tokio::test]
    async fn principal_is_fetched_only_if_the_scopes_reveal_it() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let gcloud = builder(&emulator).credentials_json(jane.authorized_user_json());
        let status = gcloud.login_status().await.unwrap();
        assert_eq!(status.principal.as_deref(), Some("jane@example.com"));
        assert!(status.scopes.contains("earthengine"));
        assert_eq!(emulator.requests().len(), 2);

        emulator.clear_requests();
        let file = builder(&emulator).credentials_json(jane.earthengine_file_json(None));
        let status = file.login_status().await.unwrap();
        assert_eq!(status.principal, None);
        assert!(status.scopes.contains("drive") && status.token.is_some());
        assert_eq!(emulator.requests().len(), 1);
    }

    #[tokio::test]
    async fn requested_scopes_are_reported_if_google_reports_none() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let requested = Scopes::new(["earthengine"]);
        // The token response has no scopes, and tokeninfo does not know the token or is unavailable.
        let token = json!({"access_token": "ya29.x", "token_type": "Bearer", "expires_in": 3600});
        for is_unavailable in [false, true] {
            let bare = Fault::status(200).json(&token).on_path("/token");
            emulator.fault("oauth2.googleapis.com", bare);
            if is_unavailable {
                let down = Fault::status(503).on_path("/tokeninfo").times(usize::MAX);
                emulator.fault("oauth2.googleapis.com", down);
            }
            emulator.clear_requests();
            let status = builder(&emulator)
                .credentials_json(jane.authorized_user_json())
                .scopes(requested.clone())
                .login_status()
                .await
                .unwrap();
            assert_eq!(status.scopes, requested);
            assert!(status.scopes_are_requested);
            let requests = emulator.requests_to("oauth2.googleapis.com");
            assert!(requests.iter().any(|request| request.path == "/tokeninfo"));
        }
    }

    #[tokio::test]
    async fn token_for_an_unknown_host_is_not_sent() {
        let emulator = Emulator::start().await.unwrap();
        let credentials = Credentials::from_token(AccessToken::new("another-hosts").unwrap());
        let status = builder(&emulator)
            .credentials(credentials.clone())
            .login_status()
            .await
            .unwrap();
        assert!(status.token.is_some() && status.scopes.is_empty());
        assert_eq!(status.principal, None);
        let with_scopes = AccessToken::new("another-hosts")
            .unwrap()
            .with_scopes(Scopes::new(["email"]));
        let status = builder(&emulator)
            .credentials(Credentials::from_token(with_scopes))
            .login_status()
            .await
            .unwrap();
        assert!(status.scopes.contains("email"));
        assert_eq!(status.principal, None);
        builder(&emulator).credentials(credentials).diagnose().await;
        assert!(emulator.requests_to("oauth2.googleapis.com").is_empty());
    }

    #[tokio::test]
    async fn missing_and_broad_scopes_are_warnings_for_every_login() {
        let emulator = Emulator::start().await.unwrap();
        for (scopes, expected) in [
            (&["earthengine", "cloud-platform"][..], &[][..]),
            (&["cloud-platform", "devstorage.full_control"], &[]),
            (&["earthengine", "drive"], &["broad_scopes"]),
            (&["cloud-platform", "gmail.send"], &["broad_scopes"]),
            (&["earthengine.readonly"], &["insufficient_scopes"]),
            (&["gmail.send"], &["insufficient_scopes", "broad_scopes"]),
        ] {
            let jane = emulator.create_user_with_scopes("jane@example.com", scopes, scopes);
            let files = [
                jane.authorized_user_json(),
                jane.earthengine_file_json(None),
            ];
            for file in files {
                let login = builder(&emulator).credentials_json(file);
                let status = login.login_status().await.unwrap();
                let codes: Vec<_> = status.warnings.iter().map(|w| w.code).collect();
                assert_eq!(codes, expected, "{scopes:?} {}", status.scopes);
                for warning in &status.warnings {
                    let remedy = warning.remedy.to_string();
                    assert!(
                        remedy.contains("auth login --scopes earthengine"),
                        "{remedy}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn quota_project_of_a_google_sdk_is_a_warning() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let text = jane.authorized_user_json_with_quota_project("764086051850");
        for environment in [
            Environment::empty(),
            Environment::empty().with_var("GOOGLE_CLOUD_PROJECT", "my-project"),
        ] {
            let status = builder(&emulator)
                .environment(environment)
                .credentials_json(text.clone())
                .login_status()
                .await
                .unwrap();
            let codes: Vec<_> = status.warnings.iter().map(|w| w.code).collect();
            assert_eq!(codes, ["sdk_project_ignored"]);
            assert!(status.warnings[0].message.contains("764086051850"));
        }
    }

    #[tokio::test]
    async fn api_key_has_neither_token_nor_scopes() {
        let emulator = Emulator::start().await.unwrap();
        let status = builder(&emulator)
            .api_key("AIza-x")
            .login_status()
            .await
            .unwrap();
        assert!(status.token.is_none() && status.scopes.is_empty());
        assert!(emulator.requests().is_empty());
    }
}
