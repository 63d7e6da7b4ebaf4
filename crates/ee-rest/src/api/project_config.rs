//! The Earth Engine configuration of a project.

use std::fmt;

use http::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::api::lenient::Fields;
use crate::request::path::no_project;
use crate::{Client, Error};

/// The Earth Engine configuration of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectConfig {
    /// The name: `projects/P/config`.
    pub name: String,
    /// How the project is registered.
    pub registration_state: Registration,
    /// The terms of the registration, if the server reports them.
    pub registration: Option<ProjectRegistration>,
    /// Whether the quota of noncommercial use is enforced.
    pub noncommercial_quota_enforced: Option<bool>,
    /// Whether VPC Service Controls restrict the project.
    pub vpc_service_controls_restricted: Option<bool>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ProjectConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name"),
            registration_state: fields.take("registrationState"),
            registration: fields.take("registration"),
            noncommercial_quota_enforced: fields.take("noncommercialQuotaEnforced"),
            vpc_service_controls_restricted: fields.take("vpcServiceControlsRestricted"),
            rest: fields.rest(),
        })
    }
}

/// The terms of a project's registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectRegistration {
    /// The tier of noncommercial use: `FREE_QUOTA_STANDARD`, for example.
    pub free_quota: String,
    /// Whether use is billed: `BILLING_CONSENT_FULL`, for example.
    pub billing_consent: String,
    /// When the registration expires (RFC 3339).
    pub expiry_time: Option<String>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ProjectRegistration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            free_quota: fields.take("freeQuota"),
            billing_consent: fields.take("billingConsent"),
            expiry_time: fields.take("expiryTime"),
            rest: fields.rest(),
        })
    }
}

impl ProjectConfig {
    /// Returns the tier of noncommercial use in lower case, such as `standard`, if the server
    /// reports one.
    pub fn tier(&self) -> Option<String> {
        let quota = &self.registration.as_ref()?.free_quota;
        let tier = quota.strip_prefix("FREE_QUOTA_")?;
        let is_name = tier.len() <= 64 && tier.bytes().all(is_name_byte);
        (is_name && !matches!(tier, "UNSPECIFIED" | "NONE"))
            .then(|| tier.to_ascii_lowercase().replace('_', " "))
    }
}

/// Returns whether the byte may be part of a name of the API. Another text could echo a secret.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// How many exports of a project run at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportLimit {
    /// The limit that was set.
    pub max_concurrent_exports: Option<u32>,
    /// The limit of the project's plan.
    pub plan_max_concurrent_exports: Option<u32>,
    /// The fields that this version does not know, and those with unexpected values.
    pub rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ExportLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            max_concurrent_exports: fields.take_integer("maxConcurrentExports"),
            plan_max_concurrent_exports: fields.take_integer("planMaxConcurrentExports"),
            rest: fields.rest(),
        })
    }
}

/// How a project is registered for Earth Engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Registration {
    /// Registered for commercial use.
    Commercial,
    /// Registered for noncommercial use: research, education, nonprofits.
    NotCommercial,
    /// Not registered.
    NotRegistered,
    /// The server did not report the state.
    #[default]
    Unspecified,
    /// The state was not requested.
    Unverified,
    /// A state that this version does not know.
    Other(String),
}

impl Registration {
    /// Returns the API's name of the state, such as `REGISTERED_COMMERCIALLY`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Commercial => "REGISTERED_COMMERCIALLY",
            Self::NotCommercial => "REGISTERED_NOT_COMMERCIALLY",
            Self::NotRegistered => "NOT_REGISTERED",
            Self::Unspecified => "REGISTRATION_STATE_UNSPECIFIED",
            Self::Unverified => "UNVERIFIED",
            Self::Other(state) => state,
        }
    }

    /// Describes the state to users: `noncommercial`.
    pub fn description(&self) -> &str {
        match self {
            Self::Commercial => "commercial",
            Self::NotCommercial => "noncommercial",
            Self::NotRegistered => "not registered",
            Self::Unspecified => "unknown",
            Self::Unverified => "not verified",
            Self::Other(state) => state,
        }
    }

    fn from_state(state: String) -> Self {
        let is_name = |text: &str| text.len() <= 64 && text.bytes().all(is_name_byte);
        match state.as_str() {
            "REGISTERED_COMMERCIALLY" => Self::Commercial,
            "REGISTERED_NOT_COMMERCIALLY" => Self::NotCommercial,
            "NOT_REGISTERED" => Self::NotRegistered,
            "" | "REGISTRATION_STATE_UNSPECIFIED" => Self::Unspecified,
            name if is_name(name) => Self::Other(state),
            _ => Self::Unspecified,
        }
    }
}

