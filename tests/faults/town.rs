//! Google's hosts, each behind a [`Front`] of its own, under their own names; and programs that
//! need them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use earthengine::credentials::{CredentialOptions, Environment, Search};
use earthengine::token::{AccessToken, HttpClient, RetryPolicy};
use earthengine::{Credentials, EarthEngine, Endpoint, Endpoints, Error, ErrorKind};
use ee_emulator::{Emulator, GoogleError, Project};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, Certificate};
use crate::front::{Front, Trouble};

pub(crate) const PROJECT: &str = "ee-demo-project";
/// One where Earth Engine does not tell whether its API is enabled, so that Service Usage is asked.
const CLOSED: &str = "ee-closed-project";
pub(crate) const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const PROVIDER: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";

/// How long our programs wait for a connection, and half as long again for the next byte. A
/// program's own setting, so that nobody waits for the defaults here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// No call of this test takes longer, whatever happens: it would hang.
pub(crate) const NO_HANG: Duration = Duration::from_secs(300);

/// Nobody asks for a token for so long after a first failure: a second, and up to a fifth more.
const FIRST_WAIT: Duration = Duration::from_millis(1200);
/// What a machine with too much to do may need beyond that.
const SLACK: Duration = Duration::from_secs(60);

/// A host that a program may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Token,
    Metadata,
    Sts,
    Iam,
    EarthEngine,
    ResourceManager,
    ServiceUsage,
}

impl Host {
    pub(crate) const ALL: [Self; 7] = [
        Self::Token,
        Self::Metadata,
        Self::Sts,
        Self::Iam,
        Self::EarthEngine,
        Self::ResourceManager,
        Self::ServiceUsage,
    ];

    /// What an error calls it, one of these.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Token => &["oauth2.googleapis.com"],
            // At the address that GCE_METADATA_HOST gives.
            Self::Metadata => &["127.0.0.1"],
            Self::Sts => &["sts.googleapis.com"],
            Self::Iam => &["iamcredentials.googleapis.com"],
            Self::EarthEngine => &[
                "earthengine.googleapis.com",
                "Earth Engine",
                "value:compute",
            ],
            Self::ResourceManager => &["cloudresourcemanager.googleapis.com"],
            Self::ServiceUsage => &["serviceusage.googleapis.com"],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata.google.internal",
            host => host.names()[0],
        }
    }

    /// Whether tokens come from it, so that the next attempt waits after a failure.
    pub(crate) fn has_tokens(self) -> bool {
        matches!(self, Self::Token | Self::Metadata | Self::Sts | Self::Iam)
    }

    /// Whether it is asked over TLS and by its name: all but the metadata server.
    pub(crate) fn has_tls(self) -> bool {
        self != Self::Metadata
    }
}

