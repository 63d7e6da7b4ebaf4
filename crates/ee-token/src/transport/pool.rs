//! The connections of a client: which of them a request uses, and when they are replaced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use reqwest::{Client, ClientBuilder, redirect};
use tokio::runtime::{self, Handle};
use url::Url;

use crate::transport::connector::{CONNECT_TIMEOUT, SharedConnections, open_ahead};
use crate::transport::emulator::ListenerCheck;
use crate::transport::endpoints::{LOCALHOST, localhost};
use crate::transport::network_settings::NetworkSettings;
use crate::transport::tls;
use crate::{Error, ErrorKind, Remedy};

/// How long an idle connection is kept. Google's servers close theirs after about 4 minutes.
const MAX_IDLE: Duration = Duration::from_secs(230);
/// The maximum number of idle connections for large responses that are kept for each host.
const MAX_IDLE_TRANSFERS: usize = 16;
/// The maximum number of requests on one HTTP/2 connection. Google's servers allow 100.
const MAX_STREAMS: usize = 100;
/// The maximum number of channels that are kept.
const MAX_CHANNELS: usize = 64;

/// How long an HTTP/2 connection with requests in flight may be silent before it is probed.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long the server may take to respond to a probe before the connection is closed.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The flow-control windows of HTTP/2, which limit the throughput to one window per round trip.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What a request transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// A small response. Such requests share HTTP/2 connections.
    Small,
    /// A large response, which is read at the reader's pace. Each has an HTTP/1.1 connection of its
    /// own, so that a slow reader delays no other request.
    Large,
}

/// A client whose connections go to one host, and a count of the requests that use it.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) client: Client,
    /// Cloned by each request in flight.
    pub(crate) in_flight: Arc<()>,
}

struct HostChannel {
    host: String,
    port: Option<u16>,
    transfer: Transfer,
    used: Instant,
    channel: Channel,
}

impl HostChannel {
    fn new(url: &Url, transfer: Transfer) -> Result<Self, Error> {
        tls::load_roots();
        let builder = NetworkSettings::of_process()
            .set_proxies(Client::builder())?
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(MAX_IDLE);
        let client = match transfer {
            Transfer::Small => build(
                builder
                    .connector_layer(SharedConnections::default())
                    .http2_keep_alive_interval(PING_INTERVAL)
                    .http2_keep_alive_timeout(PING_TIMEOUT)
                    .http2_initial_stream_window_size(STREAM_WINDOW)
                    .http2_initial_connection_window_size(CONNECTION_WINDOW),
                tls::client_config()?,
            ),
            Transfer::Large => build(
                builder
                    .http1_only()
                    .pool_max_idle_per_host(MAX_IDLE_TRANSFERS),
                tls::without_http2(tls::client_config()?),
            ),
        }?;
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
            transfer,
            used: Instant::now(),
            channel: Channel {
                client,
                in_flight: Arc::default(),
            },
        })
    }

    fn is_for(&self, url: &Url, transfer: Transfer) -> bool {
        self.transfer == transfer
            && url.host_str() == Some(self.host.as_str())
            && url.port() == self.port
    }

    fn in_flight(&self) -> usize {
        Arc::strong_count(&self.channel.in_flight) - 1
    }

    fn has_room(&self) -> bool {
        self.transfer == Transfer::Large || self.in_flight() < MAX_STREAMS
    }
}

/// The connections of one client or runtime. Each part is created lazily, because most programs
/// need only one.
#[derive(Default)]
pub(crate) struct Pool {
    /// The connections to loopback and the metadata server.
    direct: OnceCell<Client>,
    /// In emulator mode, a client with verified connections for each address.
    checked: Mutex<Vec<(ListenerCheck, Client)>>,
    /// The connections to each other host.
    channels: Mutex<Vec<HostChannel>>,
    /// The client for all other hosts, if the caller configured it.
    own: OnceCell<Client>,
    /// The TLS configuration of [`own`](Self::own), if it differs from the default. Its connections
    /// are not pooled, because they could belong to another runtime.
    config: Option<rustls::ClientConfig>,
}

impl Pool {
    pub(crate) fn with_config(config: rustls::ClientConfig) -> Self {
        Self {
            config: Some(config),
            ..Self::default()
        }
    }

    pub(crate) fn with_client(client: Client) -> Self {
        Self {
            own: OnceCell::with_value(client),
            ..Self::default()
        }
    }

