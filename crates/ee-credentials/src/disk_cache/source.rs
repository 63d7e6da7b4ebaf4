//! A token source that looks on the disk first.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use ee_token::{AccessToken, Error, TokenFuture, TokenSource};
use fd_lock::RwLock;
use tokio::time::Instant;

use super::Slot;

/// How long another process may take over a token before this one asks for its own.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the token that is on the disk, or asks for one and leaves it there.
#[derive(Debug)]
pub(super) struct Kept {
    source: Arc<dyn TokenSource>,
    slot: Slot,
    /// What was handed out last. Whoever asks again wants another: it was refused, or is
    /// coming to its end.
    last: Mutex<Option<AccessToken>>,
}

impl Kept {
    pub(super) fn new(source: Arc<dyn TokenSource>, slot: Slot) -> Self {
        Self {
            source,
            slot,
            last: Mutex::default(),
        }
    }

    async fn mint(&self) -> Result<AccessToken, Error> {
        let spent = self.last().clone();
        let token = self.find_or_ask(spent.as_ref()).await?;
        *self.last() = Some(token.clone());
        Ok(token)
    }

    async fn find_or_ask(&self, spent: Option<&AccessToken>) -> Result<AccessToken, Error> {
        if let Some(token) = self.kept(spent) {
            return Ok(token);
        }
        let file = match self.slot.lock_file() {
            Ok(file) => file,
            Err(error) => {
                tracing::debug!(%error, "tokens cannot be kept");
                return self.source.mint().await;
            }
        };
        let mut lock = RwLock::new(file);
        let started = Instant::now();
        // It goes with the process, however that ends.
        let _held = loop {
            match lock.try_write() {
                Ok(held) => break Some(held),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if started.elapsed() > PATIENCE {
                        break None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some network file systems have no locks.
                Err(_) => break None,
            }
            tokio::time::sleep(PAUSE).await;
            if let Some(token) = self.kept(spent) {
                return Ok(token);
            }
        };
        // Another process may have brought one just before it let go.
        if let Some(token) = self.kept(spent) {
            return Ok(token);
        }
        self.ask(spent).await
    }

    async fn ask(&self, spent: Option<&AccessToken>) -> Result<AccessToken, Error> {
        if spent.is_some() {
            // Whatever comes of it: nobody else should try the old one.
            self.slot.remove();
        }
        let result = self.source.mint().await;
        match &result {
            Ok(token) => self.slot.write(token),
            Err(error) if error.kind().is_rejection() => self.slot.remove(),
            Err(_) => {}
        }
        result
    }

    /// The token on the disk, if it is fresh and is not the one that will not do.
    fn kept(&self, spent: Option<&AccessToken>) -> Option<AccessToken> {
        let entry = self.slot.read()?;
        let is_spent = spent.is_some_and(|spent| spent.is_same(&entry.token));
        (!is_spent && entry.is_fresh(Utc::now())).then_some(entry.token)
    }

    fn last(&self) -> MutexGuard<'_, Option<AccessToken>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenSource for Kept {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(Self::mint(self))
    }

    fn may_have_changed(&self) -> bool {
        self.source.may_have_changed()
    }
}
