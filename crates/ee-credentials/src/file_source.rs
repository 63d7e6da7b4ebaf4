//! A credential that came from a file, and may be replaced there: somebody logs in again, a
//! key is rotated.
//!
//! The file is looked at again only after the credential was rejected. What is in it then must
//! be the same kind of credential and belong to the same account, as far as both say so:
//! going on as somebody else would be worse than the rejection. (A refresh token does not
//! say whose it is; a service account's key does.)

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ee_token::{Remedy, TokenFuture, TokenSource};

use crate::loaded::Loaded;
use crate::place::{Place, Stamp, Text, read};
use crate::{Error, Kind, Options, Warning};

/// How the text of a file becomes a credential.
pub(crate) type Reader = fn(&str, &Place, &Options) -> Result<Loaded, Error>;

/// Makes a credential of a file's text that reads the file again when it is rejected.
pub(crate) fn load(
    file: Text,
    place: Place,
    reader: Reader,
    options: &Options,
) -> Result<(Loaded, Vec<Warning>), Error> {
    let loaded = options.keep_tokens(reader(&file.text, &place, options)?, &file.text);
    let source = FileSource {
        reader,
        options: options.clone(),
        kind: loaded.kind,
        identity: loaded.identity.clone(),
        state: Mutex::new(State {
            source: loaded.source,
            stamp: Some(file.stamp),
            rejected: false,
        }),
        place,
    };
    let loaded = Loaded {
        source: Arc::new(source),
        ..loaded
    };
    Ok((loaded, file.warnings))
}

struct FileSource {
    place: Place,
    reader: Reader,
    options: Options,
    kind: Kind,
    identity: Option<Arc<str>>,
    state: Mutex<State>,
}

struct State {
    source: Arc<dyn TokenSource>,
    /// The file's when it was last read; `None` if it was gone.
    stamp: Option<Stamp>,
    /// Whether the last that was heard of `source` is a rejection.
    rejected: bool,
}

impl FileSource {
    async fn mint(&self) -> Result<ee_token::AccessToken, ee_token::Error> {
        let (mut source, rejected) = {
            let state = self.state();
            (state.source.clone(), state.rejected)
        };
        let mut may_read_again = true;
        if rejected && let Some(new) = self.read_again().map_err(Error::into_token_error)? {
            source = new;
            may_read_again = false;
        }
        loop {
            let result = source.mint().await;
            let rejected = matches!(&result, Err(error) if error.kind().is_rejection());
            self.state().rejected = rejected;
            if !rejected || !may_read_again {
                return result;
            }
            match self.read_again().map_err(Error::into_token_error)? {
                Some(new) => source = new,
                None => return result,
            }
            may_read_again = false;
        }
    }

    /// Reads the file if it changed since it was last read.
    fn read_again(&self) -> Result<Option<Arc<dyn TokenSource>>, Error> {
        let mut state = self.state();
        let now = self.place.path().and_then(Stamp::now);
        if now == state.stamp {
            return Ok(None);
        }
        // Whatever is found now was looked at, and is not looked at again until it changes.
        state.stamp = now;
        let file = read(&self.place)?;
        state.stamp = Some(file.stamp);
        let loaded = (self.reader)(&file.text, &self.place, &self.options)?;
        let loaded = self.options.keep_tokens(loaded, &file.text);
        if loaded.kind != self.kind || loaded.identity != self.identity {
            return Err(self.changed_hands(&loaded));
        }
        tracing::info!(file = %self.place, "the credential was rejected; read a new one from its file");
        state.source = loaded.source.clone();
        Ok(Some(loaded.source))
    }