    /// Creates a pool with these clients for loopback and for other hosts.
    #[cfg(test)]
    pub(crate) fn with_clients(direct: Client, own: Client) -> Self {
        Self {
            direct: OnceCell::with_value(direct),
            ..Self::with_client(own)
        }
    }

    pub(crate) fn direct(&self) -> Result<&Client, Error> {
        // Loopback and metadata connections succeed or fail immediately, so no connect timeout is
        // needed.
        self.direct
            .get_or_try_init(|| self.build(Client::builder().no_proxy()))
    }

    pub(crate) fn checked(&self, check: ListenerCheck) -> Result<Client, Error> {
        let mut clients = locked(&self.checked);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == check) {
            return Ok(client.clone());
        }
        let client = self.build(Client::builder().no_proxy().connector_layer(check))?;
        clients.push((check, client.clone()));
        Ok(client)
    }

    /// Returns the channel for a request.
    pub(crate) fn channel(&self, url: &Url, transfer: Transfer) -> Result<Channel, Error> {
        if let Some(client) = self.own()? {
            return Ok(Channel {
                client: client.clone(),
                in_flight: Arc::default(),
            });
        }
        let mut channels = locked(&self.channels);
        let known = channels
            .iter_mut()
            .find(|known| known.is_for(url, transfer) && known.has_room());
        if let Some(known) = known {
            known.used = Instant::now();
            return Ok(known.channel.clone());
        }
        let new = HostChannel::new(url, transfer)?;
        Ok(add(&mut channels, new))
    }

    /// Opens a connection for small responses from this host, unless one exists.
    pub(crate) fn open_ahead(&self, url: &Url) -> Result<(), Error> {
        if self.own()?.is_some() {
            return Ok(());
        }
        let mut channels = locked(&self.channels);
        // The client must not have a connection, or it would send a request on it.
        let is_for = |known: &HostChannel| known.is_for(url, Transfer::Small);
        if channels.iter().any(|known| {
            is_for(known) && (known.used.elapsed() < MAX_IDLE || known.in_flight() > 0)
        }) {
            return Ok(());
        }
        channels.retain(|known| !is_for(known));
        let new = HostChannel::new(url, Transfer::Small)?;
        let channel = add(&mut channels, new);
        open_ahead(&channel.client, url.clone());
        Ok(())
    }

    /// Replaces the connections to this host: requests that follow open new ones.
    pub(crate) fn replace(&self, url: &Url) {
        let removed: Vec<_> = {
            let mut channels = locked(&self.channels);
            let is_for = |known: &mut HostChannel| known.is_for(url, Transfer::Small);
            channels.extract_if(.., is_for).collect()
        };
        // Dropped after the lock is released, because it may close connections.
        drop(removed);
    }

    fn own(&self) -> Result<Option<&Client>, Error> {
        match (&self.config, self.own.get()) {
            (_, Some(client)) => Ok(Some(client)),
            (None, None) => Ok(None),
            (Some(_), None) => {
                let new = || {
                    let builder = NetworkSettings::of_process().set_proxies(Client::builder())?;
                    self.build(builder.connect_timeout(CONNECT_TIMEOUT))
                };
                self.own.get_or_try_init(new).map(Some)
            }
        }
    }

    fn build(&self, builder: ClientBuilder) -> Result<Client, Error> {
        match &self.config {
            Some(config) => build(builder.pool_max_idle_per_host(0), config.clone()),
            None => build(builder, tls::client_config()?),
        }
    }

    /// Returns the process's pool for the current runtime.
    pub(crate) fn of_this_runtime() -> Result<Arc<Self>, Error> {
        let runtime = this_runtime()?;
        let id = runtime.id();
        let pool = {
            let mut pools = locked(&POOLS);
            if let Some((_, pool)) = pools.iter().rfind(|(known, _)| *known == id) {
                return Ok(pool.clone());
            }
            let pool = Arc::new(Self::default());
            pools.push((id, pool.clone()));
            pool
        };
        // Not under the lock, because a runtime that is shutting down drops the task immediately.
        let guard = RuntimePoolGuard(id);
        runtime.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        Ok(pool)
    }
}

