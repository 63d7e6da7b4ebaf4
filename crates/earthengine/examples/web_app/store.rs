//! Sessions on disk, so that users stay signed in when the server restarts.
//!
//! Each session is a file that is named after a hash of the session's ID and encrypted with a key
//! derived from the ID. Only the browser has the ID, so that the files alone, such as a backup of
//! them, reveal neither users nor tokens, and there is no other key to keep.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::SecretString;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::session::MAX_AGE;

/// A file is smaller than this, in bytes.
const MAX_SIZE: u64 = 64 * 1024;
const EXTENSION: &str = "session";

/// What is kept of a session.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Seconds since the Unix epoch.
    since: u64,
    #[serde(serialize_with = "expose")]
    pub(crate) refresh_token: SecretString,
    pub(crate) missing: Vec<String>,
    pub(crate) project: Option<String>,
}

fn expose<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Saved {
    pub(crate) fn new(
        since: SystemTime,
        refresh_token: SecretString,
        missing: Vec<String>,
        project: Option<String>,
    ) -> Self {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            since: since.as_secs(),
            refresh_token,
            missing,
            project,
        }
    }

    pub(crate) fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.since)
    }
}

/// A directory of encrypted sessions. All methods block.
#[derive(Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    /// Opens a directory, which is created if necessary, and removes expired sessions.
    pub(crate) fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let store = Self(dir.into());
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&store.0)?;
        store.remove_expired()?;
        Ok(store)
    }

    pub(crate) fn save(&self, id: &str, session: &Saved) -> io::Result<()> {
        self.remove_expired()?;
        let keys = Keys::derive(id)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(crypto)?;
        let mut sealed = serde_json::to_vec(session)?;
        keys.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(crypto)?;
        // Complete files only: written beside the old one, and renamed.
        let path = self.path(&keys.name);
        let temporary = path.with_extension("new");
        let result = private_file(&temporary)
            .and_then(|mut file| {
                file.write_all(&nonce)?;
                file.write_all(&sealed)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &path));
        if result.is_err() {
            // The first error is reported.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Returns the session with this ID, or `None` if it does not exist. A file that was damaged or
    /// changed is ignored.
    pub(crate) fn load(&self, id: &str) -> io::Result<Option<Saved>> {
        let keys = Keys::derive(id)?;
        let file = match File::open(self.path(&keys.name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut bytes)?;
        let Some((nonce, sealed)) = bytes.split_first_chunk_mut::<NONCE_LEN>() else {
            return Ok(None);
        };
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = keys.key.open_in_place(nonce, Aad::empty(), sealed);
        Ok(opened
            .ok()
            .and_then(|json| serde_json::from_slice(json).ok()))
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(&Keys::derive(id)?.name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes files older than any valid session.
    fn remove_expired(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_session = entry.path().extension().is_some_and(|e| e == EXTENSION);
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|changed| changed.elapsed().ok());
            if is_session && age.is_some_and(|age| age > MAX_AGE) {
                // Another process may have removed it.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name).with_extension(EXTENSION)
    }
}

/// What is derived from a session's ID (HKDF, RFC 5869).
struct Keys {
    name: String,
    key: LessSafeKey,
}

impl Keys {
    fn derive(id: &str) -> io::Result<Self> {
        let salt = Salt::new(HKDF_SHA256, b"sessions of web_app");
        let secret = salt.extract(id.as_bytes());
        let mut name = [0; 32];
        secret
            .expand(&[b"file name"], Length(name.len()))
            .and_then(|bytes| bytes.fill(&mut name))
            .map_err(crypto)?;
        let key = secret.expand(&[b"encryption"], &AES_256_GCM);
        Ok(Self {
            name: URL_SAFE_NO_PAD.encode(name),
            key: LessSafeKey::new(key.map(UnboundKey::from).map_err(crypto)?),
        })
    }
}

/// The length of derived bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn crypto(_: ring::error::Unspecified) -> io::Error {
    io::Error::other("the session could not be encrypted")
}

/// Creates a file that only its owner can read. A file that was left by a crash is replaced.
fn private_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Saved {
        let project = Some("my-project".to_owned());
        Saved::new(SystemTime::now(), "1//canary".into(), Vec::new(), project)
    }

    /// Returns the path of the only file.
    fn file(store: &Store) -> PathBuf {
        let mut files = fs::read_dir(&store.0).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        file
    }

    #[test]
    fn saved_session_is_readable_only_with_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("sessions")).unwrap();
        store.save("id", &session()).unwrap();
        store.save("id", &session()).unwrap();
        let loaded = store.load("id").unwrap().unwrap();
        assert_eq!(loaded.refresh_token.expose_secret(), "1//canary");
        assert_eq!(loaded.project.as_deref(), Some("my-project"));
        assert!(store.load("another id").unwrap().is_none());

        let path = file(&store);
        let bytes = fs::read(&path).unwrap();
        for text in ["canary", "my-project"] {
            let is_readable = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!is_readable, "{text}");
        }
        assert_ne!(path.file_stem().unwrap(), "id");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&store.0)), (0o600, 0o700));
        }
        store.remove("id").unwrap();
        store.remove("id").unwrap();
        assert!(store.load("id").unwrap().is_none());
    }

    #[test]
    fn changed_and_expired_files_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.save("id", &session()).unwrap();
        let path = file(&store);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        for damaged in [&bytes[..], &bytes[..5], &[]] {
            fs::write(&path, damaged).unwrap();
            assert!(store.load("id").unwrap().is_none());
        }
        let old = SystemTime::now() - MAX_AGE - Duration::from_secs(60);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(old).unwrap();
        Store::open(dir.path()).unwrap();
        assert!(!path.exists());
    }
}