impl<'de> Deserialize<'de> for Registration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Option::<String>::deserialize(deserializer)?;
        Ok(Self::from_state(state.unwrap_or_default()))
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl Client {
    /// Returns the project's Earth Engine configuration.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// println!("{}", client.config().await?.registration_state);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn config(&self) -> Result<ProjectConfig, Error> {
        self.get_json("config").await
    }

    /// Updates the fields of the project's configuration that the paths name, such as
    /// `registration.billingConsent`, from its JSON representation. Earth Engine decides which fields
    /// can be updated. For the limit of concurrent exports, see
    /// [`set_export_limit`](Self::set_export_limit).
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// use serde_json::json;
    ///
    /// let consent = json!({"registration": {"billingConsent": "BILLING_CONSENT_FULL"}});
    /// let config = client.update_config(&["registration.billingConsent"], &consent).await?;
    /// println!("{:?}", config.registration);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`]. Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest)
    /// if there are no paths, or one of them is empty or contains a comma.
    pub async fn update_config(
        &self,
        paths: &[&str],
        config: &(impl Serialize + ?Sized),
    ) -> Result<ProjectConfig, Error> {
        let is_invalid = |path: &&str| path.is_empty() || path.contains(',');
        if paths.is_empty() || paths.iter().any(is_invalid) {
            return Err(Error::invalid_request(
                "the update of the configuration does not name the fields to update",
                "Name at least one field, each with a path of its own.",
            ));
        }
        self.request(Method::PATCH, "config")
            .query("updateMask", paths.join(","))
            .json(config)
            // Setting the same values twice has no further effect.
            .idempotent(true)
            .send()
            .await?
            .json()
    }

    /// Returns how many exports of the project run at the same time. Only version v1alpha of the API
    /// has this limit.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// println!("{:?}", client.export_limit().await?.max_concurrent_exports);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn export_limit(&self) -> Result<ExportLimit, Error> {
        self.get_json(&self.alpha_config()?).await
    }

    /// Sets how many exports of the project run at the same time.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let limit = client.set_export_limit(5).await?;
    /// assert_eq!(limit.max_concurrent_exports, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Client::get_json`].
    pub async fn set_export_limit(&self, exports: u32) -> Result<ExportLimit, Error> {
        self.request(Method::PATCH, self.alpha_config()?)
            // In snake case, as the Python client sends it.
            .query("updateMask", "max_concurrent_exports")
            .json(&json!({"maxConcurrentExports": exports}))
            // Setting the same value twice has no further effect.
            .idempotent(true)
            .send()
            .await?
            .json()
    }

    fn alpha_config(&self) -> Result<String, Error> {
        let project = self.project().ok_or_else(|| no_project("config"))?;
        Ok(format!("v1alpha/projects/{project}/config"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_registration_state_is_kept_only_if_it_is_a_name() {
        let read = |state: &str| serde_json::from_value::<Registration>(json!(state)).unwrap();
        assert_eq!(read("SOMETHING_NEW").as_str(), "SOMETHING_NEW");
        assert_eq!(read("TIER_2").as_str(), "TIER_2");
        for text in ["ya29.an-echo", "something new", &"A".repeat(65)] {
            assert_eq!(read(text), Registration::Unspecified);
        }
    }

    #[test]
    fn tier_is_named_as_on_the_registration_page() {
        let tier = |quota: &str| {
            let config = json!({"registration": {"freeQuota": quota}});
            serde_json::from_value::<ProjectConfig>(config)
                .unwrap()
                .tier()
        };
        assert_eq!(
            tier("FREE_QUOTA_HIGH_IMPACT").as_deref(),
            Some("high impact")
        );
        for none in [
            "",
            "FREE_QUOTA_UNSPECIFIED",
            "FREE_QUOTA_NONE",
            "FREE_QUOTA_ya29.x",
            "X",
        ] {
            assert_eq!(tier(none), None, "{none}");
        }
        assert_eq!(ProjectConfig::default().tier(), None);
    }

    #[test]
    fn export_limit_is_read_from_numbers_and_text() {
        let limit: ExportLimit = serde_json::from_value(json!({
            "maxConcurrentExports": "3",
            "planMaxConcurrentExports": -1,
            "new": 1,
        }))
        .unwrap();
        assert_eq!(limit.max_concurrent_exports, Some(3));
        assert_eq!(limit.plan_max_concurrent_exports, None);
        let kept = json!({"planMaxConcurrentExports": -1, "new": 1});
        assert_eq!(json!(limit.rest), kept);
    }

    #[test]
    fn odd_fields_are_kept_and_fail_nothing() {
        let read = |text: &str| serde_json::from_str::<ProjectConfig>(text).unwrap();
        let null = read(r#"{"registrationState": null}"#);
        assert_eq!(null.registration_state, Registration::Unspecified);
        let odd = read(
            r#"{"registrationState": 7, "registration": {"freeQuota": "FREE_QUOTA_STANDARD", "billingConsent": null, "expiryTime": 7, "updateReason": "MANUAL_SYSTEM"}, "new": 1}"#,
        );
        assert_eq!(odd.registration_state, Registration::Unspecified);
        assert_eq!(odd.tier().as_deref(), Some("standard"));
        let registration = odd.registration.unwrap();
        assert_eq!(registration.free_quota, "FREE_QUOTA_STANDARD");
        assert_eq!(registration.rest["updateReason"], "MANUAL_SYSTEM");
        assert_eq!(registration.rest["expiryTime"], 7);
        assert_eq!(json!(odd.rest), json!({"registrationState": 7, "new": 1}));
    }
}