/// Adds a channel, and removes the least recently used one if there are too many.
fn add(channels: &mut Vec<HostChannel>, new: HostChannel) -> Channel {
    if channels.len() >= MAX_CHANNELS
        && let Some((oldest, _)) = channels
            .iter()
            .enumerate()
            .min_by_key(|(_, known)| known.used)
    {
        channels.swap_remove(oldest);
    }
    let channel = new.channel.clone();
    channels.push(new);
    channel
}

/// Returns the current runtime. Connections and timers panic without one.
pub(crate) fn this_runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Runtime, "requests need a tokio runtime").with_remedy(Remedy::new(
            "Call from inside a tokio runtime, or use the blocking client.",
        ))
    })
}

/// The pools of all runtimes. Programs have one runtime, and some servers one for each core.
static POOLS: Mutex<Vec<(runtime::Id, Arc<Pool>)>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the pool of a runtime when it is dropped. A task that never ends holds it for as long as
/// the runtime exists.
struct RuntimePoolGuard(runtime::Id);

impl Drop for RuntimePoolGuard {
    fn drop(&mut self) {
        let gone = {
            let mut pools = locked(&POOLS);
            let at = pools.iter().position(|(known, _)| *known == self.0);
            at.map(|at| pools.swap_remove(at))
        };
        // Dropped after the lock is released, because it may close connections.
        drop(gone);
    }
}

fn build(builder: ClientBuilder, config: rustls::ClientConfig) -> Result<Client, Error> {
    finish(builder.tls_backend_preconfigured(config))
}

/// Creates a client without redirects and retries, which never resolves `localhost`.
pub(crate) fn finish(mut builder: ClientBuilder) -> Result<Client, Error> {
    for name in LOCALHOST {
        // Port 0 means the URL's port.
        builder = builder.resolve_to_addrs(name, &localhost(0));
    }
    builder
        .redirect(redirect::Policy::none())
        // Without retries, reqwest does not copy requests.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Network, "the HTTP client could not be set up")
                .with_remedy(Remedy::new(
                    "Check the proxy variables (HTTPS_PROXY, ALL_PROXY) and the client's settings.",
                ))
                .with_source(error.without_url())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_kept_for_the_lifetime_of_a_runtime() {
        let runtime = || runtime::Builder::new_current_thread().build().unwrap();
        let is_known = |id| locked(&POOLS).iter().any(|(known, _)| *known == id);
        let (long, short) = (runtime(), runtime());
        let first = long.block_on(async { Pool::of_this_runtime().unwrap() });
        let of_short = short.block_on(async { Pool::of_this_runtime().unwrap() });
        assert!(!Arc::ptr_eq(&first, &of_short));
        let (id, handle) = (short.handle().id(), short.handle().clone());
        drop(short);
        assert!(!is_known(id), "the pool outlived its runtime");
        let again = long.block_on(async { Pool::of_this_runtime().unwrap() });
        assert!(Arc::ptr_eq(&first, &again));
        // A context of a runtime that has shut down neither blocks nor registers a pool.
        let _inside = handle.enter();
        assert!(Pool::of_this_runtime().is_ok());
        assert!(!is_known(id));
    }

    #[test]
    fn channels_are_chosen_by_host_transfer_and_load() {
        let pool = Pool::default();
        let url = |text: &str| text.parse::<Url>().unwrap();
        let host = url("https://earthengine.googleapis.com/v1/a");
        let channel = |url: &Url, transfer| pool.channel(url, transfer).unwrap().in_flight;
        let small = channel(&host, Transfer::Small);
        let is_small = |text: &str| Arc::ptr_eq(&channel(&url(text), Transfer::Small), &small);
        assert!(is_small("https://earthengine.googleapis.com/other"));
        assert!(!is_small("https://earthengine.googleapis.com:8443/"));
        assert!(!is_small("https://oauth2.googleapis.com/"));
        assert!(!Arc::ptr_eq(&channel(&host, Transfer::Large), &small));
        // Each clone stands for a request in flight.
        let in_flight = vec![small.clone(); MAX_STREAMS - 1];
        assert!(!is_small(host.as_str()), "a full connection was used");
        drop(in_flight);
        assert!(is_small(host.as_str()));
        pool.replace(&host);
        assert!(!is_small(host.as_str()), "a replaced connection was used");
        for port in 1..=2 * MAX_CHANNELS as u16 {
            channel(&url(&format!("https://h.example:{port}/")), Transfer::Small);
        }
        assert_eq!(locked(&pool.channels).len(), MAX_CHANNELS);
    }
}
