//! The broker and its options.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use ee_credentials::Credentials;
use ee_token::internal::is_unsafe_for_display;
use ee_token::{AccessToken, Remedy};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use crate::access::{AllowedUsers, Processes, tells_owners};
use crate::deadline::Deadline;
use crate::id_tokens::IdTokens;
use crate::ledger::Ledger;
use crate::prefix::PathPrefix;
use crate::server::{self, Connections, Listening, Shared, listen};
use crate::tokens::Tokens;
use crate::{Error, ErrorKind};

/// The number of connections if nothing else is set and the system allows it.
const MAX_CONNECTIONS: usize = 1024;
/// File descriptors that are left for the rest of the program, unless the system allows few.
const RESERVED_FILES: usize = 128;

/// A running metadata server for the tokens of one credential.
///
/// It stops when it is dropped, or with [`shutdown`](Self::shutdown), which lets responses finish.
///
/// ```
/// use ee_broker::Broker;
/// use ee_credentials::Credentials;
/// use ee_token::AccessToken;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let credentials = Credentials::from_token(AccessToken::new("from-my-vault")?);
/// let broker = Broker::builder(credentials)
///     .project("my-project")
///     .listen("127.0.0.1:0".parse()?)
///     .start()
///     .await?;
/// // For every client of Google Cloud on this machine:
/// println!("GCE_METADATA_HOST={}", broker.metadata_host().unwrap());
/// broker.shutdown().await;
/// # Ok(()) }
/// ```
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    needs_prefix: bool,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    #[cfg(unix)]
    _paths: Vec<listen::SocketPath>,
}

/// A builder for a [`Broker`].
#[derive(Debug)]
#[must_use = "the broker does not run until `start` is called"]
pub struct BrokerBuilder {
    credentials: Credentials,
    project: Option<String>,
    lifetime: Option<Duration>,
    users: Vec<u32>,
    ledger: Option<PathBuf>,
    max_connections: Option<usize>,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
enum Listener {
    Address(SocketAddr),
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Path(PathBuf),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl Broker {
    /// Creates a builder. Clients get tokens with the scopes of these credentials, whichever they
    /// request; pass credentials with as few scopes as the clients need.
    pub fn builder(credentials: Credentials) -> BrokerBuilder {
        BrokerBuilder {
            credentials,
            project: None,
            lifetime: None,
            users: Vec::new(),
            ledger: None,
            max_connections: None,
            listeners: Vec::new(),
        }
    }

    /// Returns the TCP addresses at which the broker listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the value of `GCE_METADATA_HOST` for clients: the first TCP address. If the system
    /// does not tell which user connects, an unguessable path follows, which is a secret of the
    /// owner. Returns `None` if the broker listens only at Unix sockets.
    pub fn metadata_host(&self) -> Option<String> {
        let address = self.addresses.first()?;
        Some(match self.needs_prefix {
            true => self.secret_host(*address),
            false => address.to_string(),
        })
    }

    /// Returns the URL of the token, with the unguessable path. For clients that can be given a URL.
    pub fn token_url(&self) -> Option<String> {
        let host = self.secret_host(*self.addresses.first()?);
        Some(format!(
            "http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
        ))
    }

    #[cfg(test)]
    pub(crate) fn shared_prefix(&self) -> &str {
        self.shared.prefix.expose()
    }

    fn secret_host(&self, address: SocketAddr) -> String {
        format!("{address}/{}", self.shared.prefix.expose())
    }

    /// Returns whether clients must use the path in [`metadata_host`](Self::metadata_host), because
    /// the system does not tell which user connects over TCP.
    pub fn needs_path_prefix(&self) -> bool {
        self.needs_prefix
    }

    /// Returns the project that the broker reports.
    pub fn project(&self) -> Option<&str> {
        self.shared.project.as_deref()
    }

    /// Returns the token that clients get now, for a check before they start.
    ///
    /// # Errors
    /// The same as [`Credentials::token`].
    pub async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        Ok(self.shared.tokens.serve().await?.token)
    }

    /// Stops accepting connections, lets responses finish for up to 2 seconds, and writes the rest
    /// of the ledger.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        self.shared.ledger.flush().await;
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("addresses", &self.addresses)
            .field("credentials", &self.shared.credentials)
            .field("project", &self.shared.project)
            .finish_non_exhaustive()
    }
}

impl BrokerBuilder {
    /// Sets the project that the broker reports.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Sets how long requests are served. Tokens expire for clients at the end, too. Defaults to the
    /// life of the broker.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Allows another user of this machine, by user ID. The user of this process is always allowed,
    /// and root only if it is that user.
    pub fn allow_user(mut self, uid: u32) -> Self {
        self.users.push(uid);
        self
    }

    /// Appends a line of JSON for each token and each denied request to this file: when, which
    /// process, which scopes, but never a token. The file is created with mode 0600.
    pub fn ledger(mut self, path: impl Into<PathBuf>) -> Self {
        self.ledger = Some(path.into());
        self
    }

