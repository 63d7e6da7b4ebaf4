//! A credential that came from a file, and may be replaced there: somebody logs in again, a
//! key is rotated.
//!
//! The file is looked at again only after the credential was rejected. What is in it then must
//! be the same kind of credential and belong to the same account: going on as somebody else
//! would be worse than the rejection. Keys and federations say whose they are. A login often
//! does not: then the answers to it are compared, where they come with an ID token (they do
//! if it covers the scope `openid`), and otherwise the new login is taken for the same
//! person's, as nobody who logs in again could go on if it were not.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ee_token::{Remedy, TokenFuture, TokenSource};

use crate::loaded::Loaded;
use crate::place::{Place, Stamp, Text, read};
use crate::refresh_token::RefreshToken;
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
            login: loaded.login,
            owner: None,
            stamp: Some(file.stamp),
            rejected: false,
        }),
        place,
    };
    let loaded = Loaded {
        source: Arc::new(source),
        login: None,
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
    /// The login in it, if it is one.
    login: Option<Arc<RefreshToken>>,
    /// Whom answers have named so far.
    owner: Option<Box<str>>,
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
            let result = source.mint().await.and_then(|token| {
                self.check_owner().map_err(Error::into_token_error)?;
                Ok(token)
            });
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
        // Its tokens are not kept on the disk: one from there would not say whose it is.
        let loaded = (self.reader)(&file.text, &self.place, &self.options)?;
        let is_ours = self.identity.is_none() || loaded.identity == self.identity;
        if loaded.kind != self.kind || !is_ours {
            return Err(self.changed_hands(&loaded));
        }
        if self.identity.is_none() {
            tracing::warn!(file = %self.place, "the login was rejected; there is a new one in its file, which need not say whose it is");
        } else {
            tracing::info!(file = %self.place, "the credential was rejected; read a new one from its file");
        }
        state.source = loaded.source.clone();
        state.login = loaded.login;
        Ok(Some(loaded.source))
    }

    /// Compares whom the last answer named with whom the answers before it did.
    fn check_owner(&self) -> Result<(), Error> {
        let mut state = self.state();
        let Some(named) = state.login.as_ref().and_then(|login| login.owner.get()) else {
            return Ok(());
        };
        if state.owner.as_ref().is_some_and(|owner| owner != named) {
            return Err(self
                .place
                .invalid("the login that was read from it was rejected, and now there is another person's")
                .with_remedy(start_again()));
        }
        state.owner = Some(named.clone());
        Ok(())
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
            .with_remedy(start_again())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_again() -> Remedy {
    Remedy::new(
        "Start again to go on with the new one: a running program does not change whom it acts as.",
    )
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

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ee_emulator::{Emulator, Fault};
    use ee_token::{Endpoints, ErrorKind as Token, HttpClient};
    use serde_json::{Value, json};

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

        fn options(&self) -> Options {
            let endpoints = Endpoints::emulator(self.emulator.address()).unwrap();
            Options::new(HttpClient::new(endpoints))
        }

        fn credentials(&self) -> Credentials {
            Credentials::from_file(self.path(), &self.options()).unwrap()
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

    const TOKENS: &str = "oauth2.googleapis.com";

    /// An answer for whoever `sub` is.
    fn answer(sub: &str) -> Fault {
        let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": sub }).to_string());
        let id_token = format!("e30.{claims}.c2ln");
        Fault::status(200).json(
            &json!({"access_token": format!("ya29.{sub}"), "expires_in": 3600, "id_token": id_token}),
        )
    }

    #[tokio::test]
    async fn a_login_whose_answers_say_that_it_is_another_persons_is_an_error() {
        let machine = Machine::new().await;
        let jane = machine.emulator.create_user("jane@example.com");
        machine.write(&jane.authorized_user_json());
        let credentials = machine.credentials();
        machine.emulator.fault(TOKENS, answer("jane"));
        let token = credentials.token().await.unwrap();
        credentials.cache().unwrap().invalidate(&token);

        let john = machine.emulator.create_user("john@example.com");
        machine.emulator.revoke(jane.refresh_token());
        machine.write(&john.authorized_user_json());
        machine.emulator.fault(TOKENS, answer("john").skip(1));
        for _ in 0..2 {
            let error = credentials.token().await.unwrap_err();
            assert_eq!(error.kind(), Token::InvalidCredential);
            assert!(error.to_string().contains("another person's"), "{error}");
        }
        assert_eq!(machine.emulator.faults_left(TOKENS), 0);

        let again = machine.emulator.create_user("jane@example.com");
        machine.write(&again.authorized_user_json());
        machine.emulator.fault(TOKENS, answer("jane"));
        credentials.token().await.unwrap();
    }

    #[cfg(feature = "token-cache")]
    #[tokio::test]
    async fn another_persons_login_is_an_error_though_a_token_of_theirs_is_on_the_disk() {
        let machine = Machine::new().await;
        let tokens = crate::DiskCache::at(machine.folder.path().join("tokens"));
        let options = machine.options().disk_cache(tokens);
        let [jane, john] = ["jane", "john"].map(|name| machine.emulator.create_user(name));
        machine.write(&john.authorized_user_json());
        let theirs = Credentials::from_file(machine.path(), &options).unwrap();
        theirs.token().await.unwrap();

        machine.write(&jane.authorized_user_json());
        let credentials = Credentials::from_file(machine.path(), &options).unwrap();
        machine.emulator.fault(TOKENS, answer("jane"));
        let token = credentials.token().await.unwrap();
        credentials.cache().unwrap().invalidate(&token);
        machine.emulator.revoke(jane.refresh_token());
        machine.write(&john.authorized_user_json());
        machine.emulator.fault(TOKENS, answer("john").skip(1));
        let error = credentials.token().await.unwrap_err();
        assert!(error.to_string().contains("another person's"), "{error}");
    }

    #[tokio::test]
    async fn a_login_that_nobody_can_tell_from_the_one_before_is_taken_up() {
        let machine = Machine::new().await;
        let login = |account: &str| {
            let user = machine.emulator.create_user("somebody@example.com");
            let mut file: Value = serde_json::from_str(&user.authorized_user_json()).unwrap();
            file["account"] = json!(account);
            (user, file.to_string())
        };
        for (before, after, is_taken) in [
            ("", "", true),
            ("", "jane@example.com", true),
            ("jane@example.com", "jane@example.com", true),
            ("jane@example.com", "john@example.com", false),
            // Jane is who this program has said that it is.
            ("jane@example.com", "", false),
        ] {
            let (old, text) = login(before);
            machine.write(&text);
            let credentials = machine.credentials();
            machine.emulator.revoke(old.refresh_token());
            machine.write(&login(after).1);
            let token = credentials.token().await;
            assert_eq!(token.is_ok(), is_taken, "{before:?} {after:?}");
        }
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
