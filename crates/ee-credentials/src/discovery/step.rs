//! The steps of a search, as results and errors report them.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use ee_token::internal::display_path;

use crate::{CredentialSource, Error};

/// One step of a search: a source, and what the search found there.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchStep {
    /// The source.
    pub source: CredentialSource,
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

impl Error {
    /// Returns the steps of a failed search.
    pub fn search_steps(&self) -> &[SearchStep] {
        self.find_source::<FailedSearch>()
            .map_or(&[], |searched| &searched.steps)
    }
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
            .field("source", &self.source)
            .field("outcome", &self.outcome)
            .field("path", &self.path.as_deref().map(display_path))
            .finish()
    }
}

impl fmt::Display for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source;
        match &self.outcome {
            SearchOutcome::Found => match &self.path {
                Some(path) => write!(f, "{source}: found in {}", display_path(path)),
                None => write!(f, "{source}: found"),
            },
            SearchOutcome::NotFound(why) => write!(f, "{source}: {why}"),
            SearchOutcome::Invalid(why) => write!(f, "{source}: invalid: {why}"),
            SearchOutcome::Skipped => write!(f, "{source}: not searched"),
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
