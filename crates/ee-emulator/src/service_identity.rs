//! Service identities of Google Distributed Cloud and their files.

use std::fmt;

use serde_json::json;

use crate::EcKey;

/// The fictitious host of the emulated token server.
pub(crate) const HOST: &str = "service-identity.gdch.test";

/// A service identity with its key.
#[derive(Clone)]
pub struct ServiceIdentity {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) key_id: String,
    pub(crate) key: EcKey,
}

impl ServiceIdentity {
    /// Returns the host of the token server, which is not a Google host.
    pub fn host(&self) -> &str {
        HOST
    }

    /// Returns the identity's subject in JWTs: `system:serviceaccount:PROJECT:NAME`.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.project, self.name)
    }

    /// Returns the key pair.
    pub fn key(&self) -> &EcKey {
        &self.key
    }

    /// Returns the key id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the credential file.
    pub fn json(&self) -> String {
        let file = json!({
            "type": "gdch_service_account",
            "format_version": "1",
            "project": self.project,
            "private_key_id": self.key_id,
            "private_key": self.key.sec1_pem(),
            "name": self.name,
            "token_uri": format!("https://{HOST}/authenticate"),
        });
        format!("{file:#}\n")
    }
}

impl fmt::Debug for ServiceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceIdentity")
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}
