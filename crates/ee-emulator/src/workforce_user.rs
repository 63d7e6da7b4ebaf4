//! People who log in through workforce identity federation, and the file that gcloud keeps.

use std::fmt;

use serde_json::json;

use crate::oauth_client::{GCLOUD_CLIENT_ID, GCLOUD_CLIENT_SECRET};

pub(crate) const POOL: &str = "//iam.googleapis.com/locations/global/workforcePools/demo-pool";

/// A person without a Google account, logged in through a workforce pool with gcloud.
#[derive(Clone)]
pub struct WorkforceUser {
    pub(crate) principal: String,
    pub(crate) refresh_token: String,
}

impl WorkforceUser {
    /// The person as policies name them: `principal://iam.googleapis.com/…/subject/SUBJECT`.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The refresh token in [`json`](Self::json).
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// The text of the file that `gcloud auth application-default login --login-config=…` writes.
    pub fn json(&self) -> String {
        let file = json!({
            "type": "external_account_authorized_user",
            "audience": format!("{POOL}/providers/demo-provider"),
            "client_id": GCLOUD_CLIENT_ID,
            "client_secret": GCLOUD_CLIENT_SECRET,
            "refresh_token": self.refresh_token,
            "token_url": "https://sts.googleapis.com/v1/oauthtoken",
            "token_info_url": "https://sts.googleapis.com/v1/introspect",
            "universe_domain": "googleapis.com",
        });
        format!("{file:#}\n")
    }
}

impl fmt::Debug for WorkforceUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkforceUser")
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}
