//! The disk cache of access tokens, for short-lived programs.
//!
//! Each token is encrypted and authenticated with a key derived from its credential. Without the
//! credential the file is useless, and a token written by another user is not accepted. Only access
//! tokens are cached. A cache that does not work is never an error: the token is then requested.

mod entry;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod lock;
mod source;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ee_token::internal::{PrintablePath, display_path};
use ee_token::{AccessToken, Endpoint, Endpoints};
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::input::quote::hex;
use crate::kinds::credential::Credential;
use crate::storage::private_file::{self, Replacement, random_name, step};
use crate::{CredentialKind, Environment, Error};
use entry::{Entry, SealingKey};
use lock::Lock;
use source::CachedOnDisk;

/// The extension of cache files, which changes with their format.
const EXTENSION: &str = "token1";
const LOCK_EXTENSION: &str = "lock";
/// Much more than the size of an access token.
const MAX_FILE: u64 = 64 << 10;
/// The age after which a file is removed. Access tokens are valid for at most twelve hours.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often a process removes old files, because a directory can contain very many.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// A directory of access tokens that outlive a process, for
/// [`CredentialOptions::disk_cache`](crate::CredentialOptions::disk_cache).
///
/// Tokens of credentials in files and variables are cached if the credential identifies its account:
/// service account keys and user logins. Processes can share the directory: if there is no token,
/// one of them requests it, and the others wait for up to 2 seconds. If the disk does not respond
/// within half a second, the token is requested without the cache.
///
/// A token is dropped if it is rejected, or if its credential is. A program that ends a login should
/// call [`DiskTokenCache::clear`].
///
/// ```
/// use ee_credentials::{DiskTokenCache, Environment, Platform};
///
/// let jane = Environment::empty().with_os(Platform::Linux).with_home("/home/jane");
/// let cache = DiskTokenCache::open(&jane)?.unwrap();
/// assert_eq!(cache.dir().to_str(), Some("/home/jane/.cache/earthengine/tokens"));
/// # Ok::<(), ee_credentials::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskTokenCache {
    dir: PrintablePath,
}

impl DiskTokenCache {
    /// Returns the cache in the user's cache directory ([`Environment::cache_dir`]), or `None` if
    /// there is no such directory. Directories are created when the first token is cached.
    ///
    /// # Errors
    ///
    /// The same as for [`Environment::cache_dir`].
    pub fn open(environment: &Environment) -> Result<Option<Self>, Error> {
        let dir = environment.cache_dir()?;
        Ok(dir.map(|dir| Self::at(dir.join("tokens"))))
    }

    /// Returns the cache in a directory, which should belong to the user and contain nothing else.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: PrintablePath::from(dir),
        }
    }

    /// Returns the cache directory. It may not exist.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Deletes every token and returns their number. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// Returns an error that names the file if a token cannot be deleted.
    pub fn clear(&self) -> io::Result<usize> {
        let mut dropped = 0;
        for path in self.files(EXTENSION)? {
            match fs::remove_file(&path) {
                Ok(()) => {
                    step("token dropped");
                    dropped += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("cannot remove {}: {error}", display_path(&path));
                    return Err(io::Error::new(error.kind(), message));
                }
            }
        }
        for path in self.files(LOCK_EXTENSION)? {
            remove_lock(&path);
        }
        Ok(dropped)
    }

    /// Returns the files with an extension: tokens, including temporary files of killed processes,
    /// or locks.
    fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.dir.as_path()) {
            Ok(entries) => entries,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", self.dir);
                return Err(io::Error::new(error.kind(), message));
            }
        };
        let has_extension = |path: &PathBuf| path.extension().is_some_and(|e| e == extension);
        Ok(entries
            .flatten()
            .map(|e| e.path())
            .filter(has_extension)
            .collect())
    }

    /// Calls [`DiskTokenCache::sweep`] at most once per [`SWEEP_INTERVAL`].
    fn sweep_if_due(&self) {
        static SWEPT: Mutex<BTreeMap<PrintablePath, Instant>> = Mutex::new(BTreeMap::new());
        let now = Instant::now();
        {
            let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
            let last = swept.get(&self.dir);
            if last.is_some_and(|last| now.duration_since(*last) < SWEEP_INTERVAL) {
                return;
            }
            swept.insert(self.dir.clone(), now);
        }
        self.sweep();
    }

    /// Removes expired tokens, such as those of rotated keys, and the locks of killed processes.
    fn sweep(&self) {
        let is_abandoned = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            age.is_ok_and(|age| age > MAX_AGE)
        };
        let abandoned = |extension| {
            let files = self.files(extension).unwrap_or_default();
            files.into_iter().filter(is_abandoned)
        };
        for path in abandoned(EXTENSION) {
            // A file that cannot be removed is harmless.
            if fs::remove_file(&path).is_ok() {
                step("token swept");
            }
        }
        for path in abandoned(LOCK_EXTENSION) {
            remove_lock(&path);
        }
    }
}

