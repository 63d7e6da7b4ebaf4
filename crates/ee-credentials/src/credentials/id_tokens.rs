//! ID tokens of credentials.

use ee_token::{Remedy, SecretString};

use crate::{CredentialKind, Credentials, Error, ErrorKind};

impl Credentials {
    /// Fetches an ID token, which identifies the service account to the service with this
    /// `audience`. Each call sends a request. Earth Engine does not use ID tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a credential that is not a service account: a key, an
    /// impersonated account, a federated identity that impersonates one, or the metadata server.
    /// [`ErrorKind::InvalidOptions`] for an empty audience, and [`ErrorKind::Token`] if there is no
    /// token.
    pub async fn fetch_id_token(&self, audience: &str) -> Result<SecretString, Error> {
        if audience.trim().is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidOptions,
                "the audience of the ID token is empty",
            )
            .with_remedy(Remedy::new("Use the URL of the service.")));
        }
        match &self.credential().id_tokens {
            Some(source) => Ok(source.fetch_id_token(audience).await?),
            None => Err(unsupported(self.kind())),
        }
    }
}

fn unsupported(kind: CredentialKind) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("a credential of the kind \"{kind}\" has no ID tokens for other services"),
    )
    .with_remedy(Remedy::new(
        "Use a service account: its key, impersonation (--impersonate), or the metadata server.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_token::AccessToken;

    #[tokio::test]
    async fn only_service_accounts_have_id_tokens() {
        let token = AccessToken::new("ya29.canary").unwrap();
        let credentials = Credentials::from_token(token);
        let error = credentials.fetch_id_token("https://a.example").await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        let error = credentials.fetch_id_token(" ").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    }
}
