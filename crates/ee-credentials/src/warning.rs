//! Things that work, and that somebody should know of.

use std::fmt;

use ee_token::{Remedy, Scopes};

use crate::input::file_access;

/// Something about a credential that works, and should be changed all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Its stable name, for programs. Of a credential's file: `insecure_permissions`,
    /// `writable_by_others`, `owned_by_other_user`, `directory_writable_by_others`. Of a credential:
    /// `broad_scopes`, `env_var_ignored`, `login_expires`. Of a login that was stored: `login_expires`,
    /// `file_backed_up`, `env_var_takes_precedence`, `scopes_not_granted`.
    pub code: &'static str,
    /// What there is, as a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: Remedy,
}

impl Warning {
    /// A warning of this name.
    pub fn new(code: &'static str, message: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            code,
            message: message.into(),
            remedy,
        }
    }

    /// Whether it is about who may read, write or replace the credential's file.
    pub fn is_about_file_access(&self) -> bool {
        file_access::CODES.contains(&self.code)
    }
}

/// What Earth Engine can need: computing, its projects, and exports to Cloud Storage, which
/// `cloud-platform` holds already; and who somebody is, which gcloud's login asks for. Exports to
/// Drive are for a few: their scope opens everything that a person keeps there.
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
    /// The warning for scopes that are broader than Earth Engine needs; `None` if they are not.
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
                "the token is good for more than Earth Engine needs: {}",
                more.join(", ")
            ),
            Remedy::new(
                "Log in for the scopes that you need alone, or give the machine the scope cloud-platform and its service account only the roles that it needs.",
            ),
        ))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
