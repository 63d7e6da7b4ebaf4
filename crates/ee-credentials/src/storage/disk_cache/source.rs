//! A token source that looks on the disk first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use ee_token::{AccessToken, Error, TokenFuture, TokenSource, display_path};
use tokio::time::sleep;

use crate::input::blocking;
use crate::storage::disk_cache::Slot;
use crate::storage::disk_cache::lock::Lock;

/// How long a step on the disk may take. A disk that is slower costs more time than a request.
const DISK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long another process may take to fetch the token before this one fetches it too.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(2);
/// The pauses between two looks at the disk meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Takes the token that is on the disk, or fetches one and leaves it there.
#[derive(Debug)]
pub(crate) struct Kept {
    source: Arc<dyn TokenSource>,
    slot: Arc<Slot>,
    /// The token that was returned last. A caller that needs another one cannot use it: it was
    /// rejected, or is about to expire.
    last: Mutex<Option<AccessToken>>,
}

/// What a step on the disk has found.
#[derive(Debug)]
pub(crate) enum Lookup {
    Token(AccessToken),
    /// Another process holds the lock.
    Locked,
    /// No token: it must be fetched, under this lock if there can be one.
    Missing(Option<Lock>),
}

impl Kept {
    pub(crate) fn new(source: Arc<dyn TokenSource>, slot: Slot) -> Self {
        Self {
            source,
            slot: Arc::new(slot),
            last: Mutex::default(),
        }
    }

    async fn fetch_token(&self) -> Result<AccessToken, Error> {
        let spent = self.last().clone();
        let token = self.find_or_fetch(spent).await?;
        *self.last() = Some(token.clone());
        Ok(token)
    }

    async fn find_or_fetch(&self, spent: Option<AccessToken>) -> Result<AccessToken, Error> {
        let mut pauses = pauses();
        let lock = loop {
            let spent = spent.clone();
            let pause = pauses.next();
            let waits = pause.is_some();
            match self
                .on_disk(move |slot| slot.look_up(spent.as_ref(), waits))
                .await
            {
                Some(Lookup::Token(token)) => return Ok(token),
                Some(Lookup::Missing(lock)) => break lock,
                Some(Lookup::Locked) => sleep(pause.unwrap_or_default()).await,
                None => break None,
            }
        };
        let result = self.source.fetch_token().await;
        let copy = result.clone();
        self.on_disk(move |slot| slot.conclude(&copy, lock)).await;
        result
    }

    /// Takes a step on the disk. `None` if it takes too long.
    async fn on_disk<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Slot) -> T + Send + 'static,
    ) -> Option<T> {
        let slot = self.slot.clone();
        blocking::run(self.slot.cache.dir(), DISK_TIMEOUT, move || step(&slot))
            .await
            .inspect_err(|error| tracing::debug!(%error, "the token cache is not used"))
            .ok()
    }

    fn last(&self) -> MutexGuard<'_, Option<AccessToken>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses of [`MAX_WAIT`]. Their number is fixed, so that a machine on which everything takes
/// longer gives the other process more time too.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    let mut left = MAX_WAIT;
    let doubling = |pause: &Duration| Some(MAX_PAUSE.min(*pause * 2));
    std::iter::successors(Some(FIRST_PAUSE), doubling).map_while(move |pause| {
        let pause = pause.min(left);
        left -= pause;
        (!pause.is_zero()).then_some(pause)
    })
}

impl Slot {
    /// Looks for a token, and locks the entry if there is none.
    pub(crate) fn look_up(&self, spent: Option<&AccessToken>, waits: bool) -> Lookup {
        if let Some(token) = self.usable(spent) {
            return Lookup::Token(token);
        }
        let lock = match Lock::acquire(&self.lock) {
            Ok(None) if waits => return Lookup::Locked,
            Ok(lock) => lock,
            Err(error) => {
                // Some network file systems have no locks.
                tracing::debug!(file = %display_path(&self.lock), %error, "cannot be locked");
                None
            }
        };
        // Another process may have written one just before it released the lock.
        if let Some(token) = self.usable(spent) {
            if let Some(lock) = lock {
                lock.release();
            }
            return Lookup::Token(token);
        }
        if spent.is_some() {
            // No other process should use it, whether there will be a new one or not.
            self.remove();
        }
        Lookup::Missing(lock)
    }

    /// The token on the disk, if it is fresh and not the one that cannot be used.
    fn usable(&self, spent: Option<&AccessToken>) -> Option<AccessToken> {
        let entry = self.read()?;
        let is_spent = spent.is_some_and(|spent| spent.secret_eq(&entry.token));
        (!is_spent && entry.is_fresh(Utc::now())).then_some(entry.token)
    }

    /// Writes the token that was fetched, or removes that of a rejected credential, and releases
    /// the lock.
    fn conclude(&self, result: &Result<AccessToken, Error>, lock: Option<Lock>) {
        match result {
            Ok(token) => self.write(token),
            Err(error) if error.kind().is_rejection() => self.remove(),
            Err(_) => {}
        }
        if let Some(lock) = lock {
            lock.release();
        }
        if result.is_ok() {
            self.cache.sweep_at_times();
        }
    }
}

impl TokenSource for Kept {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(Self::fetch_token(self))
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.source.can_retry_after_rejection()
    }
}