/// Removes a lock file that no process holds.
fn remove_lock(path: &Path) {
    if let Ok(Some(lock)) = Lock::acquire(path) {
        lock.release();
    }
}

/// Adds the disk cache to a credential parsed from `text`.
pub(crate) fn keep(
    credential: Credential,
    text: &str,
    cache: &DiskTokenCache,
    subject: Option<&str>,
    endpoints: &Endpoints,
) -> Credential {
    if !is_whole(credential.kind, text) {
        return credential;
    }
    let slot = CacheFile::new(cache.clone(), &credential, text, subject, endpoints);
    Credential {
        source: Arc::new(CachedOnDisk::new(credential.source, slot)),
        ..credential
    }
}

/// Returns whether the text alone identifies the account of its tokens. Federation and metadata
/// servers depend on other sources, which can change.
fn is_whole(kind: CredentialKind, text: &str) -> bool {
    #[derive(Deserialize)]
    struct Impersonated {
        source_credentials: Typed,
    }
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    match kind {
        CredentialKind::ServiceAccount
        | CredentialKind::AuthorizedUser
        | CredentialKind::EarthEngineFile
        | CredentialKind::ExternalAccountAuthorizedUser => true,
        CredentialKind::ImpersonatedServiceAccount => serde_json::from_str::<Impersonated>(text)
            .is_ok_and(|outer| {
                let source = outer.source_credentials.r#type;
                matches!(
                    source.as_str(),
                    "service_account" | "authorized_user" | "external_account_authorized_user"
                )
            }),
        _ => false,
    }
}

/// The cache file of one credential with its scopes and subject.
#[derive(Debug)]
struct CacheFile {
    cache: DiskTokenCache,
    path: PrintablePath,
    /// The lock file of this entry, under which one process at a time requests a token.
    lock: PrintablePath,
    key: SealingKey,
}

impl CacheFile {
    fn new(
        cache: DiskTokenCache,
        credential: &Credential,
        text: &str,
        subject: Option<&str>,
        endpoints: &Endpoints,
    ) -> Self {
        let emulator = endpoints.emulator_address().map(|a| a.to_string());
        let scopes = credential.scopes.as_ref().map(ToString::to_string);
        let parts = [
            Some(text),
            Some(credential.kind.as_str()),
            credential.principal.as_deref(),
            subject,
            scopes.as_deref(),
            Some(endpoints.url(Endpoint::Token).as_str()),
            emulator.as_deref(),
        ];
        let name = hex(&hash("earthengine token cache: name", &parts)[..16]);
        let key = SealingKey::new(&hash("earthengine token cache: key", &parts));
        Self {
            path: cache.dir.join(format!("{name}.{EXTENSION}")).into(),
            lock: cache.dir.join(format!("{name}.{LOCK_EXTENSION}")).into(),
            key,
            cache,
        }
    }

    /// Reads the entry. Returns `None` if it is missing or not authentic.
    fn read(&self) -> Option<Entry> {
        let file = private_file::open_own(&self.path, OpenOptions::new().read(true)).ok()?;
        let mut sealed = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut sealed).ok()?;
        let entry = self.key.open(&mut sealed);
        if entry.is_none() {
            tracing::debug!(file = %self.path, "the cached token is invalid");
        }
        entry
    }

    fn write(&self, token: &AccessToken) {
        let Some(sealed) = self.key.seal(token) else {
            return;
        };
        if let Err(error) = self.replace(&sealed) {
            tracing::debug!(file = %self.path, %error, "cannot cache the token");
        }
    }

    /// Replaces the file atomically. It is not flushed to the disk: after a power failure, a
    /// damaged file is not authentic and is overwritten.
    fn replace(&self, contents: &[u8]) -> io::Result<()> {
        let name = format!("{}.{EXTENSION}", random_name()?);
        Replacement::write(self.cache.dir.join(name), contents)?.persist(&self.path)
    }

    fn remove(&self) {
        match fs::remove_file(self.path.as_path()) {
            Ok(()) => step("token removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = %self.path, %error, "cannot remove a rejected token");
            }
        }
    }
}

/// Returns the SHA-256 of the parts, each with its length, so that different lists never collide.
fn hash(purpose: &str, parts: &[Option<&str>]) -> Zeroizing<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    context.update(purpose.as_bytes());
    for part in parts {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default().as_bytes());
    }
    let mut hash = Zeroizing::new([0; 32]);
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests;
