//! Access tokens kept on disk, so that programs which run for a second do not ask for a new
//! one each time.
//!
//! A token is sealed with a key that only its credential gives: the file is of no use to
//! whoever finds it without the credential, and a token that somebody else put there is not
//! believed. Nothing but access tokens is ever kept, and nothing here fails: without a cache
//! that works, a token is asked for.

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

use ee_token::{AccessToken, Endpoint, Endpoints, PrintablePath, display_path};
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::input::quote::hex;
use crate::kinds::credential::Credential;
use crate::storage::private_file::{self, Replacement, random_name, step};
use crate::{CredentialKind, Environment, Error};
use entry::{Entry, SealingKey};
use lock::Lock;
use source::Kept;

/// Names of the files change with their format.
const ENDING: &str = "token1";
const LOCK_ENDING: &str = "lock";
/// Far more than any access token.
const MAX_FILE: u64 = 64 << 10;
/// No access token lives longer than twelve hours.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// A folder may hold the tokens of very many credentials: it is not looked through for each.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(3600);

/// A folder with access tokens for the next start of a program, given to
/// [`CredentialOptions::disk_cache`](crate::CredentialOptions::disk_cache).
///
/// Of the credentials in files and variables, those are kept that say by themselves whose
/// tokens they bring: a service account's key and every sort of login. Several processes may
/// use it at once: if there is no token, one of them requests it, and the others wait for up to
/// 2 seconds. A disk that does not respond within half a second is not waited for.
///
/// A token that was refused, or whose credential was, is dropped. Whoever ends a login calls
/// [`DiskTokenCache::clear`].
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
    folder: PrintablePath,
}

impl DiskTokenCache {
    /// The one in the user's cache folder ([`Environment::cache_dir`]); `None` if there is no
    /// such folder. Nothing is made until there is a token to keep.
    ///
    /// # Errors
    /// As [`Environment::cache_dir`].
    pub fn open(environment: &Environment) -> Result<Option<Self>, Error> {
        let folder = environment.cache_dir()?;
        Ok(folder.map(|folder| Self::at(folder.join("tokens"))))
    }

    /// The one in this folder, which should hold nothing else and be nobody else's.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: PrintablePath::from(folder),
        }
    }

    /// Where it is, whether it exists or not.
    pub fn dir(&self) -> &Path {
        &self.folder
    }

    /// Drops every token, and returns how many there were. To be called when a login ends. Runs in
    /// the calling thread.
    ///
    /// # Errors
    /// If there is one that cannot be removed; the message names it.
    pub fn clear(&self) -> io::Result<usize> {
        let mut dropped = 0;
        for path in self.files(ENDING)? {
            match fs::remove_file(&path) {
                Ok(()) => {
                    step("token dropped");
                    dropped += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("{} cannot be removed: {error}", display_path(&path));
                    return Err(io::Error::new(error.kind(), message));
                }
            }
        }
        for path in self.files(LOCK_ENDING)? {
            remove_lock(&path);
        }
        Ok(dropped)
    }

    /// The files with this ending: tokens, with what a killed process left of one, or locks.
    fn files(&self, ending: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.folder.as_path()) {
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
                let message = format!("{} cannot be read: {error}", self.folder);
                return Err(io::Error::new(error.kind(), message));
            }
        };
        let is_ours = |path: &PathBuf| path.extension().is_some_and(|e| e == ending);
        Ok(entries
            .flatten()
            .map(|e| e.path())
            .filter(is_ours)
            .collect())
    }

    /// [`DiskTokenCache::sweep`], if this process has not done so for a while.
    fn sweep_at_times(&self) {
        static SWEPT: Mutex<BTreeMap<PrintablePath, Instant>> = Mutex::new(BTreeMap::new());
        let now = Instant::now();
        {
            let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
            let last = swept.get(&self.folder);
            if last.is_some_and(|last| now.duration_since(*last) < BETWEEN_SWEEPS) {
                return;
            }
            swept.insert(self.folder.clone(), now);
        }
        self.sweep();
    }

    /// Removes the tokens that have expired long ago, such as those of a key that was rotated,
    /// and the locks of killed processes.
    fn sweep(&self) {
        let is_abandoned = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            age.is_ok_and(|age| age > ABANDONED)
        };
        let abandoned = |ending| {
            let files = self.files(ending).unwrap_or_default();
            files.into_iter().filter(is_abandoned)
        };
        for path in abandoned(ENDING) {
            // One that stays does no harm.
            if fs::remove_file(&path).is_ok() {
                step("token swept");
            }
        }
        for path in abandoned(LOCK_ENDING) {
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

/// Keeps the tokens of a credential that was read from `text`.
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
    let slot = Slot::new(cache.clone(), &credential, text, subject, endpoints);
    Credential {
        source: Arc::new(Kept::new(credential.source, slot)),
        ..credential
    }
}

/// Whether the text alone says whose token it brings. Federation and metadata servers ask
/// something else as well, which may answer differently tomorrow.
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

/// The place of one credential's tokens for one purpose.
#[derive(Debug)]
struct Slot {
    cache: DiskTokenCache,
    path: PrintablePath,
    /// The file whose lock lets one process at a time request a token. No two entries share one.
    lock: PrintablePath,
    key: SealingKey,
}

impl Slot {
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
            path: cache.folder.join(format!("{name}.{ENDING}")).into(),
            lock: cache.folder.join(format!("{name}.{LOCK_ENDING}")).into(),
            key,
            cache,
        }
    }

    /// What is there, if it can be believed.
    fn read(&self) -> Option<Entry> {
        let file = private_file::open_own(&self.path, OpenOptions::new().read(true)).ok()?;
        let mut sealed = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut sealed).ok()?;
        let entry = self.key.open(&mut sealed);
        if entry.is_none() {
            tracing::debug!(file = %self.path, "the kept token cannot be used");
        }
        entry
    }

    fn write(&self, token: &AccessToken) {
        let Some(sealed) = self.key.seal(token) else {
            return;
        };
        if let Err(error) = self.replace(&sealed) {
            tracing::debug!(file = %self.path, %error, "the token is not kept");
        }
    }

    /// Puts a new file in the place of the old one, whole. It is not forced to the disk: what
    /// a power cut leaves of it does not open, and is written again.
    fn replace(&self, contents: &[u8]) -> io::Result<()> {
        let name = format!("{}.{ENDING}", random_name()?);
        Replacement::write(self.cache.folder.join(name), contents)?.put(&self.path)
    }

    fn remove(&self) {
        match fs::remove_file(self.path.as_path()) {
            Ok(()) => step("token removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = %self.path, %error, "a dead token cannot be removed");
            }
        }
    }
}

/// SHA-256 of the parts, each with its length, so that no two lists of parts look alike.
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
