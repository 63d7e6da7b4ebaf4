//! Identities of several kinds, which are created and deleted, and their clients.

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
use earthengine::token::HttpClient;
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Environment, Error, ErrorKind,
    RetryPolicy,
};
use ee_emulator::{Emulator, EmulatorBuilder, OidcProvider, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::event_log::EventLog;
use crate::workload::{MAX_RETRIES, RETRIES_TOTAL, TIMEOUT};
use crate::{PROJECT, TOKEN_LIFETIME};

/// The number of identities of each kind.
const OF_EACH_KIND: usize = 10;
const POOL: &str =
    "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/soak";
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
];
/// A subject token is valid from twenty minutes ago for forty minutes, because the servers' clock
/// changes.
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

/// A slot for an identity and its current client.
pub(crate) struct Slot {
    index: usize,
    kind: Kind,
    now: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    identity: Option<Arc<Identity>>,
    client: Option<Arc<Client>>,
}

impl Slot {
    /// Returns whether tokens are cached on disk, and the identity has more than one client.
    fn is_persistent(&self) -> bool {
        self.index % 2 == 1
    }
}

/// An account with a credential. It is deleted when its last client is dropped.
pub(crate) struct Identity {
    number: u64,
    kind: Kind,
    /// The directory of its credential and its tokens.
    dir: PathBuf,
    /// The ID of the current key in its file.
    key_id: StdMutex<String>,
    provider: Option<OidcProvider>,
    emulator: Arc<Emulator>,
    log: Arc<EventLog>,
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
            // The accounts of the metadata server are permanent.
            Kind::MetadataServer => {}
            Kind::ExternalAccount => self.emulator.delete_provider(&self.audience()),
        }
        let _ = fs::remove_dir_all(&self.dir);
        self.log.identity_ended(self.number);
    }
}

impl Identity {
    /// Returns its email address, or that of its source if it is impersonated.
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
        self.dir.join("credential.json")
    }

    /// Creates the account in the emulator, writes its file, and registers the names of its token
    /// requests in the event log.
    fn create(&self) -> Result<(), String> {
        // A token is refreshed after three quarters of its lifetime; half a second is allowed for
        // the transfer.
        let pause = |life: Duration| life.saturating_sub(Duration::from_millis(500)) * 3 / 4;
        // The expiry of an impersonated token has a precision of seconds.
        let of_target = pause(TOKEN_LIFETIME - Duration::from_secs(1));
        let (text, accounts) = match self.kind {
            Kind::ServiceAccount => (
                self.new_key(),
                vec![(self.address(), pause(TOKEN_LIFETIME))],
            ),
            Kind::AuthorizedUser => {
                let user = self.emulator.create_user(&self.address());
                let account_names = user.refresh_token().to_owned();
                (
                    user.authorized_user_json(),
                    vec![(account_names, pause(TOKEN_LIFETIME))],
                )
            }
            Kind::Impersonated => {
                let (source, target) = (self.address(), self.target());
                self.emulator.create_service_account(&target, PROJECT);
                self.emulator.allow_impersonation(&source, &target);
                let accounts = vec![(source, pause(TOKEN_LIFETIME)), (target, of_target)];
                (self.new_key(), accounts)
            }
            Kind::MetadataServer => {
                self.emulator
                    .create_service_account(&self.address(), PROJECT);
                // The server returns the rest of a token that another client requested.
                (
                    String::new(),
                    vec![(self.address(), pause(TOKEN_LIFETIME) / 2)],
                )
            }
            Kind::ExternalAccount => {
                self.write_subject_token()?;
                (
                    self.external_account(),
                    vec![(self.audience(), pause(TOKEN_LIFETIME))],
                )
            }
        };
        let shares_tokens = self.kind == Kind::MetadataServer;
        self.log.open(self.number, shares_tokens, &accounts);
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

    /// Replaces the key of the account and deletes the old one.
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
        self.log.disrupted(self.number);
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
            "credential_source": {"file": self.dir.join("subject-token")},
        })
        .to_string()
    }

    fn write_subject_token(&self) -> Result<(), String> {
        let Some(provider) = &self.provider else {
            return Ok(());
        };
        let token = provider.subject_token_expiring_in("soak", SUBJECT_TOKEN_SECONDS);
        replace(&self.dir.join("subject-token"), &token)
    }
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// A client and its lifetime.
pub(crate) struct Client {
    pub(crate) ee: EarthEngine,
    pub(crate) life: ClientLifetime,
}

/// The lifetime of a client. It starts before connecting, which requests tokens whether it succeeds
/// or not.
pub(crate) struct ClientLifetime {
    pub(crate) identity: Arc<Identity>,
    /// The number of the client.
    number: u64,
}

