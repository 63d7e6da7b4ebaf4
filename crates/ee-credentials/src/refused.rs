//! Refusals that may end without anybody touching the credential: a role that was granted a
//! moment ago, an account that is attached to the machine while the program runs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between a refusal and the next attempt. Nothing shows from here whether it
/// would be refused again.
const PAUSE: Duration = Duration::from_secs(10);

/// When a source was last refused, if the last that was heard is a refusal.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<Option<Instant>>);

impl Refused {
    /// Notes what was heard last.
    pub(crate) fn note(&self, is_refusal: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = is_refusal.then(Instant::now);
    }

    /// Whether the last refusal is long enough ago for another attempt.
    pub(crate) fn is_over(&self) -> bool {
        let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() >= PAUSE)
    }
}

/// Lets the pause pass for everything in this test, without waiting.
#[cfg(test)]
pub(crate) async fn pass_the_pause() {
    tokio::time::pause();
    tokio::time::advance(PAUSE).await;
    tokio::time::resume();
}
