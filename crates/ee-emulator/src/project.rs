//! Cloud projects, and what is wrong with them.

use std::collections::BTreeSet;

use crate::Refusal;

/// A Cloud project, as the emulator's owner wants it to be.
///
/// A new project exists, lets everyone use it, has the Earth Engine API enabled and is
/// registered for noncommercial use. The methods take these away one by one.
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
    pub(crate) refusal: Option<Refusal>,
    pub(crate) missing_permissions: BTreeSet<String>,
    pub(crate) max_concurrent_exports: Option<u32>,
    pub(crate) quota_status: Option<String>,
    pub(crate) init_message: Option<String>,
}

impl Project {
    /// A project in good order, with a number that follows from its id.
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
            refusal: None,
            missing_permissions: BTreeSet::new(),
            max_concurrent_exports: None,
            quota_status: None,
            init_message: None,
        }
    }

    /// The project's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets the project number, which clients may use wherever the id is expected.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Sets the name that people read. It is the id unless set.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = name.into();
        self
    }

    /// Sets the registration state, in Earth Engine's spelling: `REGISTERED_COMMERCIALLY`,
    /// `REGISTERED_NOT_COMMERCIALLY`, `NOT_REGISTERED` or `REGISTRATION_STATE_UNSPECIFIED`.
    /// Any other text is passed on as it is, for tests of states that are yet to be invented.
    #[must_use]
    pub fn registration(mut self, state: impl Into<String>) -> Self {
        self.registration = state.into();
        self
    }

    /// Whether the Earth Engine API is enabled; if not, calls get `SERVICE_DISABLED`.
    #[must_use]
    pub fn api_enabled(mut self, enabled: bool) -> Self {
        self.api_enabled = enabled;
        self
    }

    /// Whether the project is suspended.
    #[must_use]
    pub fn suspended(mut self, suspended: bool) -> Self {
        self.suspended = suspended;
        self
    }

    /// Whether the project refuses, with `USER_PROJECT_DENIED`, everyone whom
    /// [`allow`](Self::allow) does not name.
    #[must_use]
    pub fn denied(mut self, denied: bool) -> Self {
        self.denied = denied;
        self
    }

    /// Lets the principal with this e-mail address use a [`denied`](Self::denied) project.
    #[must_use]
    pub fn allow(mut self, email: impl Into<String>) -> Self {
        self.allowed.insert(email.into());
        self
    }

    /// Whether an unregistered project still answers `config`, with the state `NOT_REGISTERED`.
    /// By default it refuses that as it refuses everything else; both have been seen.
    #[must_use]
    pub fn config_when_unregistered(mut self, answers: bool) -> Self {
        self.config_when_unregistered = answers;
        self
    }

    /// Refuses every Earth Engine call that names this project, in the given way, whatever else
    /// is set. The credential is checked first.
    #[must_use]
    pub fn refuse(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// Sets `maxConcurrentExports` in the answer to `config`.
    #[must_use]
    pub fn max_concurrent_exports(mut self, exports: u32) -> Self {
        self.max_concurrent_exports = Some(exports);
        self
    }

    /// Adds the header `x-earth-engine-quota-status` to the project's answers, for example
    /// `parallelism_restricted=true`.
    #[must_use]
    pub fn quota_status(mut self, status: impl Into<String>) -> Self {
        self.quota_status = Some(status.into());
        self
    }

    /// Adds the header `x-earth-engine-init-message` to the project's answers: text that a client
    /// should show when it initializes.
    #[must_use]
    pub fn init_message(mut self, message: impl Into<String>) -> Self {
        self.init_message = Some(message.into());
        self
    }

    /// Takes a permission from everyone: `earthengine.config.get`, without which the
    /// configuration cannot be read, or `earthengine.computations.create`, without which nothing
    /// is computed.
    #[must_use]
    pub fn without_permission(mut self, permission: impl Into<String>) -> Self {
        self.missing_permissions.insert(permission.into());
        self
    }

    /// Whether `name` is this project's id or its number.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.number.to_string() == name
    }

    pub(crate) fn admits(&self, email: Option<&str>) -> bool {
        !self.denied || email.is_some_and(|email| self.allowed.contains(email))
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.registration != "NOT_REGISTERED"
    }
}

/// A twelve-digit number that is always the same for the same id (FNV-1a).
fn number_from(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    100_000_000_000 + hash % 900_000_000_000
}