impl ClientLifetime {
    fn begin(identity: Arc<Identity>, number: u64) -> Self {
        identity.log.client_started(identity.number, number);
        Self { identity, number }
    }
}

impl Drop for ClientLifetime {
    fn drop(&mut self) {
        let identity = &self.identity;
        identity.log.client_ended(identity.number, self.number);
    }
}

impl Client {
    pub(crate) fn identity(&self) -> u64 {
        self.life.identity.number
    }
}

/// A failed connection.
pub(crate) struct ConnectError {
    pub(crate) identity: u64,
    pub(crate) client: u64,
    pub(crate) started: Instant,
    pub(crate) error: Error,
}

pub(crate) struct Identities {
    pub(crate) slots: Vec<Slot>,
    emulator: Arc<Emulator>,
    http: HttpClient,
    log: Arc<EventLog>,
    dir: TempDir,
    last_number: AtomicU64,
}

fn account(name: &str, number: u64) -> String {
    format!("{name}-{number}@{PROJECT}.iam.gserviceaccount.com")
}

/// Gives the emulated machine one account for each slot, because each can belong to any of the
/// first identities.
pub(crate) fn with_metadata_accounts(builder: EmulatorBuilder) -> EmulatorBuilder {
    let builder = builder.metadata_server(account("robot", 0), PROJECT, &SCOPES);
    (1..=(OF_EACH_KIND * Kind::ALL.len()) as u64).fold(builder, |builder, number| {
        builder.metadata_account(account("robot", number), &SCOPES)
    })
}

impl Identities {
    pub(crate) fn create(
        emulator: Arc<Emulator>,
        endpoints: Endpoints,
        log: Arc<EventLog>,
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
            log,
            dir: tempfile::tempdir().map_err(|e| e.to_string())?,
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
        let dir = self.dir.path().join(number.to_string());
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut identity = Identity {
            number,
            kind,
            dir,
            key_id: StdMutex::default(),
            provider: None,
            emulator: Arc::clone(&self.emulator),
            log: Arc::clone(&self.log),
        };
        if kind == Kind::ExternalAccount {
            let audience = identity.audience();
            identity.provider = Some(self.emulator.create_oidc_provider(&audience));
        }
        identity.create()?;
        Ok(Arc::new(identity))
    }

    /// Returns the client of the slot, after connecting if necessary.
    pub(crate) async fn client(&self, slot: &Slot) -> Result<Arc<Client>, ConnectError> {
        let mut now = slot.now.lock().await;
        if let Some(client) = &now.client {
            return Ok(Arc::clone(client));
        }
        let started = Instant::now();
        let client = self.last_number.fetch_add(1, Relaxed) + 1;
        let failed = |identity, error| ConnectError {
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
        let life = ClientLifetime::begin(Arc::clone(&identity), client);
        let connecting = async { self.builder(slot, &identity, client)?.connect().await };
        let ee = connecting
            .await
            .map_err(|error| failed(identity.number, error))?;
        let client = Arc::new(Client { ee, life });
        now.client = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Drops the client of a slot, and its identity unless another client will use it. Calls in
    /// progress keep both.
    pub(crate) async fn retire(&self, slot: &Slot, for_good: bool) -> Result<(), String> {
        let mut now = slot.now.lock().await;
        now.client.take();
        if for_good || !slot.is_persistent() {
            // The accounts of the metadata server are permanent.
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

    /// Drops every client and identity.
    pub(crate) async fn retire_all(&self) {
        for slot in &self.slots {
            *slot.now.lock().await = Current::default();
        }
    }

    /// Rotates the key of a slot's identity, if it has one.
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
        let number = identity.number;
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_home(&identity.dir)
            .with_var("GCE_METADATA_HOST", "metadata.google.internal");
        let builder = EarthEngine::builder()
            .environment(environment)
            .endpoints(self.http.endpoints().clone())
            .project(PROJECT)
            .user_agent(format!("soak-{number}-{client}"))
            .timeout(TIMEOUT)
            .disk_cache(slot.is_persistent())
            .retry_policy(RetryPolicy {
                max_retries: MAX_RETRIES,
                initial_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                max_elapsed: RETRIES_TOTAL,
            });
        Ok(match identity.kind {
            Kind::MetadataServer => builder.service_account_email(identity.address()),
            // The builder's own impersonated tokens last an hour.
            Kind::Impersonated => {
                let options = CredentialOptions::new(self.http.clone());
                let source = Credentials::from_file(identity.file(), &options)?;
                let target = source
                    .impersonate(identity.target())
                    .lifetime(TOKEN_LIFETIME)
                    .build(&options)?;
                builder.credentials(target)
            }
            _ => builder.credentials_file(identity.file()),
        })
    }
}

/// Returns the account name of a token request, as registered in the event log.
pub(crate) fn token_request_account(request: &RecordedRequest) -> Option<String> {
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
