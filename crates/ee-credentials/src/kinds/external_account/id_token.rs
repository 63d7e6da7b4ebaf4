//! ID tokens of the service account that a federated identity impersonates.

use std::fmt;
use std::sync::Arc;

use ee_token::SecretString;

use super::exchange::{Impersonation, TokenExchange};
use crate::iam::account::iam_scopes;
use crate::iam::generate_id_token;
use crate::kinds::id_token::{IdTokenFuture, IdTokenSource};

/// The ID tokens of an impersonated service account.
struct AccountIdTokens {
    exchange: Arc<TokenExchange>,
    impersonation: Arc<Impersonation>,
}

impl TokenExchange {
    /// Returns `None` without impersonation: a federated identity itself has no ID tokens of Google.
    pub(super) fn id_tokens(self: &Arc<Self>) -> Option<Arc<dyn IdTokenSource>> {
        Some(Arc::new(AccountIdTokens {
            exchange: self.clone(),
            impersonation: self.impersonation.clone()?,
        }))
    }
}

impl AccountIdTokens {
    async fn id_token(&self, audience: &str) -> Result<SecretString, ee_token::Error> {
        let (http, federated) = self.exchange.federated_token(&iam_scopes()).await?;
        generate_id_token(
            &http,
            &self.impersonation.url,
            &federated,
            self.impersonation.quota_project.as_deref(),
            &[],
            audience,
        )
        .await
        .map_err(|error| self.exchange.explain_impersonation(error))
    }
}

impl IdTokenSource for AccountIdTokens {
    fn fetch_id_token<'a>(&'a self, audience: &'a str) -> IdTokenFuture<'a> {
        Box::pin(self.id_token(audience))
    }
}

impl fmt::Debug for AccountIdTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountIdTokens")
            .field(&self.exchange)
            .finish()
    }
}
