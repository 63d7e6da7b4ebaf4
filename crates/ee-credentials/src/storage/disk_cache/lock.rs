//! Locks between processes: one file for each entry of the cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fd_lock::RwLock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::input::blocking::detach;
use crate::storage::private_file::{lock_file, step};

/// The most locks that a process holds at a time, so that enough files are left for connections.
/// A token that is requested without a lock may be requested by another process too.
const MAX_LOCKS: usize = 256;
/// How often another process may remove the file between opening and locking it.
const ATTEMPTS: usize = 10;

static LOCKS: Semaphore = Semaphore::const_new(MAX_LOCKS);

/// A lock that this process holds. It ends with the process, however that ends; its file goes
/// with it unless the process is killed.
#[derive(Debug)]
pub(crate) struct Lock {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    file: File,
    _permit: SemaphorePermit<'static>,
}

impl Lock {
    /// Locks the file, and creates it if necessary. `None` if another process holds it.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let permit = LOCKS.try_acquire().map_err(io::Error::other)?;
        for _ in 0..ATTEMPTS {
            let mut lock = match lock_file(path) {
                // Another process created it, and removed it again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => RwLock::new(opened?),
            };
            match lock.try_write() {
                // The lock belongs to the open file, and ends when that is closed.
                Ok(guard) => std::mem::forget(guard),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let file = lock.into_inner();
            // Otherwise its holder has removed it since it was opened: the next process creates
            // another one, and would not see this lock.
            if is_at(&file, path) {
                return Ok(Some(Self {
                    held: Some(Held {
                        path: path.to_owned(),
                        file,
                        _permit: permit,
                    }),
                }));
            }
        }
        Ok(None)
    }

    /// Removes the file and ends the lock, in the calling thread.
    pub(crate) fn release(mut self) {
        if let Some(held) = self.held.take() {
            held.release();
        }
    }
}

impl Drop for Lock {
    /// Of a task that was dropped while it waited for its token.
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            detach(|| held.release());
        }
    }
}

impl Held {
    fn release(self) {
        if is_at(&self.file, &self.path) && fs::remove_file(&self.path).is_ok() {
            step("lock removed");
        }
    }
}

/// Whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Two processes that lock different files each request a token, which does no harm.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}
