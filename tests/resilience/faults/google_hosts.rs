//! Google's hosts, each behind a [`FaultyServer`] under its own name, and programs that need them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use earthengine::credentials::{CredentialOptions, Environment, Search};
use earthengine::token::{AccessToken, HttpClient, RetryPolicy};
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoint, Endpoints, Error, ErrorKind,
};
use ee_emulator::{Emulator, GoogleError, Project};
use ee_test_support::certificates::{Authority, Certificate};
use ee_test_support::faulty_server::{FaultyServer, NetworkFault, Upstream};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PROJECT: &str = "ee-demo-project";
/// A project for which Earth Engine does not report the state of its API, so that Service Usage is
/// queried.
const CLOSED: &str = "ee-closed-project";
pub(crate) const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const PROVIDER: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";

/// The connect timeout of the programs; the read timeout is half as long again. The defaults would
/// take too long.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A call that takes longer hangs.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(300);

/// The longest backoff after a first failed token request: 1 s and up to a fifth more.
const FIRST_BACKOFF: Duration = Duration::from_millis(1200);
/// The time that a busy machine may need beyond that.
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

    /// Returns the names that errors use for the host.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Token => &["oauth2.googleapis.com"],
            // The address in GCE_METADATA_HOST.
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

    /// Returns whether the host issues tokens, so that the next attempt backs off after a failure.
    pub(crate) fn issues_tokens(self) -> bool {
        matches!(self, Self::Token | Self::Metadata | Self::Sts | Self::Iam)
    }

    /// Returns whether requests use TLS and a host name: for all but the metadata server.
    pub(crate) fn has_tls(self) -> bool {
        self != Self::Metadata
    }
}

/// All hosts, with their names and certificates.
pub(crate) struct GoogleHosts {
    pub(crate) emulator: Emulator,
    pub(crate) authority: Authority,
    pub(crate) names: Names,
    pub(crate) home: TempDir,
    servers: Vec<FaultyServer>,
}

impl GoogleHosts {
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
        let mut servers = Vec::new();
        for host in Host::ALL {
            let certificate = host.has_tls().then(|| authority.issue(&[host.name()]));
            let upstream = Upstream::Emulator(host.name(), emulator.address());
            let tls = certificate.map(Certificate::http1_config);
            servers.push(FaultyServer::start(upstream, tls).await);
        }
        Self {
            emulator,
            authority,
            names: Names::default(),
            home: tempfile::tempdir().unwrap(),
            servers,
        }
    }

    pub(crate) fn server(&self, host: Host) -> &FaultyServer {
        &self.servers[host as usize]
    }

    /// Returns the number of connections to all hosts.
    pub(crate) fn connections(&self) -> usize {
        self.servers.iter().map(FaultyServer::connections).sum()
    }

    /// Uses this certificate for the host.
    pub(crate) fn set_certificate(&self, host: Host, certificate: Certificate) {
        self.server(host)
            .set_certificate(certificate.http1_config());
    }

    /// Ends every fault of the host.
    pub(crate) async fn restore(&self, host: Host) {
        self.emulator.clear_faults();
        self.names.add(host.name());
        if host.has_tls() {
            self.set_certificate(host, self.authority.issue(&[host.name()]));
        }
        self.server(host).set_fault(NetworkFault::None).await;
    }

    /// Returns endpoints with the names of the hosts and ports of this machine.
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
            url.set_port(Some(self.server(host).address().port()))
                .unwrap();
            endpoints = endpoints.with_url(endpoint, url);
        }
        endpoints
    }

    /// Returns a client that reaches the hosts, with short timeouts.
    pub(crate) fn client(&self) -> ClientBuilder {
        self.client_with_default_timeouts()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(CONNECT_TIMEOUT + CONNECT_TIMEOUT / 2)
    }

    /// Returns a client that reaches the hosts, with default timeouts.
    pub(crate) fn client_with_default_timeouts(&self) -> ClientBuilder {
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
        self.options_with(self.client())
    }

    pub(crate) fn options_with(&self, client: ClientBuilder) -> CredentialOptions {
        CredentialOptions::new(HttpClient::from_reqwest_builder(client, self.endpoints()).unwrap())
    }

    /// Connects as a logged-in user, with two retries per request.
    pub(crate) async fn connect(&self) -> EarthEngine {
        self.connect_with(self.client()).await
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

    /// Returns a credential whose tokens come from this host.
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
                let address = self.server(Host::Metadata).address().to_string();
                let machine = Environment::empty().with_var("GCE_METADATA_HOST", address);
                let found = Search::new(machine, options.clone()).find().await;
                found.unwrap().credentials
            }
            _ => Credentials::from_json(&login, options).unwrap(),
        }
    }

    /// Returns a program that needs this host.
    pub(crate) async fn program(&self, host: Host) -> Program {
        self.program_with(host, self.client()).await
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

/// The name server, with the names that it does not resolve.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    pub(crate) fn remove(&self, name: &str) {
        self.0.lock().unwrap().insert(name.to_owned());
    }

    fn add(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let is_removed = self.0.lock().unwrap().contains(name.as_str());
        Box::pin(async move {
            if is_removed {
                return Err("Name or service not known".into());
            }
            let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
            Ok(Box::new(std::iter::once(loopback)) as Addrs)
        })
    }
}

