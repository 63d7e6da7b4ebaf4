//! Identities of many kinds, and the clients that come and go with them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::credentials::Options;
use earthengine::token::HttpClient;
use earthengine::{Builder, Credentials, EarthEngine, Endpoints, Environment, Error, RetryPolicy};
use ee_emulator::{Emulator, EmulatorBuilder, OidcProvider, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::ledger::Ledger;
use crate::{LIFE, PROJECT};

/// How many identities there are of each kind.
const OF_EACH_KIND: usize = 10;
const POOL: &str =
    "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/soak";
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
];

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

/// An identity, and its client of the moment.
pub(crate) struct Slot {
    index: usize,
    pub(crate) kind: Kind,
    /// The text of a credential file; the account's address for a metadata server.
    text: String,
    /// Where its subject token is, which somebody else writes.
    subject: Option<Subject>,
    client: Mutex<Option<Arc<Client>>>,
}

/// The subject tokens of an identity pool's provider. Each is good for an hour.
struct Subject {
    provider: OidcProvider,
    path: PathBuf,
}

impl Subject {
    fn write(&self) -> Result<(), String> {
        let path = &self.path;
        let new = path.with_extension("new");
        std::fs::write(&new, self.provider.subject_token("soak"))
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// A client, and the note of how long it lived.
pub(crate) struct Client {
    pub(crate) ee: EarthEngine,
    _life: Life,
}

/// Adds to what the identity may ask for when it ends.
struct Life {
    ledger: Arc<Ledger>,
    slot: usize,
    born: Instant,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.ledger.client_ended(self.slot, self.born.elapsed());
    }
}

pub(crate) struct Identities {
    pub(crate) slots: Vec<Slot>,
    http: HttpClient,
    ledger: Arc<Ledger>,
    _folder: TempDir,
}

fn account(name: &str, index: usize) -> String {
    format!("{name}-{index}@{PROJECT}.iam.gserviceaccount.com")
}

/// Gives the emulated machine one account for each of its identities.
pub(crate) fn machine(builder: EmulatorBuilder) -> EmulatorBuilder {
    let builder = builder.metadata_server(account("vm", 0), PROJECT, &SCOPES);
    (0..OF_EACH_KIND * Kind::ALL.len()).fold(builder, |builder, index| {
        builder.metadata_account(account("vm", index), &SCOPES)
    })
}

impl Identities {
    /// Creates them at the emulator, and tells the ledger by what their requests are known.
    pub(crate) fn create(
        emulator: &Emulator,
        endpoints: Endpoints,
        ledger: Arc<Ledger>,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut slots = Vec::new();
        for kind in Kind::ALL {
            for _ in 0..OF_EACH_KIND {
                let index = slots.len();
                let audience = format!("{POOL}/providers/provider-{index}");
                let subject = (kind == Kind::ExternalAccount).then(|| Subject {
                    provider: emulator.create_oidc_provider(&audience),
                    path: folder.path().join(format!("subject-token-{index}")),
                });
                if let Some(subject) = &subject {
                    subject.write()?;
                }
                slots.push(Slot {
                    index,
                    kind,
                    text: credential(kind, index, emulator, subject.as_ref(), &ledger),
                    subject,
                    client: Mutex::default(),
                });
            }
        }
        Ok(Self {
            slots,
            http: HttpClient::new(endpoints).map_err(|e| e.to_string())?,
            ledger,
            _folder: folder,
        })
    }

    /// The slot's client; a new one if there is none.
    pub(crate) async fn client(&self, slot: &Slot) -> Result<Arc<Client>, Error> {
        let mut current = slot.client.lock().await;
        if let Some(client) = &*current {
            return Ok(Arc::clone(client));
        }
        // Counted from before: connecting asks for tokens whether it succeeds or not.
        let life = Life {
            ledger: Arc::clone(&self.ledger),
            slot: slot.index,
            born: Instant::now(),
        };
        let ee = self.builder(slot)?.connect().await?;
        let client = Arc::new(Client { ee, _life: life });
        *current = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Lets go of a slot's client. Calls that are under way keep it until they end.
    pub(crate) async fn retire(&self, slot: &Slot) -> Result<(), String> {
        slot.client.lock().await.take();
        match &slot.subject {
            Some(subject) => subject.write(),
            None => Ok(()),
        }
    }

    fn builder(&self, slot: &Slot) -> Result<Builder, Error> {
        let builder = EarthEngine::builder()
            .isolated()
            .endpoints(self.http.endpoints().clone())
            .project(PROJECT)
            .user_agent(format!("soak-{}", slot.index))
            .timeout(Duration::from_secs(8))
            .retry_policy(RetryPolicy {
                max_retries: 5,
                initial_wait: Duration::from_millis(100),
                max_wait: Duration::from_secs(2),
                total: Duration::from_secs(60),
            });
        Ok(match slot.kind {
            Kind::MetadataServer => builder
                .environment(
                    Environment::empty().with_var("GCE_METADATA_HOST", "metadata.google.internal"),
                )
                .service_account_email(&slot.text),
            // A builder's own tokens of this kind live for an hour.
            Kind::Impersonated => {
                let options = Options::new(self.http.clone());
                let source = Credentials::from_json(&slot.text, &options)?;
                let target = source
                    .impersonate(account("target", slot.index))
                    .lifetime(LIFE)
                    .build(&options)?;
                builder.credentials(target)
            }
            _ => builder.credentials_json(slot.text.as_str()),
        })
    }
}

fn credential(
    kind: Kind,
    index: usize,
    emulator: &Emulator,
    subject: Option<&Subject>,
    ledger: &Ledger,
) -> String {
    // A token is renewed after three quarters of its life; a second is allowed for whole
    // seconds and for the way.
    let pause = |life: Duration| life.saturating_sub(Duration::from_secs(1)) * 3 / 4;
    match kind {
        Kind::ServiceAccount => {
            let email = account("robot", index);
            ledger.open(index, &email, pause(LIFE));
            emulator.create_service_account(&email, PROJECT).json_key()
        }
        Kind::AuthorizedUser => {
            let user = emulator.create_user(&format!("user-{index}@example.com"));
            ledger.open(index, user.refresh_token(), pause(LIFE));
            user.authorized_user_json()
        }
        Kind::Impersonated => {
            let (source, target) = (account("source", index), account("target", index));
            ledger.open(index, &source, pause(LIFE));
            // Its end is told in whole seconds.
            ledger.open(index, &target, pause(LIFE - Duration::from_secs(1)));
            emulator.create_service_account(&target, PROJECT);
            emulator.allow_impersonation(&source, &target);
            emulator.create_service_account(&source, PROJECT).json_key()
        }
        Kind::MetadataServer => {
            let email = account("vm", index);
            // The server hands out what is left of a token that another client got.
            ledger.open(index, &email, pause(LIFE) / 2);
            emulator.create_service_account(&email, PROJECT);
            email
        }
        Kind::ExternalAccount => {
            let audience = subject.map(|s| s.provider.audience()).unwrap_or_default();
            ledger.open(index, audience, pause(LIFE));
            json!({
                "type": "external_account",
                "audience": audience,
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": subject.map(|s| &s.path)},
            })
            .to_string()
        }
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
