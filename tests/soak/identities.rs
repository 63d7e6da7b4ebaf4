//! Identities of many kinds, which come and go, and the clients that come and go with them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::credentials::{CredentialOptions, Platform};
use earthengine::rest::ClientEvent;
use earthengine::token::HttpClient;
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Environment, Error, ErrorKind,
    RetryPolicy,
};
use ee_emulator::{Emulator, EmulatorBuilder, OidcProvider, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::ledger::Ledger;
use crate::users::{MAX_RETRIES, RETRIES_TOTAL, TIMEOUT};
use crate::{LIFE, PROJECT};

/// How many identities there are of each kind.
const OF_EACH_KIND: usize = 10;
const POOL: &str =
    "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/soak";
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
];
/// A subject token is good from twenty minutes ago to in forty, since the servers' clock is set.
const SUBJECT_TOKEN_SECONDS: i64 = 2400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ServiceAccount,
    AuthorizedUser,
    Impersonated,
    MetadataServer,
    ExternalAccount,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::ServiceAccount,
        Self::AuthorizedUser,
        Self::Impersonated,
        Self::MetadataServer,
        Self::ExternalAccount,
    ];
}

/// A place for an identity, and for its client of the moment.
pub(crate) struct Slot {
    index: usize,
    kind: Kind,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    identity: Option<Arc<Identity>>,
    client: Option<Arc<Client>>,
}

impl Slot {
    /// Whether its tokens are kept on the disk, and its identity for more than one client.
    fn keeps(&self) -> bool {
        self.index % 2 == 1
    }
}

/// Somebody with a credential. With the last client that has it, it is deleted.
pub(crate) struct Identity {
    number: u64,
    kind: Kind,
    /// Where its credential is, and its tokens.
    folder: PathBuf,
    /// The id of the key that is in its file now.
    key_id: StdMutex<String>,
    provider: Option<OidcProvider>,
    emulator: Arc<Emulator>,
    ledger: Arc<Ledger>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        match self.kind {
            Kind::ServiceAccount => self.emulator.delete_service_account(&self.address()),
            Kind::AuthorizedUser => self.emulator.delete_user(&self.address()),
            Kind::Impersonated => {
                for email in [self.address(), self.target()] {
                    self.emulator.delete_service_account(&email);
                }
            }
            // A machine has the accounts that it was started with.
            Kind::MetadataServer => {}
            Kind::ExternalAccount => self.emulator.delete_provider(&self.audience()),
        }
        let _ = fs::remove_dir_all(&self.folder);
        self.ledger.identity_ended(self.number);
    }
}

impl Identity {
    /// Its e-mail address; that of its source, if it is impersonated.
    fn address(&self) -> String {
        match self.kind {
            Kind::AuthorizedUser => format!("user-{}@example.com", self.number),
            _ => account("robot", self.number),
        }
    }

    fn target(&self) -> String {
        account("target", self.number)
    }

    fn audience(&self) -> String {
        format!("{POOL}/providers/provider-{}", self.number)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("credential.json")
    }

    /// Creates it at the emulator, writes its file, and tells the ledger by what its token requests
    /// are known.
    fn create(&self) -> Result<(), String> {
        // A token is renewed after three quarters of its life; half a second is allowed for the
        // way.
        let pause = |life: Duration| life.saturating_sub(Duration::from_millis(500)) * 3 / 4;
        // The end of an impersonated account's is told in whole seconds.
        let of_target = pause(LIFE - Duration::from_secs(1));
        let (text, accounts) = match self.kind {
            Kind::ServiceAccount => (self.new_key(), vec![(self.address(), pause(LIFE))]),
            Kind::AuthorizedUser => {
                let user = self.emulator.create_user(&self.address());
                let known_by = user.refresh_token().to_owned();
                (user.authorized_user_json(), vec![(known_by, pause(LIFE))])
            }
            Kind::Impersonated => {
                let (source, target) = (self.address(), self.target());
                self.emulator.create_service_account(&target, PROJECT);
                self.emulator.allow_impersonation(&source, &target);
                let accounts = vec![(source, pause(LIFE)), (target, of_target)];
                (self.new_key(), accounts)
            }
            Kind::MetadataServer => {
                self.emulator
                    .create_service_account(&self.address(), PROJECT);
                // The server hands out what is left of a token that another client got.
                (String::new(), vec![(self.address(), pause(LIFE) / 2)])
            }
            Kind::ExternalAccount => {
                self.write_subject_token()?;
                (
                    self.external_account(),
                    vec![(self.audience(), pause(LIFE))],
                )
            }
        };
        let shares_tokens = self.kind == Kind::MetadataServer;
        self.ledger.open(self.number, shares_tokens, &accounts);
        replace(&self.file(), &text)
    }

