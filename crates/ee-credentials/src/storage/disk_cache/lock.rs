//! Locks between processes, one file per cache entry.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fd_lock::RwLock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::input::blocking::detach;
use crate::storage::private_file::{lock_file, step};

/// The maximum number of locks per process, so that enough file descriptors remain for connections.
/// Without a lock, another process may request the same token.
const MAX_LOCKS: usize = 256;
/// How often to retry if another process removes the file between opening and locking it.
const MAX_ATTEMPTS: usize = 10;

static LOCKS: Semaphore = Semaphore::const_new(MAX_LOCKS);

/// A lock held by this process. The operating system releases it if the process dies. Its file is
/// removed on release, but remains if the process is killed.
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
    /// Locks a file, and creates it if necessary. Returns `None` if another process holds the lock.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let permit = LOCKS.try_acquire().map_err(io::Error::other)?;
        for _ in 0..MAX_ATTEMPTS {
            let mut lock = match lock_file(path) {
                // Another process created and removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => RwLock::new(opened?),
            };
            match lock.try_write() {
                // The lock belongs to the open file and is released when it is closed.
                Ok(guard) => std::mem::forget(guard),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let file = lock.into_inner();
            // If the previous holder has removed the file since it was opened, the next process
            // creates another one and would not see this lock.
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

    /// Removes the file and releases the lock. Blocks the calling thread.
    pub(crate) fn release(mut self) {
        if let Some(held) = self.held.take() {
            held.release();
        }
    }
}

impl Drop for Lock {
    /// Releases the lock of a task that was dropped while it waited for its token.
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

/// Returns whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Always returns `true`. If two processes lock different files, both request a token, which is
/// harmless.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}
