//! Who may do what with an asset.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::assets::asset;
use crate::{Assets, Error};

/// Who may do what with an asset: a `google.iam.v1.IamPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamPolicy {
    /// Who has which role.
    pub bindings: Vec<IamBinding>,
    /// Which version of the policy this is: set together with it, a change that somebody
    /// else made meanwhile is not lost but refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub etag: String,
    /// The form of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

/// Who has a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IamBinding {
    /// `roles/viewer`, `roles/editor`, `roles/owner`, ….
    pub role: String,
    /// `user:…`, `group:…`, `serviceAccount:…`, `domain:…`, `allUsers`.
    pub members: Vec<String>,
}

impl IamPolicy {
    /// Gives someone a role.
    ///
    /// ```
    /// let mut policy = ee_rest::IamPolicy::default();
    /// policy.grant("roles/viewer", "allUsers");
    /// policy.grant("roles/viewer", "allUsers");
    /// assert_eq!(policy.bindings[0].members, ["allUsers"]);
    /// ```
    pub fn grant(&mut self, role: &str, member: &str) {
        let known = self
            .bindings
            .iter_mut()
            .find(|binding| binding.role == role);
        match known {
            Some(binding) if binding.members.iter().any(|m| m == member) => {}
            Some(binding) => binding.members.push(member.to_owned()),
            None => self.bindings.push(IamBinding {
                role: role.to_owned(),
                members: vec![member.to_owned()],
            }),
        }
    }

    /// Takes a role from someone.
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
    /// Who may do what with an asset.
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
    /// As [`Assets::get`].
    pub async fn get_iam_policy(&self, id: &str) -> Result<IamPolicy, Error> {
        let path = format!("{}:getIamPolicy", asset(id)?);
        self.0.post_json(&path, &json!({})).await
    }

    /// Sets who may do what with an asset. With the `etag` of the policy that was read, it
    /// is refused (409) if somebody changed it meanwhile.
    ///
    /// # Errors
    /// As [`Assets::get`].
    pub async fn set_iam_policy(&self, id: &str, policy: &IamPolicy) -> Result<IamPolicy, Error> {
        let path = format!("{}:setIamPolicy", asset(id)?);
        self.0.post_json(&path, &json!({"policy": policy})).await
    }

    /// Which of these permissions the caller has on an asset.
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
    /// As [`Assets::get`].
    pub async fn test_iam_permissions(
        &self,
        id: &str,
        permissions: &[&str],
    ) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let path = format!("{}:testIamPermissions", asset(id)?);
        let request = self.0.request(Method::POST, path);
        let request = request.json(&json!({"permissions": permissions}));
        Ok(request.send().await?.json::<Reply>()?.permissions)
    }
}
