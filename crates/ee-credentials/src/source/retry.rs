//! The loop in which requests that failed for the moment are sent again.

use std::future::Future;
use std::time::Duration;

use ee_token::{Error, RetryPolicy};
use tokio::time::Instant;

/// Why an attempt came to nothing.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether another may help.
    pub(crate) again: bool,
    /// The wait that the server asked for.
    pub(crate) pause: Option<Duration>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            again: error.is_transient(),
            error,
            pause: None,
        }
    }
}

/// Attempts as often as the policy allows. A wait that would be longer than the time which is
/// left is not begun.
pub(crate) async fn retried<T, F>(
    policy: &RetryPolicy,
    host: &str,
    attempt: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    let started = Instant::now();
    let mut tried = 0;
    loop {
        let Failure {
            error,
            again,
            pause,
        } = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let wait = pause.unwrap_or_default().max(policy.backoff(tried));
        let is_late = wait > policy.max_elapsed.saturating_sub(started.elapsed());
        if !again || tried >= policy.max_retries || is_late {
            return Err(error);
        }
        tracing::debug!(host, tried, %error, "a request failed, and is sent again");
        tokio::time::sleep(wait).await;
        tried += 1;
    }
}
