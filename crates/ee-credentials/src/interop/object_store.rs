//! Credentials for Cloud Storage through the crate `object_store` (feature `object_store`), to read
//! exports.

use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::gcp::GcpCredential;

use crate::Credentials;

const STORE: &str = "GCS";

/// Credentials of this crate for `GoogleCloudStorageBuilder::with_credentials`.
///
/// ```
/// use std::sync::Arc;
/// use ee_credentials::{Credentials, ObjectStoreCredentials};
/// use ee_token::AccessToken;
/// use object_store::gcp::GcpCredentialProvider;
///
/// # fn main() -> Result<(), ee_token::Error> {
/// let credentials = Credentials::from_token(AccessToken::new("ya29.secret")?);
/// let provider: GcpCredentialProvider = Arc::new(ObjectStoreCredentials::new(credentials));
/// # let _ = provider;
/// # Ok(()) }
/// ```
///
/// Requests are billed to the bucket's own project: `object_store` sends no quota project.
/// The default scope `cloud-platform` covers Cloud Storage.
#[derive(Debug, Clone)]
pub struct ObjectStoreCredentials(Credentials);

impl ObjectStoreCredentials {
    /// Wraps credentials. The token cache is shared with all their clones.
    pub fn new(credentials: Credentials) -> Self {
        Self(credentials)
    }
}

#[async_trait::async_trait]
impl CredentialProvider for ObjectStoreCredentials {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        match self.0.token().await {
            Ok(token) => Ok(Arc::new(GcpCredential {
                bearer: token.secret().to_owned(),
            })),
            Err(error) => Err(object_store::Error::Generic {
                store: STORE,
                source: Box::new(error),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use ee_token::AccessToken;

    use super::*;

    #[tokio::test]
    async fn store_gets_the_current_token() {
        let token = AccessToken::new("ya29.canary").unwrap();
        let provider = ObjectStoreCredentials::new(Credentials::from_token(token));
        assert!(!format!("{provider:?}").contains("canary"));
        let credential = provider.get_credential().await.unwrap();
        assert_eq!(credential.bearer, "ya29.canary");
    }

    #[tokio::test]
    async fn store_gets_the_error_of_missing_tokens() {
        let provider = ObjectStoreCredentials::new(Credentials::from_api_key("AIza"));
        let error = provider.get_credential().await.unwrap_err();
        assert!(
            error.to_string().contains("an API key has no access token"),
            "{error}"
        );
    }
}