    /// Sets the number of connections. When it is reached, the connection that has been idle for
    /// longest is closed for a new one. Defaults to 1,024, or fewer if the system does not allow so
    /// many open files.
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = Some(max);
        self
    }

    /// Listens at a loopback address. Port 0 selects a free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listeners.push(Listener::Address(address));
        self
    }

    /// Listens at an open TCP socket on loopback, for example one of systemd.
    pub fn listen_tcp(mut self, listener: std::net::TcpListener) -> Self {
        self.listeners.push(Listener::Tcp(listener));
        self
    }

    /// Listens at a Unix socket, which only its owner can open unless other users are allowed. The
    /// socket of a broker that was killed is replaced.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.listeners.push(Listener::Path(path.into()));
        self
    }

    /// Listens at an open Unix socket, for example one of systemd.
    #[cfg(unix)]
    pub fn listen_unix_socket(mut self, listener: std::os::unix::net::UnixListener) -> Self {
        self.listeners.push(Listener::Unix(listener));
        self
    }

    /// Starts the broker on the current tokio runtime. No token is requested until a client asks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] without a listener, for an address that is not on loopback and
    /// for an API key, [`ErrorKind::Listen`] or [`ErrorKind::Ledger`].
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with I/O and time.
    pub async fn start(self) -> Result<Broker, Error> {
        let deadline = self.lifetime.map(Deadline::after);
        let tokens = Tokens::new(&self.credentials, deadline).ok_or_else(no_tokens)?;
        check_project(self.project.as_deref())?;
        if self.listeners.is_empty() {
            let why = "the broker has no address to listen at";
            return Err(Error::new(ErrorKind::InvalidOptions, why)
                .with_remedy(Remedy::new("Set an address or a socket path.")));
        }
        let ledger = Ledger::new(self.ledger.as_deref())?;
        #[cfg(unix)]
        let mut paths = Vec::new();
        // Other users reach the socket, and are checked when they connect.
        #[cfg(unix)]
        let mode = if self.users.is_empty() { 0o600 } else { 0o666 };
        let mut listening = Vec::new();
        for listener in self.listeners {
            listening.push(match listener {
                Listener::Address(address) => listen::tcp(address)?,
                Listener::Tcp(listener) => listen::existing_tcp(listener)?,
                #[cfg(unix)]
                Listener::Path(path) => {
                    let (bound, own) = listen::bind_unix(&path, mode).await?;
                    paths.push(own);
                    bound
                }
                #[cfg(unix)]
                Listener::Unix(listener) => listen::existing_unix(listener)?,
            });
        }
        let addresses: Vec<_> = listening.iter().filter_map(tcp_address).collect();
        let scopes = self.credentials.scopes().cloned();
        let max_connections = self.max_connections.unwrap_or_else(default_connections);
        let connections = Connections::new(max_connections);
        let mut users = self.users;
        users.extend(own_uid());
        let shared = Arc::new(Shared {
            scopes: scopes.filter(|scopes| !scopes.is_empty()),
            credentials: self.credentials,
            tokens,
            id_tokens: IdTokens::default(),
            project: self.project,
            project_number: OnceCell::new(),
            users: AllowedUsers(users),
            prefix: PathPrefix::random()?,
            deadline,
            ledger,
            processes: Processes::default(),
            connections: connections.clone(),
            started_at: Utc::now(),
        });
        let (stop, stopped) = watch::channel(false);
        let tasks = listening.into_iter().map(|listening| {
            let served = server::serve(
                listening,
                shared.clone(),
                connections.clone(),
                stopped.clone(),
            );
            tokio::spawn(served)
        });
        Ok(Broker {
            tasks: tasks.collect(),
            needs_prefix: !addresses.is_empty() && !tells_owners(),
            addresses,
            shared,
            stop,
            #[cfg(unix)]
            _paths: paths,
        })
    }
}

fn tcp_address(listening: &Listening) -> Option<SocketAddr> {
    match listening {
        Listening::Tcp(_, address) => Some(*address),
        #[cfg(unix)]
        Listening::Unix(_) => None,
    }
}

fn no_tokens() -> Error {
    let why = "an API key has no tokens that clients could use";
    Error::new(ErrorKind::InvalidOptions, why)
        .with_remedy(Remedy::new("Log in, or use a service account key."))
}

/// The project becomes part of responses and of header files.
fn check_project(project: Option<&str>) -> Result<(), Error> {
    let is_unsafe = |c: char| c.is_whitespace() || is_unsafe_for_display(c);
    match project {
        Some(project) if project.is_empty() || project.contains(is_unsafe) => {
            let why = "the project is empty or contains spaces or control characters";
            Err(Error::new(ErrorKind::InvalidOptions, why)
                .with_remedy(Remedy::new("Use the project's ID.")))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn own_uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn own_uid() -> Option<u32> {
    None
}

#[cfg(unix)]
fn default_connections() -> usize {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current;
    let files = files.and_then(|files| usize::try_from(files).ok());
    let files = files.unwrap_or(usize::MAX);
    (files - RESERVED_FILES.min(files / 2)).min(MAX_CONNECTIONS)
}

#[cfg(not(unix))]
fn default_connections() -> usize {
    MAX_CONNECTIONS - RESERVED_FILES
}
