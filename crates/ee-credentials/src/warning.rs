//! Non-fatal problems with credentials.

use std::fmt;

use ee_token::{Remedy, Scopes};

/// A non-fatal problem with a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The stable code, for programs. About a credential file: `insecure_permissions`,
    /// `writable_by_others`, `owned_by_other_user`, `directory_writable_by_others`. About a
    /// credential: `broad_scopes`, `env_var_ignored`, `login_expires`, `file_field_ignored`. About the
    /// search: `location_inaccessible`. About a saved login:
    /// `login_expires`, `file_backed_up`, `env_var_takes_precedence`, `scopes_not_granted`.
    pub code: &'static str,
    /// A description of the problem.
    pub message: String,
    /// How to solve it.
    pub remedy: Remedy,
}

impl Warning {
    /// Creates a warning.
    pub fn new(code: &'static str, message: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            code,
            message: message.into(),
            remedy,
        }
    }

    /// Whether the warning is about other users' access to the credential file.
    pub fn is_about_file_access(&self) -> bool {
        matches!(
            self.code,
            "insecure_permissions"
                | "writable_by_others"
                | "owned_by_other_user"
                | "directory_writable_by_others"
        )
    }
}

/// The scopes of Earth Engine and of exports to Cloud Storage, and those of gcloud's login. The scope
/// of exports to Drive is not among them: it gives access to all files of the user.
const NEEDED: [&str; 12] = [
    "earthengine",
    "earthengine.readonly",
    "cloud-platform",
    "cloud-platform.read-only",
    "devstorage.full_control",
    "devstorage.read_write",
    "devstorage.read_only",
    "openid",
    "email",
    "profile",
    "userinfo.email",
    "userinfo.profile",
];

impl Warning {
    /// Returns a warning if the scopes are broader than Earth Engine needs.
    ///
    /// ```
    /// use ee_credentials::Warning;
    /// use ee_token::Scopes;
    ///
    /// assert!(Warning::for_broad_scopes(&Scopes::new(["earthengine", "cloud-platform"])).is_none());
    /// let warning = Warning::for_broad_scopes(&Scopes::new(["earthengine", "gmail.readonly"])).unwrap();
    /// assert_eq!(warning.code, "broad_scopes");
    /// ```
    pub fn for_broad_scopes(granted: &Scopes) -> Option<Self> {
        let needed = Scopes::new(NEEDED);
        let more: Vec<_> = granted
            .iter()
            .filter(|scope| !needed.contains(scope))
            .collect();
        if more.is_empty() {
            return None;
        }
        Some(Self::new(
            "broad_scopes",
            format!(
                "the token has scopes that Earth Engine does not need: {}",
                more.join(", ")
            ),
            Remedy::new(
                "Log in with the scopes that you need. For a machine, use the scope cloud-platform and grant its service account only the roles that it needs.",
            )
            .command("eectl auth login --scopes earthengine,cloud-platform --force"),
        ))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
