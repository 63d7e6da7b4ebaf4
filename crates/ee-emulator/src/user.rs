//! Users and the files of their logins.

use std::fmt;

use serde_json::{Value, json};

use crate::oauth_client::{GCLOUD_CLIENT_ID, GCLOUD_CLIENT_SECRET};
use crate::scopes;

/// A user with a Google account, logged in with gcloud and with Earth Engine's client.
///
/// Each login has its own refresh token, which is valid only for its client, as at Google.
#[derive(Clone)]
pub struct User {
    pub(crate) email: String,
    pub(crate) gcloud_refresh_token: String,
    pub(crate) earthengine_refresh_token: String,
}

impl User {
    /// Returns the email address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns the refresh token in [`authorized_user_json`](Self::authorized_user_json).
    ///
    /// [`Emulator::revoke`](crate::Emulator::revoke) and
    /// [`Emulator::require_reauth`](crate::Emulator::require_reauth) with this token affect both logins.
    pub fn refresh_token(&self) -> &str {
        &self.gcloud_refresh_token
    }

    /// Returns the refresh token in [`earthengine_file_json`](Self::earthengine_file_json).
    pub fn earthengine_refresh_token(&self) -> &str {
        &self.earthengine_refresh_token
    }

    /// Returns gcloud's Application Default Credentials file, without a quota project.
    pub fn authorized_user_json(&self) -> String {
        self.authorized_user(None)
    }

    /// Returns gcloud's Application Default Credentials file with `quota_project_id`.
    pub fn authorized_user_json_with_quota_project(&self, project: &str) -> String {
        self.authorized_user(Some(project))
    }

    fn authorized_user(&self, quota_project: Option<&str>) -> String {
        let mut file = json!({
            "account": "",
            "client_id": GCLOUD_CLIENT_ID,
            "client_secret": GCLOUD_CLIENT_SECRET,
            "refresh_token": self.gcloud_refresh_token,
            "type": "authorized_user",
            "universe_domain": "googleapis.com",
        });
        if let Some(project) = quota_project {
            file["quota_project_id"] = Value::from(project);
        }
        format!("{file:#}")
    }

    /// Returns Earth Engine's own credentials file, as its Python client writes it.
    ///
    /// It has no `type` and no client, which implies Earth Engine's.
    pub fn earthengine_file_json(&self, project: Option<&str>) -> String {
        let mut file = json!({
            "redirect_uri": "http://localhost:8085",
            "refresh_token": self.earthengine_refresh_token,
            "scopes": scopes::EARTHENGINE_LOGIN,
        });
        if let Some(project) = project {
            file["project"] = Value::from(project);
        }
        file.to_string()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}
