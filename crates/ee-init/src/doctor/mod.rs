//! Diagnosis: checks of everything from the environment to a computed value, each with a remedy.

pub(crate) mod environment;
pub(crate) mod network;

mod credentials;
mod project;

use std::future::Future;
use std::time::Duration;

use ee_token::Remedy;

use crate::{EarthEngineBuilder, Error, ErrorKind};

/// Why the checks that need requests are skipped.
const NO_REQUESTS: &str = "no requests can be sent";

/// The time limit of each check.
const LIMIT: Duration = Duration::from_secs(20);

/// The results of all checks, returned by [`EarthEngineBuilder::diagnose`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Returns whether programs can run: a value was computed and no check failed.
    pub fn is_ok(&self) -> bool {
        let computed = |check: &Check| check.name == "compute" && check.status == CheckStatus::Ok;
        self.first_failure().is_none() && self.checks.iter().any(computed)
    }

    /// Returns the first failed check, which is often the cause of the following ones.
    pub fn first_failure(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|check| check.status == CheckStatus::Failed)
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The stable name: `token`, `search.earthengine_file`.
    pub name: String,
    /// The status.
    pub status: CheckStatus,
    /// What was found, as a sentence without a period.
    pub message: String,
    /// How to fix the problem, if there is one.
    pub remedy: Option<Remedy>,
    /// The kind of the error, if the check failed.
    pub error: Option<ErrorKind>,
}

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckStatus {
    /// No problem was found.
    Ok,
    /// A non-fatal problem was found.
    Warning,
    /// A problem was found that prevents programs from running.
    Failed,
    /// There was nothing to check, or an earlier check failed.
    Skipped,
}

impl CheckStatus {
    /// Returns the name in JSON: `ok`, `warning`, `failed` or `skipped`.
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
                format!("{message} (server message: {said})")
            }
            _ => message,
        };
        Self {
            remedy: Some(error.remedy().clone()),
            error: Some(error.kind()),
            ..Self::new(name, CheckStatus::Failed, message)
        }
    }
}

impl EarthEngineBuilder {
    /// Checks the environment, the network, the clock, the credentials, the token and its scopes,
    /// the project and its permissions, and a computation. After a failed check, the others still
    /// run as far as possible. Each check takes at most 20 seconds.
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

    /// Does the same as [`EarthEngineBuilder::diagnose`], and passes each check to `on_check` as soon as it
    /// is done.
    pub async fn diagnose_with(self, on_check: impl FnMut(&Check)) -> Diagnosis {
        let mut report = Report {
            checks: Vec::new(),
            on_check,
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
                return report.skip_after_network();
            }
            None => {
                report.skip(&["network"], "the hosts are unknown");
                return report.skip_after_network();
            }
        };
        match self.earth_engine_url(&http) {
            Ok(url) => crate::doctor::network::examine(&url, &http, report).await,
            Err(error) => {
                report.add(Check::failed("network", &error));
                report.skip(&network::CHECKS, NO_REQUESTS);
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

/// The checks so far.
struct Report<F> {
    checks: Vec<Check>,
    on_check: F,
}

impl<F: FnMut(&Check)> Report<F> {
    fn add(&mut self, check: Check) {
        (self.on_check)(&check);
        self.checks.push(check);
    }

    fn skip(&mut self, names: &[&str], why: &str) {
        for name in names {
            self.add(Check::skipped(*name, why));
        }
    }

    fn skip_after_network(&mut self) {
        let login = [
            "credentials",
            "file_permissions",
            "token",
            "scopes",
            "project",
        ];
        for checks in [&network::CHECKS[..], &login, &project::CHECKS] {
            self.skip(checks, NO_REQUESTS);
        }
    }
}

/// Returns the result, or an error if it takes too long.
async fn bounded<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result.map_err(Error::from),
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("no response within {} seconds", LIMIT.as_secs()),
        )
        .with_remedy(Remedy::new(ee_token::ErrorKind::Timeout.default_remedy()))),
    }
}

#[cfg(test)]
mod tests;
