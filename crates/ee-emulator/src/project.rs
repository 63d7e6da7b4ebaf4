//! Cloud projects and their states.

use std::collections::BTreeSet;

use crate::GoogleError;

/// The configuration of a Cloud project.
///
/// By default all callers may use a project, the Earth Engine API is enabled, and the project is
/// registered for noncommercial use. The methods change this.
///
/// ```
/// use ee_emulator::Project;
/// let project = Project::new("unregistered").registration("NOT_REGISTERED");
/// assert_eq!(project.id(), "unregistered");
/// ```
#[derive(Clone, Debug)]
pub struct Project {
    pub(crate) id: String,
    pub(crate) number: u64,
    pub(crate) display_name: String,
    pub(crate) registration: String,
    pub(crate) api_enabled: bool,
    pub(crate) suspended: bool,
    pub(crate) denied: bool,
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) config_when_unregistered: bool,
    pub(crate) error: Option<GoogleError>,
    pub(crate) missing_permissions: BTreeSet<String>,
    pub(crate) max_concurrent_exports: Option<u32>,
    pub(crate) free_quota: Option<String>,
    pub(crate) quota_status: Option<String>,
    pub(crate) init_message: Option<String>,
}

impl Project {
    /// Creates a usable project, with a number derived from its id.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            number: number_from(&id),
            display_name: id.clone(),
            id,
            registration: "REGISTERED_NOT_COMMERCIALLY".to_owned(),
            api_enabled: true,
            suspended: false,
            denied: false,
            allowed: BTreeSet::new(),
            config_when_unregistered: false,
            error: None,
            missing_permissions: BTreeSet::new(),
            max_concurrent_exports: None,
            free_quota: None,
            quota_status: None,
            init_message: None,
        }
    }

    /// Returns the project id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets the project number, which clients may use instead of the id.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Sets the display name. Defaults to the id.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = name.into();
        self
    }

    /// Sets the registration state, in Earth Engine's spelling: `REGISTERED_COMMERCIALLY`,
    /// `REGISTERED_NOT_COMMERCIALLY`, `NOT_REGISTERED` or `REGISTRATION_STATE_UNSPECIFIED`.
    /// Other values are sent unchanged, for tests of unknown states.
    #[must_use]
    pub fn registration(mut self, state: impl Into<String>) -> Self {
        self.registration = state.into();
        self
    }

    /// Sets whether the Earth Engine API is enabled. If not, calls fail with `SERVICE_DISABLED`.
    #[must_use]
    pub fn api_enabled(mut self, enabled: bool) -> Self {
        self.api_enabled = enabled;
        self
    }

    /// Sets whether the project is suspended.
    #[must_use]
    pub fn suspended(mut self, suspended: bool) -> Self {
        self.suspended = suspended;
        self
    }

    /// Sets whether callers without [`allow`](Self::allow) are denied with `USER_PROJECT_DENIED`.
    #[must_use]
    pub fn denied(mut self, denied: bool) -> Self {
        self.denied = denied;
        self
    }

    /// Allows the principal with this email address to use a [`denied`](Self::denied) project.
    #[must_use]
    pub fn allow(mut self, email: impl Into<String>) -> Self {
        self.allowed.insert(email.into());
        self
    }

    /// Sets whether an unregistered project responds to `config` with the state `NOT_REGISTERED`.
    ///
    /// Defaults to `false`: `config` fails like all other calls. Both have been observed.
    #[must_use]
    pub fn config_when_unregistered(mut self, responds: bool) -> Self {
        self.config_when_unregistered = responds;
        self
    }

    /// Makes all Earth Engine calls that name this project fail with this error, regardless of other
    /// options. The credential is validated first.
    #[must_use]
    pub fn fail_with(mut self, error: GoogleError) -> Self {
        self.error = Some(error);
        self
    }

    /// Sets `maxConcurrentExports` in the response to `config`.
    #[must_use]
    pub fn max_concurrent_exports(mut self, exports: u32) -> Self {
        self.max_concurrent_exports = Some(exports);
        self
    }

    /// Sets the tier of noncommercial use in the response to `config`, such as
    /// `FREE_QUOTA_STANDARD`.
    #[must_use]
    pub fn free_quota(mut self, tier: impl Into<String>) -> Self {
        self.free_quota = Some(tier.into());
        self
    }

    /// Sets the header `x-earth-engine-quota-status` of the project's responses, for example
    /// `parallelism_restricted=true`.
    #[must_use]
    pub fn quota_status(mut self, status: impl Into<String>) -> Self {
        self.quota_status = Some(status.into());
        self
    }

    /// Sets the header `x-earth-engine-init-message` of the project's responses: a message that clients
    /// should show when they initialize.
    #[must_use]
    pub fn init_message(mut self, message: impl Into<String>) -> Self {
        self.init_message = Some(message.into());
        self
    }

    /// Denies a permission to all callers: `earthengine.config.get`, which reading the configuration
    /// requires, or `earthengine.computations.create`, which all calls require.
    #[must_use]
    pub fn without_permission(mut self, permission: impl Into<String>) -> Self {
        self.missing_permissions.insert(permission.into());
        self
    }

    /// Returns whether `name` is this project's id or number.
    pub(crate) fn has_id_or_number(&self, name: &str) -> bool {
        self.id == name || self.number.to_string() == name
    }

    pub(crate) fn allows(&self, email: Option<&str>) -> bool {
        !self.denied || email.is_some_and(|email| self.allowed.contains(email))
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.registration != "NOT_REGISTERED"
    }
}

/// Derives a twelve-digit number from an id (FNV-1a).
fn number_from(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    100_000_000_000 + hash % 900_000_000_000
}
