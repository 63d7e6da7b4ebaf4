//! The HTTP server: a bounded number of connections, each with an idle timeout.

mod connections;
pub(crate) mod listen;
pub(crate) mod respond;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::{Connection, Peer};
pub(crate) use connections::{Connections, Slot};
pub(crate) use respond::Shared;

/// The limits of a request's head. Larger ones get status 431.
const MAX_BUFFER: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// How long connections may take to finish their responses when the broker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listening {
    #[cfg(unix)]
    async fn accept(&self) -> io::Result<(Stream, Connection)> {
        match self {
            Self::Tcp(listener, server) => accept_tcp(listener, *server).await,
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred().ok();
                let connection = Connection::Unix {
                    uid: peer.map(|peer| peer.uid()),
                    pid: peer.and_then(|peer| u32::try_from(peer.pid()?).ok()),
                };
                Ok((Stream::Unix(stream), connection))
            }
        }
    }

    #[cfg(not(unix))]
    async fn accept(&self) -> io::Result<(Stream, Connection)> {
        let Self::Tcp(listener, server) = self;
        accept_tcp(listener, *server).await
    }
}

async fn accept_tcp(
    listener: &TcpListener,
    server: SocketAddr,
) -> io::Result<(Stream, Connection)> {
    let (stream, client) = listener.accept().await?;
    // Small responses should not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    Ok((Stream::Tcp(stream), Connection::Tcp { client, server }))
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// Serves until `stop` changes or its sender is dropped, then lets connections finish.
pub(crate) async fn serve(
    listening: Listening,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            accepted = listening.accept() => accepted,
        };
        // Collects finished connections, so that the set does not grow.
        while tasks.try_join_next().is_some() {}
        let (stream, connection) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                if is_out_of_files(&error) {
                    connections.shrink();
                }
                connections.evict();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Another connection is closed only if one waits.
        let slot = tokio::select! {
            _ = stop.changed() => break,
            slot = connections.admit() => slot,
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        match stream {
            Stream::Tcp(stream) => {
                tasks.spawn(connected(stream, connection, slot, shared, stop));
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                tasks.spawn(connected(stream, connection, slot, shared, stop));
            }
        }
    }
    drop(listening);
    let finished = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_TIMEOUT, finished).await;
    tasks.shutdown().await;
}

#[cfg(unix)]
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = Errno::from_io_error(error);
    matches!(number, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

async fn connected(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Connection,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let peer = Peer::new(connection);
    let service = service_fn(|request| {
        let busy = slot.begin();
        let (shared, peer) = (&shared, &peer);
        async move {
            let response = respond::respond(shared, peer, &request).await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut is_stopping = false;
    let mut idle = std::pin::pin!(slot.idle());
    loop {
        tokio::select! {
            // Connections are expected to break: clients close them at any time.
            _ = connection.as_mut() => break,
            () = idle.as_mut() => break,
            _ = stop.changed(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