    fn new_key(&self) -> String {
        let account = self
            .emulator
            .create_service_account(&self.address(), PROJECT);
        *self.key_id.lock().unwrap_or_else(PoisonError::into_inner) =
            account.private_key_id().to_owned();
        account.json_key()
    }

    /// Puts a new key of the same account in the place of the old one, which is deleted.
    fn rotate(&self) -> Result<(), String> {
        if !matches!(self.kind, Kind::ServiceAccount | Kind::Impersonated) {
            return Ok(());
        }
        let old = self
            .key_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let text = self.new_key();
        replace(&self.file(), &text)?;
        self.ledger.disturbed(self.number);
        self.emulator
            .delete_service_account_key(&self.address(), &old);
        Ok(())
    }

    fn external_account(&self) -> String {
        json!({
            "type": "external_account",
            "audience": self.audience(),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": self.folder.join("subject-token")},
        })
        .to_string()
    }

    fn write_subject_token(&self) -> Result<(), String> {
        let Some(provider) = &self.provider else {
            return Ok(());
        };
        let token = provider.subject_token_expiring_in("soak", SUBJECT_TOKEN_SECONDS);
        replace(&self.folder.join("subject-token"), &token)
    }
}

/// Puts a file in the place of another, whole.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// A client, and the note of how long it lived.
pub(crate) struct Client {
    pub(crate) ee: EarthEngine,
    pub(crate) life: Life,
}

/// A client's, from before it is connected: connecting asks for tokens whether it succeeds or
/// not.
pub(crate) struct Life {
    pub(crate) identity: Arc<Identity>,
    /// The client's number.
    number: u64,
}

impl Life {
    fn begin(identity: Arc<Identity>, number: u64) -> Self {
        identity.ledger.client_born(identity.number, number);
        Self { identity, number }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let identity = &self.identity;
        identity.ledger.client_ended(identity.number, self.number);
    }
}

impl Client {
    pub(crate) fn identity(&self) -> u64 {
        self.life.identity.number
    }
}

/// Who could not be connected, and why.
pub(crate) struct NotConnected {
    pub(crate) identity: u64,
    pub(crate) client: u64,
    pub(crate) started: Instant,
    pub(crate) error: Error,
}

pub(crate) struct Identities {
    pub(crate) slots: Vec<Slot>,
    emulator: Arc<Emulator>,
    http: HttpClient,
    ledger: Arc<Ledger>,
    folder: TempDir,
    last_number: AtomicU64,
}

fn account(name: &str, number: u64) -> String {
    format!("{name}-{number}@{PROJECT}.iam.gserviceaccount.com")
}

/// Gives the emulated machine one account for each of the slots, which may be any of the first
/// identities.
pub(crate) fn machine(builder: EmulatorBuilder) -> EmulatorBuilder {
    let builder = builder.metadata_server(account("robot", 0), PROJECT, &SCOPES);
    (1..=(OF_EACH_KIND * Kind::ALL.len()) as u64).fold(builder, |builder, number| {
        builder.metadata_account(account("robot", number), &SCOPES)
    })
}

impl Identities {
    pub(crate) fn create(
        emulator: Arc<Emulator>,
        endpoints: Endpoints,
        ledger: Arc<Ledger>,
    ) -> Result<Self, String> {
        let kinds = Kind::ALL.into_iter().cycle();
        let slots = kinds.take(OF_EACH_KIND * Kind::ALL.len()).enumerate();
        let identities = Self {
            slots: slots
                .map(|(index, kind)| Slot {
                    index,
                    kind,
                    now: Mutex::default(),
                })
                .collect(),
            emulator,
            http: HttpClient::new(endpoints),
            ledger,
            folder: tempfile::tempdir().map_err(|e| e.to_string())?,
            last_number: AtomicU64::new(0),
        };
        for slot in &identities.slots {
            let identity = identities.identity(slot.kind)?;
            slot.now.blocking_lock().identity = Some(identity);
        }
        Ok(identities)
    }

    fn identity(&self, kind: Kind) -> Result<Arc<Identity>, String> {
        let number = self.last_number.fetch_add(1, Relaxed) + 1;
        let folder = self.folder.path().join(number.to_string());
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut identity = Identity {
            number,
            kind,
            folder,
            key_id: StdMutex::default(),
            provider: None,
            emulator: Arc::clone(&self.emulator),
            ledger: Arc::clone(&self.ledger),
        };
        if kind == Kind::ExternalAccount {
            let audience = identity.audience();
            identity.provider = Some(self.emulator.create_oidc_provider(&audience));
        }
        identity.create()?;
        Ok(Arc::new(identity))
    }

