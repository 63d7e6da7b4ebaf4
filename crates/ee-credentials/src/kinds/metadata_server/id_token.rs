//! ID tokens of the machine's account.

use ee_token::{ErrorKind as Token, SecretString};
use url::form_urlencoded::byte_serialize;

use super::{Answer, MetadataServer, UP, joined};
use crate::kinds::id_token::{IdTokenFuture, IdTokenSource};

impl MetadataServer {
    async fn id_token(&self, audience: &str) -> Result<SecretString, ee_token::Error> {
        let audience: String = byte_serialize(audience.as_bytes()).collect();
        let path = format!(
            "{UP}instance/service-accounts/{}/identity?audience={audience}&format=full",
            self.account
        );
        let value = match self.fetch(&joined(&self.url, &path)?).await? {
            Answer::Value(value) => value,
            Answer::Missing(reason) => return Err(self.no_account(reason)),
        };
        let token = text(self.body(&value)?);
        token.ok_or_else(|| self.error(Token::InvalidResponse, "its response is not an ID token"))
    }
}

/// Returns the token in a response.
fn text(body: &[u8]) -> Option<SecretString> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_jwt = text.split('.').count() == 3 && text.bytes().all(|b| b.is_ascii_graphic());
    is_jwt.then(|| SecretString::from(text))
}

impl IdTokenSource for MetadataServer {
    fn fetch_id_token<'a>(&'a self, audience: &'a str) -> IdTokenFuture<'a> {
        Box::pin(self.id_token(audience))
    }
}
