//! A person's login: a refresh token, and the OAuth client that it was issued to.

use std::fmt;

use ee_token::{
    ErrorKind as TokenErrorKind, Grant, HttpClient, Remedy, Scopes, SecretString, TokenEndpoint,
    TokenFuture, TokenSource,
};

use crate::Error;
use crate::document::Document;

/// How to log in again with gcloud, with the scopes that Earth Engine needs.
pub(crate) const GCLOUD_LOGIN: &str = "gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform";

/// A login, as gcloud's `authorized_user` files and Earth Engine's own file hold it.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    pub(crate) refresh_token: SecretString,
    pub(crate) rapt: Option<SecretString>,
    pub(crate) account: Option<String>,
    /// How to log in again.
    pub(crate) remedy: Remedy,
}

impl Login {
    /// Reads an `authorized_user` file. Its token URL is always Google's, whatever it says.
    pub(crate) fn read(document: &Document) -> Result<Self, Error> {
        let optional = |field: &str| Ok::<_, Error>(document.optional(field)?.map(str::to_owned));
        Ok(Self {
            refresh_token: document.text("refresh_token")?.into(),
            client_id: document.text("client_id")?.to_owned(),
            client_secret: document.text("client_secret")?.into(),
            rapt: optional("rapt_token")?.map(SecretString::from),
            account: optional("account")?,
            remedy: Remedy::new("Log in again.").command(GCLOUD_LOGIN),
        })
    }

    /// The project that owns the OAuth client: the number that its id begins with.
    pub(crate) fn client_project(&self) -> Option<String> {
        let (number, _) = self.client_id.split_once('-')?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| number.to_owned())
    }
}

/// A login that mints tokens, one request each.
pub(crate) struct AuthorizedUser {
    login: Login,
    /// Sent only where the caller asked for fewer scopes than were granted: a scope that was
    /// not granted fails the whole refresh.
    scopes: Option<Scopes>,
    endpoint: TokenEndpoint,
}

impl AuthorizedUser {
    pub(crate) fn new(login: Login, scopes: Option<Scopes>, http: HttpClient) -> Self {
        Self {
            login,
            scopes,
            endpoint: TokenEndpoint::google(http),
        }
    }
}

impl TokenSource for AuthorizedUser {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let grant = Grant::RefreshToken {
                client_id: Some(&self.login.client_id),
                client_secret: Some(&self.login.client_secret),
                refresh_token: &self.login.refresh_token,
                rapt: self.login.rapt.as_ref(),
                scopes: self.scopes.as_ref(),
            };
            match self.endpoint.exchange(&grant, None).await {
                Ok(response) => Ok(response.access_token),
                Err(error) => Err(match error.kind() {
                    TokenErrorKind::Rejected | TokenErrorKind::ReauthenticationRequired => {
                        error.with_remedy(self.login.remedy.clone())
                    }
                    _ => error,
                }),
            }
        })
    }
}

impl fmt::Debug for AuthorizedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedUser")
            .field("login", &self.login)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::Emulator;
    use ee_token::Endpoints;

    async fn minting(emulator: &Emulator, text: &str, scopes: Option<Scopes>) -> AuthorizedUser {
        let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap()).unwrap();
        let login = Login::read(&Document::parse(text, "f").unwrap()).unwrap();
        AuthorizedUser::new(login, scopes, http)
    }

    #[tokio::test]
    async fn a_refresh_sends_no_scope_unless_narrowing_was_asked() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let text = jane.authorized_user_json();
        minting(&emulator, &text, None).await.mint().await.unwrap();
        let narrow = Scopes::new(["earthengine"]);
        minting(&emulator, &text, Some(narrow.clone()))
            .await
            .mint()
            .await
            .unwrap();
        let forms: Vec<_> = emulator.requests().iter().map(|r| r.form()).collect();
        let names: Vec<_> = forms[0].keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["client_id", "client_secret", "grant_type", "refresh_token"]
        );
        assert_eq!(forms[1]["scope"], narrow.to_string());
    }

    #[tokio::test]
    async fn a_revoked_login_says_how_to_log_in_again() {
        let emulator = Emulator::start().await.unwrap();
        let jane = emulator.create_user("jane@example.com");
        let source = minting(&emulator, &jane.authorized_user_json(), None).await;
        emulator.revoke(jane.refresh_token());
        let error = source.mint().await.unwrap_err();
        assert_eq!(error.kind(), TokenErrorKind::Rejected);
        assert_eq!(
            error.remedy().unwrap().command.as_deref(),
            Some(GCLOUD_LOGIN)
        );
        assert!(!format!("{error:?} {source:?}").contains(jane.refresh_token()));
    }

    #[test]
    fn each_required_field_is_named_when_it_is_missing() {
        let whole = r#"{"refresh_token": "r", "client_id": "1-c", "client_secret": "s"}"#;
        let login = Login::read(&Document::parse(whole, "f").unwrap()).unwrap();
        assert_eq!(login.client_project().as_deref(), Some("1"));
        for field in ["refresh_token", "client_id", "client_secret"] {
            let text = whole.replace(field, "other");
            let error = Login::read(&Document::parse(&text, "the-file").unwrap()).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(field) && message.contains("the-file"),
                "{message}"
            );
        }
    }
}