    /// The slot's client; a new one if there is none.
    pub(crate) async fn client(&self, slot: &Slot) -> Result<Arc<Client>, NotConnected> {
        let mut now = slot.now.lock().await;
        if let Some(client) = &now.client {
            return Ok(Arc::clone(client));
        }
        let started = Instant::now();
        let client = self.last_number.fetch_add(1, Relaxed) + 1;
        let failed = |identity, error| NotConnected {
            identity,
            client,
            started,
            error,
        };
        let identity = match &now.identity {
            Some(identity) => Arc::clone(identity),
            None => {
                let new = self.identity(slot.kind).map_err(|message| {
                    failed(0, Error::new(ErrorKind::InvalidCredentials, message))
                })?;
                now.identity = Some(Arc::clone(&new));
                new
            }
        };
        let life = Life::begin(Arc::clone(&identity), client);
        let connecting = async { self.builder(slot, &identity, client)?.connect().await };
        let ee = connecting
            .await
            .map_err(|error| failed(identity.number, error))?;
        let client = Arc::new(Client { ee, life });
        now.client = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Lets go of a slot's client, and of its identity unless that is to have another client. Calls
    /// that are under way keep both until they end.
    pub(crate) async fn retire(&self, slot: &Slot, for_good: bool) -> Result<(), String> {
        let mut now = slot.now.lock().await;
        now.client.take();
        if for_good || !slot.keeps() {
            // A machine's accounts stay.
            if slot.kind != Kind::MetadataServer {
                now.identity.take();
            }
            return Ok(());
        }
        match &now.identity {
            Some(identity) => identity.write_subject_token(),
            None => Ok(()),
        }
    }

    /// Lets go of everybody.
    pub(crate) async fn retire_all(&self) {
        for slot in &self.slots {
            *slot.now.lock().await = Now::default();
        }
    }

    /// Changes the key of a slot's identity, if it has one.
    pub(crate) async fn rotate(&self, slot: &Slot) -> Result<(), String> {
        let identity = slot.now.lock().await.identity.clone();
        identity.map_or(Ok(()), |identity| identity.rotate())
    }

    fn builder(
        &self,
        slot: &Slot,
        identity: &Identity,
        client: u64,
    ) -> Result<EarthEngineBuilder, Error> {
        let (ledger, number) = (Arc::clone(&self.ledger), identity.number);
        let surroundings = Environment::empty()
            .with_os(Platform::Linux)
            .with_home(&identity.folder)
            .with_var("GCE_METADATA_HOST", "metadata.google.internal");
        let builder = EarthEngine::builder()
            .environment(surroundings)
            .endpoints(self.http.endpoints().clone())
            .project(PROJECT)
            .user_agent(format!("soak-{number}-{client}"))
            .timeout(TIMEOUT)
            .disk_cache(slot.keeps())
            .configure_client(move |requests| {
                let ledger = Arc::clone(&ledger);
                requests.on_event(move |signal| {
                    if matches!(signal, ClientEvent::RetryBudgetExhausted { .. }) {
                        ledger.budget_spent(number);
                    }
                })
            })
            .retry_policy(RetryPolicy {
                max_retries: MAX_RETRIES,
                initial_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                max_elapsed: RETRIES_TOTAL,
            });
        Ok(match identity.kind {
            Kind::MetadataServer => builder.service_account_email(identity.address()),
            // A builder's own tokens of this kind live for an hour.
            Kind::Impersonated => {
                let options = CredentialOptions::new(self.http.clone());
                let source = Credentials::from_file(identity.file(), &options)?;
                let target = source
                    .impersonate(identity.target())
                    .lifetime(LIFE)
                    .build(&options)?;
                builder.credentials(target)
            }
            _ => builder.credentials_file(identity.file()),
        })
    }
}

/// What a token request is known by, as it was given to the ledger; none for other requests.
pub(crate) fn asks_for_token(request: &RecordedRequest) -> Option<String> {
    match (request.host.as_str(), request.path.as_str()) {
        ("oauth2.googleapis.com", "/token") => {
            let mut form = request.form();
            form.remove("refresh_token")
                .or_else(|| issuer(form.get("assertion")?))
        }
        ("sts.googleapis.com", "/v1/token") => request.form().remove("audience"),
        ("iamcredentials.googleapis.com", path) => {
            let last = path.rsplit('/').next()?;
            let email = last.strip_suffix(":generateAccessToken")?;
            Some(email.replace("%40", "@"))
        }
        ("metadata.google.internal", path) => {
            let account = path.strip_suffix("/token")?.rsplit('/').next()?;
            Some(account.replace("%40", "@"))
        }
        _ => None,
    }
}

/// `iss` of a JWT.
fn issuer(jwt: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: HashMap<String, Value> = serde_json::from_slice(&claims).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}