/// All hosts, and who knows their names and certificates.
pub(crate) struct Town {
    pub(crate) emulator: Emulator,
    pub(crate) authority: Authority,
    pub(crate) names: Names,
    pub(crate) home: TempDir,
    fronts: Vec<Front>,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let emulator = Emulator::builder()
            .project(Project::new(PROJECT))
            .project(Project::new(CLOSED).fail_with(GoogleError::IamPermissionDenied))
            .metadata_server(
                ROBOT,
                PROJECT,
                &["https://www.googleapis.com/auth/cloud-platform"],
            )
            .start()
            .await
            .unwrap();
        let authority = Authority::new();
        let mut fronts = Vec::new();
        for host in Host::ALL {
            let tls = host
                .has_tls()
                .then(|| http_1(authority.issue(&[host.name()])));
            fronts.push(Front::start(host.name(), emulator.address(), tls).await);
        }
        Self {
            emulator,
            authority,
            names: Names::default(),
            home: tempfile::tempdir().unwrap(),
            fronts,
        }
    }

    pub(crate) fn front(&self, host: Host) -> &Front {
        &self.fronts[host as usize]
    }

    /// How many connections were made to all of them.
    pub(crate) fn connections(&self) -> usize {
        self.fronts.iter().map(Front::connections).sum()
    }

    /// Shows this certificate for the host, instead of its own.
    pub(crate) fn show(&self, host: Host, certificate: Certificate) {
        self.front(host).show(http_1(certificate));
    }

    /// The host has no trouble any more.
    pub(crate) async fn heal(&self, host: Host) {
        self.emulator.clear_faults();
        self.names.learn(host.name());
        if host.has_tls() {
            self.show(host, self.authority.issue(&[host.name()]));
        }
        self.front(host).suffer(Trouble::None).await;
    }

    /// Where the hosts are: their own names, at the ports of this machine.
    pub(crate) fn endpoints(&self) -> Endpoints {
        let mut endpoints = Endpoints::google();
        for (endpoint, host) in [
            (Endpoint::Token, Host::Token),
            (Endpoint::TokenInfo, Host::Token),
            (Endpoint::Sts, Host::Sts),
            (Endpoint::IamCredentials, Host::Iam),
            (Endpoint::EarthEngine, Host::EarthEngine),
            (Endpoint::ResourceManager, Host::ResourceManager),
            (Endpoint::ServiceUsage, Host::ServiceUsage),
        ] {
            let mut url = endpoints.url(endpoint).clone();
            url.set_port(Some(self.front(host).address().port()))
                .unwrap();
            endpoints = endpoints.with_url(endpoint, url);
        }
        endpoints
    }

    /// An HTTP client of the program's own, which knows the town and has little patience.
    pub(crate) fn own_client(&self) -> ClientBuilder {
        self.plain_client()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE + PATIENCE / 2)
    }

    /// One that knows the town's names and authority, and is as it is otherwise.
    pub(crate) fn plain_client(&self) -> ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls_config())
            .dns_resolver(Arc::new(self.names.clone()))
            .redirect(redirect::Policy::none())
            .no_proxy()
    }

    pub(crate) fn tls_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    pub(crate) fn options(&self) -> CredentialOptions {
        self.options_with(self.own_client())
    }

    pub(crate) fn options_with(&self, client: ClientBuilder) -> CredentialOptions {
        CredentialOptions::new(HttpClient::from_reqwest_builder(client, self.endpoints()).unwrap())
    }

    /// Somebody who is logged in, with requests that are tried three times.
    pub(crate) async fn connect(&self) -> EarthEngine {
        self.connect_with(self.own_client()).await
    }

    pub(crate) async fn connect_with(&self, client: ClientBuilder) -> EarthEngine {
        let jane = self.emulator.create_user("jane@example.com");
        EarthEngine::builder()
            .isolated()
            .endpoints(self.endpoints())
            .http_client(client)
            .credentials_json(jane.earthengine_file_json(None))
            .project(PROJECT)
            .retry_policy(RetryPolicy {
                max_retries: 2,
                initial_backoff: Duration::from_millis(10),
                ..RetryPolicy::default()
            })
            .connect()
            .await
            .unwrap()
    }

    /// A credential whose tokens come from this host.
    pub(crate) async fn credentials(&self, host: Host, options: &CredentialOptions) -> Credentials {
        let jane = self.emulator.create_user("jane@example.com");
        let login = jane.authorized_user_json();
        match host {
            Host::Sts => {
                let provider = self.emulator.create_oidc_provider(PROVIDER);
                let subject = self.home.path().join("subject-token");
                std::fs::write(&subject, provider.subject_token("repo:me/it")).unwrap();
                let account = json!({
                    "type": "external_account",
                    "audience": PROVIDER,
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": self.endpoints().url(Endpoint::Sts).join("v1/token").unwrap().as_str(),
                    "credential_source": {"file": subject},
                });
                Credentials::from_json(&account.to_string(), options).unwrap()
            }
            Host::Iam => {
                let robot = self.emulator.create_service_account(ROBOT, PROJECT);
                self.emulator
                    .allow_impersonation("jane@example.com", robot.email());
                Credentials::from_json(&login, options)
                    .unwrap()
                    .impersonate(robot.email())
                    .build(options)
                    .unwrap()
            }
            Host::Metadata => {
                let address = self.front(Host::Metadata).address().to_string();
                let machine = Environment::empty().with_var("GCE_METADATA_HOST", address);
                let found = Search::new(machine, options.clone()).find().await;
                found.unwrap().credentials
            }
            _ => Credentials::from_json(&login, options).unwrap(),
        }
    }

    /// A program that needs this host.
    pub(crate) async fn program(&self, host: Host) -> Program {
        self.program_with(host, self.own_client()).await
    }

    pub(crate) async fn program_with(&self, host: Host, client: ClientBuilder) -> Program {
        let program = match host {
            Host::Token | Host::Metadata | Host::Sts | Host::Iam => {
                let options = self.options_with(client);
                let credentials = self.credentials(host, &options).await;
                Program::Tokens(credentials, Mutex::default())
            }
            Host::EarthEngine => Program::Value(self.connect_with(client).await),
            Host::ResourceManager => Program::Projects(self.connect_with(client).await),
            Host::ServiceUsage => Program::Apis(self.connect_with(client).await),
        };
        program.recover().await;
        program
    }
}

