//! Service identities of Google Distributed Cloud, and the files that they come in.

use std::fmt;

use serde_json::json;

use crate::EcKey;

/// The made-up host of the token server that the emulator stands in for.
pub(crate) const HOST: &str = "service-identity.gdch.test";

/// A service identity that the emulator knows, with its key.
#[derive(Clone)]
pub struct ServiceIdentity {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) key_id: String,
    pub(crate) key: EcKey,
}

impl ServiceIdentity {
    /// The name of the token server, which is no host of Google's.
    pub fn host(&self) -> &str {
        HOST
    }

    /// The identity as a JWT names it: `system:serviceaccount:PROJECT:NAME`.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.project, self.name)
    }

    /// The key.
    pub fn key(&self) -> &EcKey {
        &self.key
    }

    /// The id of the key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The text of the identity's file.
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