    fn changed_hands(&self, loaded: &Loaded) -> Error {
        let whose = |kind: Kind, identity: &Option<Arc<str>>| match identity {
            Some(identity) => format!("{kind} of {identity}"),
            None => kind.to_string(),
        };
        self.place
            .invalid(format_args!(
                "the credential that was read from it ({}) was rejected, and now there is another one's ({})",
                whose(self.kind, &self.identity),
                whose(loaded.kind, &loaded.identity),
            ))
            .with_remedy(Remedy::new(
                "Start again to go on with the new one: a running program does not change whom it acts as.",
            ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenSource for FileSource {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(Self::mint(self))
    }

    fn may_have_changed(&self) -> bool {
        let (source, stamp) = {
            let state = self.state();
            (state.source.clone(), state.stamp)
        };
        self.place.path().and_then(Stamp::now) != stamp || source.may_have_changed()
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("place", &self.place)
            .field("source", &self.state().source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use ee_emulator::Emulator;
    use ee_token::{Endpoints, ErrorKind as Token, HttpClient};

    use super::*;
    use crate::Credentials;

    struct Machine {
        emulator: Emulator,
        folder: tempfile::TempDir,
    }

    impl Machine {
        async fn new() -> Self {
            Self {
                emulator: Emulator::start().await.unwrap(),
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("credential.json")
        }

        fn write(&self, text: &str) {
            // As careful programs do it: another inode, whatever the clock says.
            let new = self.folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.path()).unwrap();
        }

        fn credentials(&self) -> Credentials {
            let endpoints = Endpoints::emulator(self.emulator.address()).unwrap();
            let options = Options::new(HttpClient::new(endpoints).unwrap());
            Credentials::from_file(self.path(), &options).unwrap()
        }
    }

    #[tokio::test]
    async fn a_new_login_in_the_same_file_is_taken_up_after_a_rejection() {
        let machine = Machine::new().await;
        let jane = machine.emulator.create_user("jane@example.com");
        machine.write(&jane.earthengine_file_json(None));
        let credentials = machine.credentials();
        let token = credentials.token().await.unwrap();

        let again = machine.emulator.create_user("jane@example.com");
        machine.emulator.clear_requests();
        machine.emulator.revoke(jane.earthengine_refresh_token());
        credentials.cache().unwrap().invalidate(&token);
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        let sent = machine.emulator.requests().len();
        credentials.token().await.unwrap_err();
        assert_eq!(
            machine.emulator.requests().len(),
            sent,
            "the rejection stays without a request"
        );

        machine.write(&again.earthengine_file_json(None));
        credentials.token().await.unwrap();
        assert_eq!(
            machine.emulator.requests().len(),
            sent + 1,
            "the old login is not tried again"
        );
    }

    #[tokio::test]
    async fn a_login_that_was_replaced_before_its_rejection_costs_no_error() {
        let machine = Machine::new().await;
        let jane = machine.emulator.create_user("jane@example.com");
        machine.write(&jane.authorized_user_json());
        let credentials = machine.credentials();
        machine.emulator.revoke(jane.refresh_token());
        machine.write(
            &machine
                .emulator
                .create_user("jane@example.com")
                .authorized_user_json(),
        );
        credentials.token().await.unwrap();
    }

    #[tokio::test]
    async fn another_account_or_kind_in_the_same_file_is_an_error() {
        let machine = Machine::new().await;
        let account = |name: &str| {
            machine.emulator.create_service_account(
                &format!("{name}@ee-demo-project.iam.gserviceaccount.com"),
                "ee-demo-project",
            )
        };
        let first = account("first");
        machine.write(&first.json_key());
        let credentials = machine.credentials();
        machine.emulator.delete_service_account(first.email());
        machine.write(&account("second").json_key());
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::InvalidCredential);
        let message = error.to_string();
        assert!(
            message.contains("first@") && message.contains("second@"),
            "{message}"
        );

        let jane = machine.emulator.create_user("jane@example.com");
        machine.write(&jane.authorized_user_json());
        let error = credentials.token().await.unwrap_err();
        assert!(error.to_string().contains("authorized_user"), "{error}");

        machine.write(&account("first").json_key());
        credentials.token().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_broke_or_went_away_is_named_until_it_is_whole_again() {
        let machine = Machine::new().await;
        let jane = machine.emulator.create_user("jane@example.com");
        machine.write(&jane.authorized_user_json());
        let credentials = machine.credentials();
        machine.emulator.revoke(jane.refresh_token());
        machine.write("{\"type\": \"authorized_user\"");
        let error = credentials.token().await.unwrap_err();
        assert!(error.to_string().contains("credential.json"), "{error}");
        assert!(error.to_string().contains("cut off"), "{error}");
        fs::remove_file(machine.path()).unwrap();
        let error = credentials.token().await.unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
        machine.write(
            &machine
                .emulator
                .create_user("jane@example.com")
                .authorized_user_json(),
        );
        credentials.token().await.unwrap();
    }
}
