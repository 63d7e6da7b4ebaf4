//! A forwarder from a loopback port to a broker's Unix socket, for containers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ee_token::internal::connected_socket;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::server::Listening;
use crate::server::listen;
use crate::{Error, ErrorKind};

/// The number of connections at a time. Further ones wait.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may last. The broker closes idle ones much earlier.
const MAX_LIFE: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running forwarder. It serves only processes of its own user, and stops when it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Forwarder {
    /// Listens at a loopback address, and forwards connections to the broker at a Unix socket. The
    /// broker does not have to run yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] for an address that is not on loopback, and
    /// [`ErrorKind::Listen`].
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with I/O and time.
    pub fn start(address: SocketAddr, socket: impl Into<PathBuf>) -> Result<Self, Error> {
        let Listening::Tcp(listener, address) = listen::tcp(address)? else {
            return Err(Error::new(ErrorKind::Listen, "not a TCP socket"));
        };
        let socket = Arc::new(socket.into());
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                // The semaphore is never closed.
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                while tasks.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok((stream, client)) => {
                        let socket = socket.clone();
                        tasks.spawn(async move {
                            let forwarded = forward(stream, client, address, &socket);
                            let _ = tokio::time::timeout(MAX_LIFE, forwarded).await;
                            drop(permit);
                        });
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(Self { address, task })
    }

    /// Returns the address at which it listens, the value of `GCE_METADATA_HOST` for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut stream: TcpStream, client: SocketAddr, server: SocketAddr, socket: &PathBuf) {
    let own = rustix::process::geteuid().as_raw();
    let is_own = connected_socket(client, server).ok().flatten();
    if is_own.is_some_and(|client| client.uid != own) {
        let why = "The forwarder serves only processes of its own user.";
        return refuse(&mut stream, "403 Forbidden", why).await;
    }
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(socket)).await;
    let Ok(Ok(mut broker)) = connected else {
        let why = "The broker's socket does not accept connections. Start `eectl serve --unix` and mount its socket.";
        return refuse(&mut stream, "503 Service Unavailable", why).await;
    };
    let _ = stream.set_nodelay(true);
    // Either side may close the connection at any time.
    let _ = copy_bidirectional(&mut stream, &mut broker).await;
}

async fn refuse(stream: &mut TcpStream, status: &str, why: &str) {
    let length = why.len() + 1;
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    );
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Closing with unread data would reset the connection before the client reads the response.
    let mut rest = [0; 4096];
    let drain = async {
        while matches!(tokio::io::AsyncReadExt::read(stream, &mut rest).await, Ok(n) if n > 0) {}
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}
