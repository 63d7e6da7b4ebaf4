//! The options of an emulator.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::catalog;
use crate::content::Content;
use crate::emulator::Running;
use crate::oauth_client::{self, OAuthClient};
use crate::server;
use crate::state::{Consent, Machine, Shared, State};
use crate::{Emulator, EmulatorClock, Project, scopes};

/// A builder for an [`Emulator`].
#[derive(Clone)]
#[must_use = "the emulator does not run until `start` is called"]
pub struct EmulatorBuilder {
    port: u16,
    projects: Vec<Project>,
    token_lifetime: Duration,
    clock: EmulatorClock,
    api_keys: BTreeMap<String, String>,
    clients: Vec<OAuthClient>,
    metadata: Option<Machine>,
    share_keys: bool,
}

impl Emulator {
    /// Starts an emulator with the default options: one project and no accounts.
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder for an emulator with other options.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            port: 0,
            projects: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            clock: EmulatorClock::system(),
            api_keys: BTreeMap::new(),
            clients: oauth_client::well_known(),
            metadata: None,
            share_keys: true,
        }
    }

    /// Sets the port on 127.0.0.1. Defaults to 0, which selects a free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds a project, or replaces the one with the same id.
    ///
    /// If no project is added, the emulator has `ee-demo-project`, number 123456789012, registered
    /// for noncommercial use.
    pub fn project(mut self, project: Project) -> Self {
        self.projects.retain(|other| other.id != project.id);
        self.projects.push(project);
        self
    }

    /// Sets the lifetime of access tokens. Defaults to one hour. `expires_in` reports whole seconds.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// Sets the clock. Defaults to the system clock.
    pub fn clock(mut self, clock: EmulatorClock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds an API key that belongs to a project.
    pub fn api_key(mut self, key: impl Into<String>, project: impl Into<String>) -> Self {
        self.api_keys.insert(key.into(), project.into());
        self
    }

    /// Adds an OAuth client to those of Earth Engine and gcloud, or replaces the one with this id.
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        let client = OAuthClient::new(id, secret);
        self.clients.retain(|other| other.id != client.id);
        self.clients.push(client);
        self
    }

    /// Registers a redirect URI for this client.
    ///
    /// Loopback addresses and the out-of-band URI need no registration.
    pub fn redirect_uri(mut self, client_id: &str, uri: impl Into<String>) -> Self {
        if let Some(client) = self.clients.iter_mut().find(|c| c.id == client_id) {
            client.redirect_uris.push(uri.into());
        }
        self
    }

    /// Enables the metadata server, for a virtual machine in this project with this service account
    /// and these scopes. Short scope names are expanded.
    pub fn metadata_server<S: AsRef<str>>(
        mut self,
        email: impl Into<String>,
        project: impl Into<String>,
        scopes: &[S],
    ) -> Self {
        self.metadata = Some(Machine {
            email: email.into(),
            project: project.into(),
            scopes: scopes::full_all(scopes),
            accounts: BTreeMap::new(),
            honors_scopes: false,
            supports_recursive: true,
            ready_at: None,
            tokens: BTreeMap::new(),
        });
        self
    }

    /// Adds another service account to the virtual machine. The metadata server must be enabled first.
    pub fn metadata_account<S: AsRef<str>>(self, email: impl Into<String>, scopes: &[S]) -> Self {
        self.update_machine(|machine| {
            machine
                .accounts
                .insert(email.into(), scopes::full_all(scopes));
        })
    }

    /// Makes the metadata server honor the scopes in token requests, as on Cloud Run.
    pub fn metadata_honors_scopes(self) -> Self {
        self.update_machine(|machine| machine.honors_scopes = true)
    }

    /// Makes the metadata server respond 404 to `?recursive=true`, as observed on GKE.
    pub fn metadata_without_recursive(self) -> Self {
        self.update_machine(|machine| machine.supports_recursive = false)
    }

    /// Makes the metadata server unavailable for this duration from now on, as in a new pod.
    pub fn metadata_ready_after(self, delay: Duration) -> Self {
        self.update_machine(|machine| machine.ready_at = Some(Instant::now() + delay))
    }

    fn update_machine(mut self, change: impl FnOnce(&mut Machine)) -> Self {
        if let Some(machine) = &mut self.metadata {
            change(machine);
        }
        self
    }

    /// Sets whether all service accounts share one key, [`RsaKey::shared`]. Defaults to `true`, because
    /// generating a key takes longer than most tests.
    ///
    /// If `false`, each service account has its own key.
    ///
    /// [`RsaKey::shared`]: crate::RsaKey::shared
    pub fn share_keys(mut self, share: bool) -> Self {
        self.share_keys = share;
        self
    }

    /// Starts the emulator on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the port cannot be bound.
    pub async fn start(self) -> io::Result<Emulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let (emulator, serving) = self.assemble(listener)?;
        tokio::spawn(serving);
        Ok(emulator)
    }

    /// Starts the emulator on a new thread with its own runtime.
    ///
    /// For programs without a runtime, and for tests that pause their runtime's time.
    ///
    /// # Errors
    ///
    /// Returns an error if the port cannot be bound, or the thread or its runtime cannot be created.
    pub fn start_blocking(self) -> io::Result<Emulator> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)))?;
        let (emulator, serving) = self.assemble(listener)?;
        std::thread::Builder::new()
            .name("ee-emulator".to_owned())
            .spawn(move || runtime.block_on(serving))?;
        Ok(emulator)
    }

    fn assemble(
        self,
        listener: TcpListener,
    ) -> io::Result<(Emulator, impl Future<Output = ()> + Send + use<>)> {
        let address = listener.local_addr()?;
        let share_keys = self.share_keys;
        let clock = self.clock.clone();
        let shared = Arc::new(Shared::new(address, clock, self.into_state()));
        let (stop, stopped) = watch::channel(false);
        let (done, finished) = oneshot::channel();
        let serving = {
            let shared = Arc::clone(&shared);
            async move {
                server::serve(listener, shared, stopped).await;
                // The receiver is dropped unless `shutdown` is waiting.
                let _ = done.send(());
            }
        };
        let running = Running { stop, finished };
        Ok((Emulator::new(shared, running, share_keys), serving))
    }

    fn into_state(mut self) -> State {
        if self.projects.is_empty() {
            self.projects
                .push(Project::new("ee-demo-project").number(123_456_789_012));
        }
        State {
            projects: self.projects,
            accounts: BTreeMap::new(),
            impersonators: BTreeMap::new(),
            users: BTreeSet::new(),
            providers: BTreeMap::new(),
            aws_keys: BTreeMap::new(),
            ec2: None,
            identities: Vec::new(),
            rotates_refresh_tokens: false,
            clients: self.clients,
            api_keys: self.api_keys,
            grants: HashMap::new(),
            tokens: HashMap::new(),
            codes: HashMap::new(),
            notebooks: HashMap::new(),
            consent: Consent::Ask,
            metadata: self.metadata,
            token_lifetime: self.token_lifetime,
            content: Content {
                assets: catalog::assets(self.clock.now()),
                ..Content::default()
            },
        }
    }
}

impl std::fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmulatorBuilder")
            .field("port", &self.port)
            .field("projects", &self.projects)
            .field("token_lifetime", &self.token_lifetime)
            .finish_non_exhaustive()
    }
}
