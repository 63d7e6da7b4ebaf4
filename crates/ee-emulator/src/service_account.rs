//! Service accounts and their key files.

use std::fmt;

use serde_json::json;

use crate::RsaKey;

/// A service account with one of its keys.
#[derive(Clone)]
pub struct ServiceAccount {
    pub(crate) email: String,
    pub(crate) project: String,
    pub(crate) client_id: String,
    pub(crate) private_key_id: String,
    pub(crate) key: RsaKey,
}

impl ServiceAccount {
    /// Returns the email address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns the account's project, which is the default quota project of its requests.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the account's numeric id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the key id, which is the `kid` in a JWT's header.
    pub fn private_key_id(&self) -> &str {
        &self.private_key_id
    }

    /// Returns the key pair.
    pub fn key(&self) -> &RsaKey {
        &self.key
    }

    /// Returns the private key in PKCS#8 PEM.
    pub fn pkcs8_pem(&self) -> &str {
        self.key.pkcs8_pem()
    }

    /// Returns the private key in PKCS#1 PEM.
    pub fn pkcs1_pem(&self) -> &str {
        self.key.pkcs1_pem()
    }

    /// Returns a key file with all fields of Google's.
    ///
    /// The URLs are Google's real ones; clients must be configured to use the emulator.
    pub fn json_key(&self) -> String {
        let certificate = format!(
            "https://www.googleapis.com/robot/v1/metadata/x509/{}",
            self.email.replace('@', "%40")
        );
        let file = json!({
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.private_key_id,
            "private_key": self.pkcs8_pem(),
            "client_email": self.email,
            "client_id": self.client_id,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": certificate,
            "universe_domain": "googleapis.com",
        });
        format!("{file:#}\n")
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("email", &self.email)
            .field("project", &self.project)
            .field("private_key_id", &self.private_key_id)
            .finish_non_exhaustive()
    }
}
