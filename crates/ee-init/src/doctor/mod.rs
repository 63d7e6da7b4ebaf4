//! Every link of the chain from a credential to a computed value, checked one by one, with what
//! to do about each that is broken.

pub(crate) mod environment;
pub(crate) mod network;

mod credentials;
mod project;

use std::future::Future;
use std::time::Duration;

use ee_token::Remedy;

use crate::{EarthEngineBuilder, Error, ErrorKind};

/// No check takes longer, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(20);

/// What is always told of after the check of the network.
const AFTER_NETWORK: [&str; 12] = [
    "clock",
    "round_trip",
    "credentials",
    "file_permissions",
    "token",
    "scopes",
    "project",
    "permission",
    "api",
    "registration",
    "compute",
    "tier",
];

/// What became of all checks: [`EarthEngineBuilder::diagnose`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Whether a program could run: a value was computed, and nothing failed on the way.
    pub fn is_ok(&self) -> bool {
        let computed = |check: &Check| check.name == "compute" && check.status == CheckStatus::Ok;
        self.first_failure().is_none() && self.checks.iter().any(computed)
    }

    /// The first check that failed. What comes after it often fails because of it.
    pub fn first_failure(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|check| check.status == CheckStatus::Failed)
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Its stable name: `token`, `search.earthengine_file`.
    pub name: String,
    /// What became of it.
    pub status: CheckStatus,
    /// What was found, as a sentence without a full stop.
    pub message: String,
    /// What to do, if anything is.
    pub remedy: Option<Remedy>,
    /// The kind of trouble, for a check that failed.
    pub error: Option<ErrorKind>,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckStatus {
    /// All is well.
    Ok,
    /// It works, and something should be changed all the same.
    Warning,
    /// It does not work.
    Failed,
    /// There was nothing to check, or something before it failed.
    Skipped,
}

impl CheckStatus {
    /// Its name in JSON: `ok`, `warning`, `failed` or `skipped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    fn new(name: impl Into<String>, status: CheckStatus, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status,
            message: message.into(),
            remedy: None,
            error: None,
        }
    }

    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, message)
    }

    fn warning(name: impl Into<String>, message: impl Into<String>, remedy: Remedy) -> Self {
        let check = Self::new(name, CheckStatus::Warning, message);
        Self {
            remedy: Some(remedy),
            ..check
        }
    }

    fn skipped(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Skipped, message)
    }

    fn failed(name: impl Into<String>, error: &Error) -> Self {
        let message = error.to_string();
        let message = match error.server_message() {
            Some(said) if !message.contains(said) => {
                format!("{message} (the server said: {said})")
            }
            _ => message,
        };
        Self {
            remedy: error.remedy().cloned(),
            error: Some(error.kind()),
            ..Self::new(name, CheckStatus::Failed, message)
        }
    }
}

impl EarthEngineBuilder {
    /// Checks every link of the chain: the surroundings, the network and the clock, the search
    /// for credentials, the token and its scopes, the project and what it may, and a
    /// computation. Whatever is broken, the other links are checked as far as they can be;
    /// no single check takes longer than 20 s.
    ///
    /// ```no_run
    /// # async fn f() {
    /// let diagnosis = ee_init::EarthEngine::builder().diagnose().await;
    /// for check in &diagnosis.checks {
    ///     println!("{:8} {}: {}", check.status.as_str(), check.name, check.message);
    /// }
    /// # }
    /// ```
    pub async fn diagnose(self) -> Diagnosis {
        self.diagnose_with(|_| {}).await
    }

    /// [`EarthEngineBuilder::diagnose`], and tells each check as soon as it is made.
    pub async fn diagnose_with(self, tell: impl FnMut(&Check)) -> Diagnosis {
        let mut report = Report {
            checks: Vec::new(),
            tell,
        };
        self.examine(&mut report).await;
        Diagnosis {
            checks: report.checks,
        }
    }

    async fn examine(self, report: &mut Report<impl FnMut(&Check)>) {
        let environment = self.search_environment();
        let endpoints = crate::doctor::environment::hosts(&self, &environment, report);
        crate::doctor::environment::proxy(&self, &environment, report);
        crate::doctor::environment::certificates(&self, &environment, report).await;
        let http = match endpoints.map(|endpoints| self.http(endpoints)) {
            Some(Ok(http)) => http,
            Some(Err(error)) => {
                report.add(Check::failed("network", &error));
                return report.skip(&AFTER_NETWORK, "no requests can be sent");
            }
            None => {
                report.skip(&["network"], "the hosts are not known");
                return report.skip(&AFTER_NETWORK, "no requests can be sent");
            }
        };
        match self.earth_engine_url(&http) {
            Ok(url) => crate::doctor::network::examine(&url, &http, report).await,
            Err(error) => {
                report.add(Check::failed("network", &error));
                report.skip(&["clock", "round_trip"], "no requests can be sent");
            }
        }
        let found = credentials::find(&self, &http, &environment, report).await;
        let has_token = match &found {
            Some(credentials) => credentials::token(credentials, report).await,
            None => {
                report.skip(&["token", "scopes"], "there are no credentials");
                false
            }
        };
        let project = project::choose(&self, found.as_ref(), &environment, report).await;
        match (found, project) {
            (Some(credentials), Some(project)) if has_token => {
                project::examine(&self, &http, &credentials, &project, report).await;
            }
            (found, project) => {
                let missing = match (&found, &project) {
                    (None, _) => "there are no credentials",
                    (Some(_), None) => "there is no project",
                    _ => "there is no token",
                };
                report.skip(&project::CHECKS, missing);
            }
        }
    }
}

/// The checks so far, and whoever is told of each.
struct Report<F> {
    checks: Vec<Check>,
    tell: F,
}

impl<F: FnMut(&Check)> Report<F> {
    fn add(&mut self, check: Check) {
        (self.tell)(&check);
        self.checks.push(check);
    }

    fn skip(&mut self, names: &[&str], why: &str) {
        for name in names {
            self.add(Check::skipped(*name, why));
        }
    }
}

/// The outcome, or the error that it took too long.
async fn bounded<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result.map_err(Error::from),
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("no answer within {} s", LIMIT.as_secs()),
        )
        .with_remedy(Remedy::new(
            "Check the network connection, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall, then try again.",
        ))),
    }
}

#[cfg(test)]
mod tests;
