//! The steps of a search, as results and errors report them.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use ee_token::internal::display_path;

/// One step of a search: a source, and what the search found there.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchStep {
    /// The name of the source: [`CredentialSource::as_str`](crate::CredentialSource::as_str).
    pub name: &'static str,
    /// What the search found.
    pub outcome: SearchOutcome,
    /// The source's file.
    pub path: Option<PathBuf>,
}

/// What a search found in one source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SearchOutcome {
    /// Credentials.
    Found,
    /// No credentials, and why.
    NotFound(String),
    /// Invalid credentials, and why they are invalid.
    Invalid(String),
    /// The search ended before this source.
    Skipped,
}

/// The steps of a failed search: the source of its error.
#[derive(Debug)]
pub(crate) struct FailedSearch {
    pub(crate) steps: Vec<SearchStep>,
    /// The error that ended the search.
    pub(crate) cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl SearchOutcome {
    /// Returns `found`, `not_found`, `invalid` or `skipped`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Debug for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchStep")
            .field("name", &self.name)
            .field("outcome", &self.outcome)
            .field("path", &self.path.as_deref().map(display_path))
            .finish()
    }
}

impl fmt::Display for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            SearchOutcome::Found => match &self.path {
                Some(path) => write!(f, "{}: found ({})", self.name, display_path(path)),
                None => write!(f, "{}: found", self.name),
            },
            SearchOutcome::NotFound(why) => write!(f, "{}: {why}", self.name),
            SearchOutcome::Invalid(why) => write!(f, "{}: invalid: {why}", self.name),
            SearchOutcome::Skipped => write!(f, "{}: skipped", self.name),
        }
    }
}

impl fmt::Display for FailedSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("searched")?;
        let done = self
            .steps
            .iter()
            .filter(|step| step.outcome != SearchOutcome::Skipped);
        for (i, step) in done.enumerate() {
            write!(f, "{} {step}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl StdError for FailedSearch {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref()?.source()
    }
}
