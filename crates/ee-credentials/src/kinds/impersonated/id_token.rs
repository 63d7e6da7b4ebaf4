//! ID tokens of the account.

use ee_token::{AccessToken, ErrorKind as Token, SecretString};

use super::ImpersonatedServiceAccount;
use crate::iam::generate_id_token;
use crate::kinds::id_token::{IdTokenFuture, IdTokenSource};

impl ImpersonatedServiceAccount {
    async fn id_token(&self, audience: &str) -> Result<SecretString, ee_token::Error> {
        let source = self.source.token().await?;
        let result = match self.ask_for_id_token(&source, audience).await {
            // Rejected by the server. Another token may not be.
            Err(error) if error.kind() == Token::Expired => {
                match self.source.renew(&source).await? {
                    Some(source) => self.ask_for_id_token(&source, audience).await,
                    None => Err(error),
                }
            }
            result => result,
        };
        result.map_err(|error| self.explain(error))
    }

    async fn ask_for_id_token(
        &self,
        source: &AccessToken,
        audience: &str,
    ) -> Result<SecretString, ee_token::Error> {
        generate_id_token(
            &self.http,
            &self.url,
            source,
            self.source_quota_project.as_deref(),
            &self.route.delegates,
            audience,
        )
        .await
    }
}

impl IdTokenSource for ImpersonatedServiceAccount {
    fn fetch_id_token<'a>(&'a self, audience: &'a str) -> IdTokenFuture<'a> {
        Box::pin(self.id_token(audience))
    }
}
