//! IAM policies of assets.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::assets::asset;
use crate::{Assets, Error};

/// An IAM policy (`google.iam.v1.Policy`): which principals have which roles on an asset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamPolicy {
    /// The role bindings.
    pub bindings: Vec<IamBinding>,
    /// The version of the policy, for optimistic concurrency: if the policy was changed since it
    /// was read, setting it fails.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub etag: String,
    /// The version of the policy format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

/// The principals that have a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IamBinding {
    /// `roles/viewer`, `roles/editor`, `roles/owner`, ….
    pub role: String,
    /// `user:…`, `group:…`, `serviceAccount:…`, `domain:…`, `allUsers`.
    pub members: Vec<String>,
}

impl IamPolicy {
    /// Grants a role to a principal.
    ///
    /// ```
    /// let mut policy = ee_rest::IamPolicy::default();
    /// policy.grant("roles/viewer", "allUsers");
    /// policy.grant("roles/viewer", "allUsers");
    /// assert_eq!(policy.bindings[0].members, ["allUsers"]);
    /// ```
    pub fn grant(&mut self, role: &str, member: &str) {
        let binding = self
            .bindings
            .iter_mut()
            .find(|binding| binding.role == role);
        match binding {
            Some(binding) if binding.members.iter().any(|m| m == member) => {}
            Some(binding) => binding.members.push(member.to_owned()),
            None => self.bindings.push(IamBinding {
                role: role.to_owned(),
                members: vec![member.to_owned()],
            }),
        }
    }

    /// Revokes a role from a principal.
    pub fn revoke(&mut self, role: &str, member: &str) {
        for binding in self
            .bindings
            .iter_mut()
            .filter(|binding| binding.role == role)
        {
            binding.members.retain(|other| other != member);
        }
        self.bindings.retain(|binding| !binding.members.is_empty());
    }
}

impl Assets {
    /// Returns the IAM policy of an asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let assets = client.assets();
    /// let mut policy = assets.get_iam_policy("projects/my-project/assets/rivers").await?;
    /// policy.grant("roles/viewer", "allUsers");
    /// assets.set_iam_policy("projects/my-project/assets/rivers", &policy).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn get_iam_policy(&self, id: &str) -> Result<IamPolicy, Error> {
        let path = format!("{}:getIamPolicy", asset(id)?);
        self.0.post_json(&path, &json!({})).await
    }

    /// Sets the IAM policy of an asset. If `policy` has an `etag` and the policy was changed since
    /// it was read, the call fails with status 409.
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn set_iam_policy(&self, id: &str, policy: &IamPolicy) -> Result<IamPolicy, Error> {
        let path = format!("{}:setIamPolicy", asset(id)?);
        self.0.post_json(&path, &json!({"policy": policy})).await
    }

    /// Returns which of these permissions the caller has on an asset.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let held = client
    ///     .assets()
    ///     .test_iam_permissions("CGIAR/SRTM90_V4", &["earthengine.assets.get"])
    ///     .await?;
    /// println!("{held:?}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Assets::get`].
    pub async fn test_iam_permissions(
        &self,
        id: &str,
        permissions: &[&str],
    ) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct PermissionsResponse {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let path = format!("{}:testIamPermissions", asset(id)?);
        let request = self.0.request(Method::POST, path);
        let request = request.json(&json!({"permissions": permissions}));
        Ok(request
            .send()
            .await?
            .json::<PermissionsResponse>()?
            .permissions)
    }
}
