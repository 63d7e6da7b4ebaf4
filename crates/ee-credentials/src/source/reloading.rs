//! Reading a credential's file again after a rejection: the user may have logged in again, or the key
//! may have been rotated.
//!
//! The new credential must be of the same kind and belong to the same account, because continuing as
//! another account would be worse than the rejection. Keys name their account. Logins often do not,
//! and federation names a pool: then the subjects that the server names before and after are
//! compared, in ID tokens (which responses contain if the login has the scope `openid`), by the
//! tokeninfo endpoint, or by introspection. Different subjects are an error. If the server does not
//! name both, the new login is used with a warning.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ee_token::{AccessToken, Remedy, TokenFuture, TokenSource};

use crate::input::file::{
    FileContents, FileFingerprint, read, read_async, unreadable, while_replaced,
};
use crate::input::location::Location;
use crate::kinds::credential::Credential;
use crate::kinds::identity::{Identity, Subject, UserLogin};
use crate::source::with_disk_cache;
use crate::{CredentialKind, CredentialOptions, Error, Warning};

/// A function that creates a credential from the text of a file.
pub(crate) type Reader = fn(&str, &Location, &CredentialOptions) -> Result<Credential, Error>;

/// Creates a credential that reads its file again after a rejection.
pub(crate) fn load(
    file: FileContents,
    location: Location,
    reader: Reader,
    options: &CredentialOptions,
) -> Result<(Credential, Vec<Warning>), Error> {
    let credential = with_disk_cache(reader(&file.text, &location, options)?, &file.text, options);
    let source = FileSource {
        reader,
        options: options.clone(),
        kind: credential.kind,
        identity: credential.identity.clone(),
        state: Mutex::new(State {
            source: credential.source,
            accepted: Accepted {
                login: credential.login.clone(),
                token: None,
                subject: Subject::default(),
            },
            login: credential.login,
            change: None,
            fingerprint: file.fingerprint,
            rejected: false,
        }),
        location,
    };
    let credential = Credential {
        source: Arc::new(source),
        login: None,
        ..credential
    };
    Ok((credential, file.warnings))
}

struct FileSource {
    location: Location,
    reader: Reader,
    options: CredentialOptions,
    kind: CredentialKind,
    identity: Identity,
    state: Mutex<State>,
}

struct State {
    source: Arc<dyn TokenSource>,
    /// The user login behind `source`.
    login: Option<UserLogin>,
    /// The credential whose tokens were returned so far.
    accepted: Accepted,
    /// Set after a new credential is read, until its first token is returned.
    change: Option<Change>,
    /// The fingerprint of the file when it was last read successfully.
    fingerprint: FileFingerprint,
    /// Whether the last response to `source` was a rejection.
    rejected: bool,
}

/// A login whose tokens were returned, and what is known of its owner.
#[derive(Clone)]
struct Accepted {
    login: Option<UserLogin>,
    /// Its newest token.
    token: Option<AccessToken>,
    /// The owner, if a server has named one.
    subject: Subject,
}

/// A new credential that was read after a rejection.
#[derive(Clone, Copy)]
struct Change {
    /// Whether the files name the same account.
    is_certain: bool,
}

impl FileSource {
    async fn fetch_token(&self) -> Result<AccessToken, ee_token::Error> {
        let (mut source, rejected) = {
            let state = self.state();
            (state.source.clone(), state.rejected)
        };
        let mut may_read_again = true;
        if rejected && let Some(new) = self.read_again().await.map_err(Error::into_token_error)? {
            source = new;
            may_read_again = false;
        }
        loop {
            let result = match source.fetch_token().await {
                Ok(token) => self
                    .check_owner(&token)
                    .await
                    .map(|()| token)
                    .map_err(Error::into_token_error),
                Err(error) => Err(error),
            };
            // A new file may also end a rejection whose reason is unknown.
            let rejected = matches!(&result, Err(error) if error.kind().is_rejection()
                || error.kind() == ee_token::ErrorKind::UnconfirmedRejection);
            self.state().rejected = rejected;
            if !rejected || !may_read_again {
                return result;
            }
            match self.read_again().await.map_err(Error::into_token_error)? {
                Some(new) => source = new,
                None => return result,
            }
            may_read_again = false;
        }
    }

