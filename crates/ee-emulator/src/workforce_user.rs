//! Users of workforce identity federation and gcloud's file for them.

use std::fmt;

use serde_json::json;

use crate::oauth_client::{GCLOUD_CLIENT_ID, GCLOUD_CLIENT_SECRET};

pub(crate) const POOL: &str = "//iam.googleapis.com/locations/global/workforcePools/demo-pool";

/// A user without a Google account, logged in with gcloud through a workforce pool.
#[derive(Clone)]
pub struct WorkforceUser {
    pub(crate) principal: String,
    pub(crate) refresh_token: String,
}

impl WorkforceUser {
    /// Returns the IAM principal: `principal://iam.googleapis.com/…/subject/SUBJECT`.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Returns the refresh token in [`json`](Self::json).
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// Returns the file that `gcloud auth application-default login --login-config=…` writes.
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
