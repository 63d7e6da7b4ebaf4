//! Verification of a project: whether it can use Earth Engine.

use std::borrow::Cow;
use std::time::Duration;

use ee_rest::internal::not_registered;
use ee_rest::{ApiError, Client, ProjectConfig, Registration};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Error, Project};

/// How far connecting verifies the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum VerifyLevel {
    /// Not at all: the first call reports any problem.
    Skip,
    /// Reads the project's configuration, which shows whether the principal may use the project,
    /// whether the API is enabled, and how the project is registered. Sends one request, or two if
    /// the principal may compute but not read the configuration.
    #[default]
    Config,
    /// Reads the configuration and computes a constant. Sends two requests.
    Compute,
}

/// The permission to read the configuration. It is newer than the one to compute, so custom roles
/// may lack it.
const READ_CONFIG: &str = "earthengine.config.get";

const INITIAL_WAIT: Duration = Duration::from_secs(2);
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The result of a successful verification.
pub(crate) struct Verified {
    pub(crate) registration: Registration,
    pub(crate) tier: Option<String>,
    /// The message that Earth Engine asks clients to show at start-up.
    pub(crate) init_message: Option<String>,
}

impl Verified {
    fn without_message(registration: Registration) -> Self {
        Self {
            registration,
            tier: None,
            init_message: None,
        }
    }
}

/// Verifies the project, and retries for `max_wait` while a change propagates.
pub(crate) async fn verify(
    level: VerifyLevel,
    client: &Client,
    project: &Project,
    max_wait: Duration,
) -> Result<Verified, Error> {
    retry_until(max_wait, || async {
        Ok(verify_once(level, client, project).await?)
    })
    .await
}

async fn verify_once(
    level: VerifyLevel,
    client: &Client,
    project: &Project,
) -> Result<Verified, ee_rest::Error> {
    let verified = match level {
        VerifyLevel::Skip => return Ok(Verified::without_message(Registration::Unverified)),
        VerifyLevel::Config | VerifyLevel::Compute => match read_config(client).await {
            Ok(verified) => verified,
            Err(error) if may_not_read_config(error.api()) => {
                compute_constant(client).await?;
                return Ok(Verified::without_message(Registration::Unspecified));
            }
            Err(error) => return Err(error),
        },
    };
    if verified.registration == Registration::NotRegistered {
        return Err(not_registered(&project.id, Some(project.source.into())));
    }
    if level == VerifyLevel::Compute {
        compute_constant(client).await?;
    }
    Ok(verified)
}

async fn read_config(client: &Client) -> Result<Verified, ee_rest::Error> {
    let response = client.request(Method::GET, "config").send().await?;
    let config: ProjectConfig = response.json()?;
    Ok(Verified {
        tier: config.tier(),
        registration: config.registration_state,
        init_message: response.init_message().map(Cow::into_owned),
    })
}

/// Returns whether only reading the configuration was denied. The server checks this last, so the
/// principal may use the project and the API is enabled.
pub(crate) fn may_not_read_config(api: Option<&ApiError>) -> bool {
    api.is_some_and(|api| {
        api.status.as_u16() == 403
            && (api.metadata.get("permission").map(String::as_str) == Some(READ_CONFIG)
                || api.message.contains(&format!("'{READ_CONFIG}'")))
    })
}

async fn compute_constant(client: &Client) -> Result<(), ee_rest::Error> {
    let one = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    client.compute::<Value>(&one).await.map(drop)
}

/// Retries until an attempt succeeds, fails for a reason that is not propagation, or `max_wait`
/// has passed. A transient failure after the first wait does not end the retries.
async fn retry_until<T, F: Future<Output = Result<T, Error>>>(
    max_wait: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut wait = INITIAL_WAIT;
    let mut waited = false;
    let mut attempts = 0_u32;
    loop {
        attempts += 1;
        let error = match attempt().await {
            Err(error)
                if error.kind().may_resolve_after_propagation()
                    || waited && error.is_transient() =>
            {
                error
            }
            result => return result,
        };
        // The remaining time instead of a deadline, because `Duration::MAX` has none.
        let left = max_wait.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        tracing::info!(
            kind = error.kind().code(),
            ?left,
            "waiting for a change to propagate"
        );
        let _waiting = tracing::debug_span!(
            "waiting",
            waits_for = "a change to propagate",
            attempt = attempts
        );
        sleep(wait.min(left)).await;
        waited = true;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ErrorKind;

    /// Fails with each of these kinds and then succeeds. Returns the final kind, the number of
    /// attempts, and how many seconds (of paused time) passed.
    async fn attempt(
        max_wait: Duration,
        failures: &[ErrorKind],
    ) -> (Option<ErrorKind>, usize, u64) {
        let started = Instant::now();
        let attempts = Cell::new(0);
        let result = retry_until(max_wait, || {
            let failure = failures.get(attempts.get()).copied();
            attempts.set(attempts.get() + 1);
            async move { failure.map_or(Ok(()), |kind| Err(Error::new(kind, "failed"))) }
        })
        .await;
        let kind = result.err().map(|error| error.kind());
        (kind, attempts.get(), started.elapsed().as_secs())
    }

    const MINUTE: Duration = Duration::from_secs(60);
    use ErrorKind::{ApiDisabled, ProjectDenied, ProjectSuspended, ServerError};

    #[tokio::test(start_paused = true)]
    async fn propagation_is_awaited_with_growing_intervals() {
        let failures = [ApiDisabled, ApiDisabled, ProjectDenied];
        assert_eq!(attempt(MINUTE, &failures).await, (None, 4, 2 + 4 + 8));
    }

    #[tokio::test(start_paused = true)]
    async fn last_error_is_returned_after_the_maximum_wait() {
        let (kind, attempts, seconds) = attempt(MINUTE, &[ApiDisabled; 50]).await;
        // After 2, 4, 8, 16 and 20 seconds, and the remaining ten.
        assert_eq!((kind, attempts, seconds), (Some(ApiDisabled), 7, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn zero_wait_means_one_attempt() {
        let result = attempt(Duration::ZERO, &[ApiDisabled]).await;
        assert_eq!(result, (Some(ApiDisabled), 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn unlimited_wait_does_not_overflow() {
        assert_eq!(attempt(Duration::MAX, &[ApiDisabled; 3]).await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_error_ends_the_wait() {
        let suspended = [ApiDisabled, ProjectSuspended, ApiDisabled];
        assert_eq!(
            attempt(MINUTE, &suspended).await,
            (Some(ProjectSuspended), 2, 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn transient_error_continues_a_wait_but_starts_none() {
        let meanwhile = [ApiDisabled, ServerError, ServerError];
        assert_eq!(attempt(MINUTE, &meanwhile).await.0, None);
        assert_eq!(
            attempt(MINUTE, &[ServerError]).await,
            (Some(ServerError), 1, 0)
        );
    }
}