    /// Reads the file if it changed since it was last read.
    async fn read_again(&self) -> Result<Option<Arc<dyn TokenSource>>, Error> {
        let last = self.state().fingerprint;
        let (reader, options) = (self.reader, self.options.clone());
        let read_new = move |location: &Location| {
            let now = location.path().map_or(Ok(None), FileFingerprint::now);
            if now.map_err(|error| unreadable(location, error))? == Some(last) {
                return Ok(None);
            }
            let file = read(location)?;
            match reader(&file.text, location, &options) {
                // The error is about another file that this one names.
                Err(error) if error.is_transient() => Err(error),
                credential => Ok(Some((file.fingerprint, credential))),
            }
        };
        let new = read_async(&self.location, read_new).await;
        let Some((fingerprint, credential)) = new.map_err(while_replaced)? else {
            return Ok(None);
        };
        let mut state = self.state();
        state.fingerprint = fingerprint;
        // Without the disk cache: a cached token would not tell its owner.
        let credential = credential?;
        let is_same = self.identity.is_same(&credential.identity);
        if credential.kind != self.kind || is_same == Some(false) {
            return Err(self.other_account(&credential));
        }
        tracing::info!(file = %self.location, "the credential was rejected; read a new one from its file");
        state.change = Some(Change {
            is_certain: is_same == Some(true),
        });
        state.source = credential.source.clone();
        state.login = credential.login;
        Ok(Some(credential.source))
    }

    /// Compares the owner of a new credential's first token with the owner of those before it.
    /// The server is queried only if neither the texts nor its responses have named both.
    async fn check_owner(&self, token: &AccessToken) -> Result<(), Error> {
        let (change, login, accepted) = {
            let mut state = self.state();
            let Some(change) = state.change else {
                state.accepted.token = state.login.is_some().then(|| token.clone());
                return Ok(());
            };
            (change, state.login.clone(), state.accepted.clone())
        };
        let http = &self.options.http;
        let named = |login: Option<&UserLogin>| login.map(UserLogin::named).unwrap_or_default();
        let mut before = accepted.subject;
        if !before.is_known() {
            before = named(accepted.login.as_ref());
        }
        if let Some(login) = &accepted.login
            && !before.is_known()
            && !change.is_certain
        {
            before = login.query(accepted.token.as_ref(), http).await;
        }
        let mut after = named(login.as_ref());
        if let Some(login) = &login
            && before.is_known()
            && before.is_same(&after).is_none()
            && !change.is_certain
        {
            after = login.query(Some(token), http).await;
        }
        match before.is_same(&after) {
            Some(false) => return Err(self.other_user()),
            None if !change.is_certain => tracing::warn!(
                file = %self.location,
                "the login was rejected and its file has a new one; neither the file nor the server says whether it belongs to the same account. If it does not, restart the program"
            ),
            _ => {}
        }
        let mut state = self.state();
        state.change = None;
        state.accepted = Accepted {
            token: login.is_some().then(|| token.clone()),
            login,
            subject: if after.is_known() { after } else { before },
        };
        Ok(())
    }

    fn other_user(&self) -> Error {
        self.location
            .invalid("the login that was read from it was rejected, and it now contains another user's login")
            .with_remedy(restart())
    }

    fn other_account(&self, credential: &Credential) -> Error {
        self.location
            .invalid(format_args!(
                "the credential that was read from it ({} of {}) was rejected, and it now contains another account's credential ({} of {})",
                self.kind, self.identity, credential.kind, credential.identity,
            ))
            .with_remedy(restart())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn restart() -> Remedy {
    Remedy::new(
        "Restart the program to use the new credential: a running program does not change its account.",
    )
}

impl TokenSource for FileSource {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(Self::fetch_token(self))
    }

    fn can_retry_after_rejection(&self) -> bool {
        let (source, fingerprint) = {
            let state = self.state();
            (state.source.clone(), state.fingerprint)
        };
        let path = self.location.path();
        path.is_some_and(|path| FileFingerprint::can_retry_after_rejection(path, Some(fingerprint)))
            || source.can_retry_after_rejection()
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("place", &self.location)
            .field("source", &self.state().source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
