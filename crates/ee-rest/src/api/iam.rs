//! IAM policies of assets.

use ee_token::internal::Quoted;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::assets::asset;
use crate::api::lenient::or_default;
use crate::{Assets, Error};

/// The version of the policy format that has conditions.
const POLICY_VERSION: i32 = 3;

/// An IAM policy (`google.iam.v1.Policy`): which principals have which roles on an asset. Unlike
/// other resources, a policy of an unexpected form is not read at all, because a part of it must not
/// replace the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamPolicy {
    /// The role bindings.
    #[serde(deserialize_with = "or_default")]
    pub bindings: Vec<IamBinding>,
    /// The version of the policy, for optimistic concurrency: if the policy was changed since it
    /// was read, setting it fails.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub etag: String,
    /// The version of the policy format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// All other fields, which are kept when the policy is set.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The principals that have a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IamBinding {
    /// `roles/viewer`, `roles/editor`, `roles/owner`, ….
    #[serde(deserialize_with = "or_default")]
    pub role: String,
    /// `user:…`, `group:…`, `serviceAccount:…`, `domain:…`, `allUsers`.
    #[serde(deserialize_with = "or_default")]
    pub members: Vec<String>,
    /// When the principals have the role: an expression with a title. Empty means always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
    /// All other fields, which are kept when the policy is set.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl IamPolicy {
    /// Grants a role to a principal, without a condition. Bindings with a condition are unchanged.
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
            .find(|binding| binding.role == role && binding.condition.is_none());
        match binding {
            Some(binding) if binding.members.iter().any(|m| m == member) => {}
            Some(binding) => binding.members.push(member.to_owned()),
            None => self.bindings.push(IamBinding {
                role: role.to_owned(),
                members: vec![member.to_owned()],
                ..IamBinding::default()
            }),
        }
    }

    /// Revokes a role from a principal, with and without a condition.
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

impl IamPolicy {
    fn check(&self) -> Result<(), Error> {
        for binding in &self.bindings {
            if !binding.role.contains("roles/") {
                return Err(Error::invalid_request(
                    format!("{} is not a role", Quoted(&binding.role)),
                    "Use a role such as roles/viewer.",
                ));
            }
            let has_type = |member: &&String| member.contains(':') || member.starts_with("all");
            if let Some(member) = binding.members.iter().find(|member| !has_type(member)) {
                return Err(Error::invalid_request(
                    format!("{} is not a member of a role", Quoted(member)),
                    "Use user:ADDRESS, group:ADDRESS, serviceAccount:ADDRESS, domain:NAME, allAuthenticatedUsers or allUsers.",
                ));
            }
        }
        Ok(())
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
        // Older versions have no conditions.
        let options = json!({"options": {"requestedPolicyVersion": POLICY_VERSION}});
        self.0.post_json(&path, &options).await
    }

    /// Sets the IAM policy of an asset. If `policy` has an `etag` and the policy was changed since
    /// it was read, the call fails with status 409.
    ///
    /// # Errors
    /// See [`Assets::get`]. Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest)
    /// for a role that is no `roles/…`, and for a member without a type, such as `user:`.
    pub async fn set_iam_policy(&self, id: &str, policy: &IamPolicy) -> Result<IamPolicy, Error> {
        let path = format!("{}:setIamPolicy", asset(id)?);
        policy.check()?;
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
            #[serde(default, deserialize_with = "or_default")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_roles_and_members_are_rejected() {
        for (role, member, is_valid) in [
            ("roles/viewer", "user:jane@example.com", true),
            ("projects/p/roles/custom", "allUsers", true),
            ("viewer", "allUsers", false),
            ("", "allUsers", false),
            ("roles/viewer", "jane@example.com", false),
            ("roles/viewer", "", false),
        ] {
            let mut policy = IamPolicy::default();
            policy.grant(role, member);
            let result = policy.check();
            assert_eq!(result.is_ok(), is_valid, "{role} {member}: {result:?}");
        }
    }

    #[test]
    fn grants_keep_conditions_and_unknown_fields() {
        let read = json!({
            "version": 3,
            "etag": "BwX",
            "auditConfigs": [{"service": "allServices"}],
            "bindings": [{
                "role": "roles/viewer",
                "members": ["user:jane@example.com"],
                "condition": {"title": "until May", "expression": "request.time < timestamp(\"2027-05-01T00:00:00Z\")"},
                "bindingId": "b",
            }],
        });
        let mut policy: IamPolicy = serde_json::from_value(read.clone()).unwrap();
        assert_eq!(serde_json::to_value(&policy).unwrap(), read);
        policy.grant("roles/viewer", "user:jane@example.com");
        let mut expected = read.clone();
        expected["bindings"].as_array_mut().unwrap().push(json!({
            "role": "roles/viewer",
            "members": ["user:jane@example.com"],
        }));
        assert_eq!(serde_json::to_value(&policy).unwrap(), expected);
        policy.revoke("roles/viewer", "user:jane@example.com");
        assert!(policy.bindings.is_empty());
    }
}
