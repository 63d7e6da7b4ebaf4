//! A token source with a disk cache.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use ee_token::internal::display_path;
use ee_token::{AccessToken, Error, TokenFuture, TokenSource};
use tokio::time::sleep;

use crate::input::blocking;
use crate::storage::disk_cache::CacheFile;
use crate::storage::disk_cache::lock::Lock;

/// The timeout of a disk operation. A slower disk costs more time than a request.
const DISK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait for another process to fetch the token.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(2);
/// The pauses between looking at the disk while waiting.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Returns the token on the disk, or fetches one and caches it there.
#[derive(Debug)]
pub(crate) struct CachedOnDisk {
    source: Arc<dyn TokenSource>,
    file: Arc<CacheFile>,
    /// The token that was returned last. It must not be returned again: a caller that requests
    /// another one found it rejected or about to expire.
    last: Mutex<Option<AccessToken>>,
}

/// The result of looking up a token on the disk.
#[derive(Debug)]
pub(crate) enum Lookup {
    Token(AccessToken),
    /// Another process holds the lock.
    Locked,
    /// There is no token. It must be fetched, under this lock if one could be acquired.
    Missing(Option<Lock>),
}

impl CachedOnDisk {
    pub(crate) fn new(source: Arc<dyn TokenSource>, file: CacheFile) -> Self {
        Self {
            source,
            file: Arc::new(file),
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
                .with_file(move |file| file.look_up(spent.as_ref(), waits))
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
        self.with_file(move |file| file.record_result(&copy, lock))
            .await;
        result
    }

    /// Runs a disk operation on a separate thread. Returns `None` if it takes too long.
    async fn with_file<T: Send + 'static>(
        &self,
        step: impl FnOnce(&CacheFile) -> T + Send + 'static,
    ) -> Option<T> {
        let file = self.file.clone();
        blocking::run(self.file.cache.dir(), DISK_TIMEOUT, move || step(&file))
            .await
            .inspect_err(|error| tracing::debug!(%error, "the disk cache is skipped"))
            .ok()
    }

    fn last(&self) -> MutexGuard<'_, Option<AccessToken>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns pauses that add up to [`MAX_WAIT`]. Their number is fixed, so that on a slow machine the
/// other process has more time, too.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    let mut left = MAX_WAIT;
    let doubling = |pause: &Duration| Some(MAX_PAUSE.min(*pause * 2));
    std::iter::successors(Some(FIRST_PAUSE), doubling).map_while(move |pause| {
        let pause = pause.min(left);
        left -= pause;
        (!pause.is_zero()).then_some(pause)
    })
}

impl CacheFile {
    /// Looks up a token, and locks the entry if it is missing.
    pub(crate) fn look_up(&self, spent: Option<&AccessToken>, waits: bool) -> Lookup {
        if let Some(token) = self.usable(spent) {
            return Lookup::Token(token);
        }
        let lock = match Lock::acquire(&self.lock) {
            Ok(None) if waits => return Lookup::Locked,
            Ok(lock) => lock,
            Err(error) => {
                // Some network file systems have no locks.
                tracing::debug!(file = %display_path(&self.lock), %error, "cannot lock");
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
            // No other process should use the spent token.
            self.remove();
        }
        Lookup::Missing(lock)
    }

    /// Returns the token on the disk if it is fresh and not the spent one.
    fn usable(&self, spent: Option<&AccessToken>) -> Option<AccessToken> {
        let entry = self.read()?;
        let is_spent = spent.is_some_and(|spent| spent.secret_eq(&entry.token));
        (!is_spent && entry.is_fresh(Utc::now())).then_some(entry.token)
    }

    /// Writes a fetched token, removes the token of a rejected credential, and releases the lock.
    fn record_result(&self, result: &Result<AccessToken, Error>, lock: Option<Lock>) {
        match result {
            Ok(token) => self.write(token),
            Err(error) if error.kind().is_rejection() => self.remove(),
            Err(_) => {}
        }
        if let Some(lock) = lock {
            lock.release();
        }
        if result.is_ok() {
            self.cache.sweep_if_due();
        }
    }
}

impl TokenSource for CachedOnDisk {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(Self::fetch_token(self))
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.source.can_retry_after_rejection()
    }
}
