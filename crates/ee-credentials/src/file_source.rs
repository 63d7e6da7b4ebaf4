//! A credential in a file, which somebody may replace while the program runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ee_token::{AccessToken, ErrorKind as TokenErrorKind, Remedy, TokenFuture, TokenSource};

use crate::parse::{Parsed, parse};
use crate::{Error, Kind, Options, file};

/// Mints from the credential in a file. One that is rejected is read again if the file
/// changed since: somebody logged in again. Another identity in its place is an error,
/// never a silent change.
pub(crate) struct FileSource {
    path: PathBuf,
    options: Options,
    kind: Kind,
    principal: Option<String>,
    client_id: Option<String>,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    source: Arc<dyn TokenSource>,
    stamp: Option<Stamp>,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
    })
}

impl FileSource {
    /// Reads a file.
    pub(crate) fn read(path: &Path, options: &Options) -> Result<(Self, Parsed), Error> {
        // Before reading: a change in between is then seen as one.
        let stamp = stamp(path);
        let parsed = parse(&file::read(path)?, &path.display().to_string(), options)?;
        let source = Self {
            path: path.to_owned(),
            options: options.clone(),
            kind: parsed.kind,
            principal: parsed.principal.clone(),
            client_id: parsed.client_id.clone(),
            current: Mutex::new(Current {
                source: parsed.source.clone(),
                stamp,
            }),
        };
        Ok((source, parsed))
    }

    fn current(&self) -> Current {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the file again after a rejection.
    fn reload(&self) -> Result<Arc<dyn TokenSource>, ee_token::Error> {
        let stamp = stamp(&self.path);
        let broken = |error: Error| {
            ee_token::Error::new(TokenErrorKind::InvalidCredential, error.to_string())
                .with_source(error)
        };
        let read = file::read(&self.path)
            .and_then(|text| parse(&text, &self.path.display().to_string(), &self.options));
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever is there now was looked at, and is not looked at again before it changes.
        current.stamp = stamp;
        let new = read.map_err(broken)?;
        let same = new.kind == self.kind
            && new.principal == self.principal
            && new.client_id == self.client_id;
        if !same {
            let who = |kind: Kind, principal: &Option<String>| match principal {
                Some(principal) => format!("{kind} of {principal}"),
                None => kind.to_string(),
            };
            return Err(ee_token::Error::new(
                TokenErrorKind::InvalidCredential,
                format!(
                    "{} was the {} and is now the {}: the identity does not change while a program runs",
                    self.path.display(),
                    who(self.kind, &self.principal),
                    who(new.kind, &new.principal),
                ),
            )
            .with_remedy(Remedy::new("Start the program again to use the new credential.")));
        }
        tracing::debug!(path = %self.path.display(), "the credential was replaced; using the new one");
        current.source = new.source.clone();
        Ok(new.source)
    }

    async fn minted(&self) -> Result<AccessToken, ee_token::Error> {
        let current = self.current();
        match current.source.mint().await {
            Err(error) if error.kind().is_rejection() && stamp(&self.path) != current.stamp => {
                self.reload()?.mint().await
            }
            result => result,
        }
    }
}

impl TokenSource for FileSource {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(self.minted())
    }

    fn may_have_changed(&self) -> bool {
        stamp(&self.path) != self.current().stamp
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::Emulator;
    use ee_token::{Endpoints, HttpClient};

    async fn emulator() -> (Emulator, Options, tempfile::TempDir) {
        let emulator = Emulator::start().await.unwrap();
        let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap()).unwrap();
        (emulator, Options::new(http), tempfile::tempdir().unwrap())
    }

    #[tokio::test]
    async fn a_new_login_in_the_same_file_is_used() {
        let (emulator, options, folder) = emulator().await;
        let path = folder.path().join("adc.json");
        let old = emulator.create_user("jane@example.com");
        std::fs::write(&path, old.authorized_user_json()).unwrap();
        let (source, _) = FileSource::read(&path, &options).unwrap();
        source.mint().await.unwrap();

        emulator.revoke(old.refresh_token());
        let error = source.mint().await.unwrap_err();
        assert_eq!(error.kind(), TokenErrorKind::Rejected);
        assert!(!source.may_have_changed());

        let new = emulator.create_user("jane@example.com");
        std::fs::write(&path, new.authorized_user_json() + "\n").unwrap();
        assert!(source.may_have_changed());
        source.mint().await.unwrap();
        assert!(!source.may_have_changed());
    }

    #[tokio::test]
    async fn another_identity_in_its_place_is_an_error() {
        let (emulator, options, folder) = emulator().await;
        let path = folder.path().join("key.json");
        let ours = emulator.create_service_account(
            "ours@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        );
        let theirs = emulator.create_service_account(
            "theirs@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        );
        std::fs::write(&path, ours.json_key()).unwrap();
        let (source, _) = FileSource::read(&path, &options).unwrap();
        emulator.delete_service_account(ours.email());
        std::fs::write(&path, theirs.json_key()).unwrap();
        let requests = emulator.requests().len();
        let error = source.mint().await.unwrap_err();
        assert_eq!(error.kind(), TokenErrorKind::InvalidCredential);
        let message = error.to_string();
        assert!(
            message.contains(ours.email()) && message.contains(theirs.email()),
            "{message}"
        );
        assert_eq!(
            emulator.requests().len(),
            requests + 1,
            "the other one was never used"
        );
    }
}