/// The certificate for a front, which speaks HTTP/1.1 alone.
pub(crate) fn http_1(certificate: Certificate) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(certificate.server_config());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The name server.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    pub(crate) fn forget(&self, name: &str) {
        self.0.lock().unwrap().insert(name.to_owned());
    }

    fn learn(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let forgotten = self.0.lock().unwrap().contains(name.as_str());
        Box::pin(async move {
            if forgotten {
                return Err("Name or service not known".into());
            }
            let here: SocketAddr = ([127, 0, 0, 1], 0).into();
            Ok(Box::new(std::iter::once(here)) as Addrs)
        })
    }
}

/// What a program does again and again.
pub(crate) enum Program {
    /// Gets a new token: the last one is no good.
    Tokens(Credentials, Mutex<Option<AccessToken>>),
    /// Computes a value.
    Value(EarthEngine),
    /// Lists the projects.
    Projects(EarthEngine),
    /// Lists the projects, and wants to know of all whether the API is enabled.
    Apis(EarthEngine),
}

/// What a program was told.
#[derive(Debug)]
pub(crate) struct Told {
    /// None: there is a list, and what it says of one project is that it is not known.
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        Self {
            kind: Some(error.kind()),
            message: error.to_string(),
            remedy: error.remedy().map(|remedy| remedy.text.to_string()),
        }
    }
}

impl Program {
    /// Once, for as long as it takes.
    pub(crate) async fn ask(&self) -> Result<(), Told> {
        tokio::time::timeout(NO_HANG, self.ask_unbounded())
            .await
            .expect("no call hangs")
    }

    async fn ask_unbounded(&self) -> Result<(), Told> {
        match self {
            Self::Tokens(credentials, last) => {
                let spent = last.lock().unwrap().take();
                if let Some(spent) = spent {
                    credentials.token_cache().unwrap().invalidate(&spent);
                }
                let token = credentials.token().await.map_err(Error::from)?;
                *last.lock().unwrap() = Some(token);
            }
            Self::Value(ee) => {
                let seven: i64 = ee.compute(&constant(7)).await?;
                assert_eq!(seven, 7);
            }
            Self::Projects(ee) => {
                assert_eq!(ee.list_projects().await?.len(), 2);
            }
            Self::Apis(ee) => {
                let projects = ee.list_projects().await?;
                assert_eq!(projects.len(), 2);
                if projects.iter().any(|p| p.api.as_str() == "unknown") {
                    return Err(Told {
                        kind: None,
                        message: String::new(),
                        remedy: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// Asks until it is answered, which it must be soon; how long that took.
    pub(crate) async fn recover(&self) -> Duration {
        let started = Instant::now();
        while let Err(told) = self.ask().await {
            assert!(
                started.elapsed() < NO_HANG,
                "still, long after the fault has ended: {told:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed()
    }
}

/// The program is answered, now that nothing is in the way: at once, or after the wait behind a
/// first failure where tokens come from. How long that took.
pub(crate) async fn answered_with_one_request(
    town: &Town,
    host: Host,
    program: &Program,
) -> Duration {
    let before = town.front(host).requests();
    let took = program.recover().await;
    let asked = town.front(host).requests() - before;
    // Where the test's machine stands still, the program's patience ends, and it asks again.
    assert!(
        asked == 1 || took >= PATIENCE,
        "{host:?} was asked {asked} times in {took:?}"
    );
    let wait = if host.has_tokens() {
        FIRST_WAIT
    } else {
        Duration::ZERO
    };
    assert!(took <= wait + SLACK, "{host:?} was back after {took:?}");
    took
}

/// Tells whoever runs the tests by hand, whether output is captured or not.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn constant(value: i64) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value}}})
}
