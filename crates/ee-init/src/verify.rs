//! Whether a project may use Earth Engine: the requests that verify it, and the patience with
//! what passes by itself.

use std::borrow::Cow;
use std::time::Duration;

use ee_rest::{ApiError, Client};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::project::registration::{ProjectConfig, Registration};
use crate::refusal::{ErrorContext, explain, not_registered};
use crate::{Error, ErrorKind};

/// How far connecting verifies the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum VerifyLevel {
    /// Not at all: what is wrong shows in the first call.
    Skip,
    /// The project's configuration is read, which tells whether the caller may use the project,
    /// whether the API is enabled, and how the project is registered. One request; one more
    /// where the caller may compute and not read the configuration: a constant is computed then.
    #[default]
    Config,
    /// The configuration is read, and a constant computed. Two requests.
    Compute,
}

/// The permission to read the configuration. It is younger than the one to compute, and roles
/// that people made themselves lack it.
const READ_CONFIG: &str = "earthengine.config.get";

/// The first wait before a refusal that passes by itself is looked at again, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What verifying has told.
pub(crate) struct Verified {
    pub(crate) registration: Registration,
    /// What Earth Engine wants to be shown when a program starts.
    pub(crate) init_message: Option<String>,
}

impl Verified {
    fn untold(registration: Registration) -> Self {
        Self {
            registration,
            init_message: None,
        }
    }
}

async fn verify(
    level: VerifyLevel,
    client: &Client,
    project: &str,
    context: &ErrorContext,
) -> Result<Verified, Error> {
    let verified = match level {
        VerifyLevel::Skip => return Ok(Verified::untold(Registration::Unverified)),
        VerifyLevel::Config | VerifyLevel::Compute => match read_config(client).await {
            Ok(verified) => verified,
            Err(error) if may_not_read_config(error.api()) => {
                compute_a_constant(client, context).await?;
                return Ok(Verified::untold(Registration::Unspecified));
            }
            Err(error) => return Err(explain(error, context)),
        },
    };
    if verified.registration == Registration::NotRegistered {
        return Err(not_registered(project));
    }
    if level == VerifyLevel::Compute {
        compute_a_constant(client, context).await?;
    }
    Ok(verified)
}

async fn read_config(client: &Client) -> Result<Verified, ee_rest::Error> {
    let response = client.request(Method::GET, "config").send().await?;
    let config: ProjectConfig = response.json()?;
    Ok(Verified {
        registration: config
            .registration_state
            .unwrap_or(Registration::Unspecified),
        init_message: response.init_message().map(Cow::into_owned),
    })
}

/// Whether the one thing that was refused is to read the configuration. Who is told so got past
/// everything before it: the project is theirs to use, and the API is enabled.
pub(crate) fn may_not_read_config(refusal: Option<&ApiError>) -> bool {
    refusal.is_some_and(|api| {
        api.status.as_u16() == 403
            && (api.metadata.get("permission").map(String::as_str) == Some(READ_CONFIG)
                || api.message.contains(&format!("'{READ_CONFIG}'")))
    })
}

async fn compute_a_constant(client: &Client, context: &ErrorContext) -> Result<(), Error> {
    let one = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    let answer: Result<Value, _> = client.compute(&one).await;
    answer.map(drop).map_err(|error| explain(error, context))
}

/// Verifies the project, again and again while what is wrong passes by itself and there is patience left.
pub(crate) async fn verify_with_patience(
    level: VerifyLevel,
    client: &Client,
    project: &str,
    context: &ErrorContext,
    patience: Duration,
) -> Result<Verified, Error> {
    patiently(patience, || verify(level, client, project, context)).await
}

/// Tries until it works, or fails in a way that does not pass by itself, or the patience is over.
/// Once it waits, a server that fails for a moment does not end the wait.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    patience: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut wait = FIRST_WAIT;
    let mut waited = false;
    loop {
        let error = match attempt().await {
            Err(error)
                if error.kind().may_resolve_after_propagation()
                    || waited && error.is_transient() =>
            {
                error
            }
            result => return result,
        };
        // What is left, and not until when: a patience without end is later than any moment.
        let left = patience.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        tracing::info!(
            kind = error.kind().code(),
            ?left,
            "waiting for a change to be known"
        );
        sleep(wait.min(left)).await;
        waited = true;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

impl ErrorKind {
    /// Whether this is what people see for a few minutes after they put it right: the API was
    /// just enabled, the role just granted, the project just registered.
    /// [`EarthEngineBuilder::connect_with_patience`](crate::EarthEngineBuilder::connect_with_patience) waits for it.
    pub fn may_resolve_after_propagation(self) -> bool {
        matches!(
            self,
            Self::ApiDisabled | Self::ProjectDenied | Self::PermissionDenied | Self::NotRegistered
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Fails in these ways, one after the other, and then no more. Returns how it ended, after how
    /// many attempts and how much (paused) time.
    async fn tried(patience: Duration, failures: &[ErrorKind]) -> (Option<ErrorKind>, usize, u64) {
        let started = Instant::now();
        let attempts = Cell::new(0);
        let ended = patiently(patience, || {
            let failure = failures.get(attempts.get()).copied();
            attempts.set(attempts.get() + 1);
            async move { failure.map_or(Ok(()), |kind| Err(Error::new(kind, "refused"))) }
        })
        .await;
        let kind = ended.err().map(|error| error.kind());
        (kind, attempts.get(), started.elapsed().as_secs())
    }

    const MINUTE: Duration = Duration::from_secs(60);
    use ErrorKind::{ApiDisabled, ProjectDenied, ProjectSuspended, ServerError};

    #[tokio::test(start_paused = true)]
    async fn what_passes_by_itself_is_waited_for_ever_longer() {
        let passing = [ApiDisabled, ApiDisabled, ProjectDenied];
        assert_eq!(tried(MINUTE, &passing).await, (None, 4, 2 + 4 + 8));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_patience_is_over_the_last_refusal_is_told() {
        let (kind, attempts, seconds) = tried(MINUTE, &[ApiDisabled; 50]).await;
        // After 2, 4, 8, 16 and 20 seconds, and the ten that are left.
        assert_eq!((kind, attempts, seconds), (Some(ApiDisabled), 7, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn without_patience_there_is_one_attempt() {
        let none = Duration::ZERO;
        assert_eq!(tried(none, &[ApiDisabled]).await, (Some(ApiDisabled), 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_patience_without_end_is_no_overflow() {
        assert_eq!(tried(Duration::MAX, &[ApiDisabled; 3]).await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_ends_the_wait_at_once() {
        let suspended = [ApiDisabled, ProjectSuspended, ApiDisabled];
        assert_eq!(
            tried(MINUTE, &suspended).await,
            (Some(ProjectSuspended), 2, 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_for_a_moment_ends_no_wait_and_begins_none() {
        let meanwhile = [ApiDisabled, ServerError, ServerError];
        assert_eq!(tried(MINUTE, &meanwhile).await.0, None);
        assert_eq!(
            tried(MINUTE, &[ServerError]).await,
            (Some(ServerError), 1, 0)
        );
    }
}
