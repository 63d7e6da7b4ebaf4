//! Things that work, and that somebody should know of.

use std::fmt;

use ee_token::Remedy;

/// Something about a credential that works, and should be changed all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Its stable name, for programs: `readable_by_others`.
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
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