/// A program that repeats one call.
pub(crate) enum Program {
    /// Fetches a new token after invalidating the last one.
    Tokens(Credentials, Mutex<Option<AccessToken>>),
    /// Computes a value.
    Value(EarthEngine),
    /// Lists the projects.
    Projects(EarthEngine),
    /// Lists the projects with the API state of each.
    Apis(EarthEngine),
}

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None` if the projects were listed with an unknown API state.
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: Some(error.kind()),
            message: error.to_string(),
            remedy: Some(error.remedy().text.to_string()),
        }
    }
}

impl Program {
    /// Makes one call.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        tokio::time::timeout(TEST_TIMEOUT, self.run_without_timeout())
            .await
            .expect("the call does not hang")
    }

    async fn run_without_timeout(&self) -> Result<(), Failure> {
        match self {
            Self::Tokens(credentials, last) => {
                let old = last.lock().unwrap().take();
                if let Some(old) = old {
                    credentials.token_cache().unwrap().invalidate(&old);
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
                    return Err(Failure {
                        kind: None,
                        message: String::new(),
                        remedy: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// Repeats the call until it succeeds, and returns how long that took.
    pub(crate) async fn recover(&self) -> Duration {
        let started = Instant::now();
        while let Err(failure) = self.run().await {
            assert!(
                started.elapsed() < TEST_TIMEOUT,
                "still failing after the end of the fault: {failure:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed()
    }
}

/// Checks that the program succeeds with one request after the end of a fault: at once, or after the
/// backoff of token requests. Returns how long that took.
pub(crate) async fn succeeds_with_one_request(
    google: &GoogleHosts,
    host: Host,
    program: &Program,
) -> Duration {
    let before = google.server(host).requests();
    let took = program.recover().await;
    let requests = google.server(host).requests() - before;
    // On a stalled machine the call can time out and be retried.
    assert!(
        requests == 1 || took >= CONNECT_TIMEOUT,
        "{requests} requests to {host:?} in {took:?}"
    );
    let backoff = if host.issues_tokens() {
        FIRST_BACKOFF
    } else {
        Duration::ZERO
    };
    assert!(took <= backoff + SLACK, "{host:?} recovered after {took:?}");
    took
}

/// Returns a builder that uses only the emulator at this address.
pub(crate) fn isolated(address: SocketAddr) -> EarthEngineBuilder {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(address).unwrap())
        .project(PROJECT)
}

pub(crate) fn constant(value: i64) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value}}})
}
