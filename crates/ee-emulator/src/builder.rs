//! What an emulator is like before it starts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::content::Content;
use crate::emulator::Running;
use crate::oauth_client::{self, OAuthClient};
use crate::server::{self, Shared};
use crate::state::{Consent, Machine, State};
use crate::{Emulator, EmulatorClock, Project, scopes};

/// Settings of an [`Emulator`] that is about to start.
#[derive(Clone)]
#[must_use = "nothing runs until `start` is called"]
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

    /// The port on 127.0.0.1. 0, which is the default, means any that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds a project, or replaces the one with the same id. Without any there is
    /// `ee-demo-project`, number 123456789012, registered for noncommercial use.
    pub fn project(mut self, project: Project) -> Self {
        self.projects.retain(|other| other.id != project.id);
        self.projects.push(project);
        self
    }

    /// How long access tokens live: an hour unless set. `expires_in` says so, in whole seconds.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// The clock to go by, instead of the system's.
    pub fn clock(mut self, clock: EmulatorClock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds an API key that belongs to a project.
    pub fn api_key(mut self, key: impl Into<String>, project: impl Into<String>) -> Self {
        self.api_keys.insert(key.into(), project.into());
        self
    }

    /// Adds an OAuth client beside Earth Engine's and gcloud's, or replaces the one with this id.
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        let client = OAuthClient::new(id, secret);
        self.clients.retain(|other| other.id != client.id);
        self.clients.push(client);
        self
    }

    /// Registers an address to which the consent page may send people back for this client.
    /// Loopback addresses and the out-of-band one need no registration.
    pub fn redirect_uri(mut self, client_id: &str, uri: impl Into<String>) -> Self {
        if let Some(client) = self.clients.iter_mut().find(|c| c.id == client_id) {
            client.redirect_uris.push(uri.into());
        }
        self
    }

    /// Turns the metadata server on: that of a machine in this project, which runs as this
    /// service account and has these scopes (short names are understood).
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
            heeds_scopes: false,
            knows_recursive: true,
            ready_at: None,
            tokens: BTreeMap::new(),
        });
        self
    }

    /// Gives the machine of the metadata server, which must be turned on already, another
    /// account, by its address.
    pub fn metadata_account<S: AsRef<str>>(self, email: impl Into<String>, scopes: &[S]) -> Self {
        self.change_machine(|machine| {
            machine
                .accounts
                .insert(email.into(), scopes::full_all(scopes));
        })
    }

    /// Makes the metadata server hand out the scopes that it is asked for, as on Cloud Run.
    pub fn metadata_honors_scopes(self) -> Self {
        self.change_machine(|machine| machine.heeds_scopes = true)
    }

    /// Makes the metadata server answer 404 to `?recursive=true`, as GKE's has been seen to.
    pub fn metadata_without_recursive(self) -> Self {
        self.change_machine(|machine| machine.knows_recursive = false)
    }

    /// Lets the metadata server answer nobody for this long from now on, as in a new pod.
    pub fn metadata_ready_after(self, delay: Duration) -> Self {
        self.change_machine(|machine| machine.ready_at = Some(Instant::now() + delay))
    }

    fn change_machine(mut self, change: impl FnOnce(&mut Machine)) -> Self {
        if let Some(machine) = &mut self.metadata {
            change(machine);
        }
        self
    }

    /// Whether all service accounts get the one key of this process, [`RsaKey::shared`], which is
    /// the default: making a key takes longer than most tests, and few tests are about keys that
    /// differ. With `false` every account gets one of its own.
    ///
    /// [`RsaKey::shared`]: crate::RsaKey::shared
    pub fn share_keys(mut self, share: bool) -> Self {
        self.share_keys = share;
        self
    }

    /// Starts the emulator on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the port cannot be bound.
    pub async fn start(self) -> io::Result<Emulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let (emulator, serving) = self.assemble(listener)?;
        tokio::spawn(serving);
        Ok(emulator)
    }

    /// Starts the emulator on a thread with a runtime of its own: for programs without a runtime,
    /// and for tests that pause their runtime's time.
    ///
    /// # Errors
    ///
    /// If the port cannot be bound, or the thread or its runtime cannot be made.
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
                // Nobody may be waiting.
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
            content: Content::default(),
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
