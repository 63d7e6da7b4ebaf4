//! The process at the other end of a connection.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;

use ee_token::internal::connected_socket;
use tokio::sync::OnceCell;

use super::process::{Process, Processes, Purpose};

/// A connection, and what the system told about its peer when it was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Connection {
    Tcp {
        client: SocketAddr,
        server: SocketAddr,
    },
    #[cfg(unix)]
    Unix { uid: Option<u32>, pid: Option<u32> },
}

impl Connection {
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }
}

/// The user at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerUser {
    Known(u32),
    Unknown,
}

impl PeerUser {
    pub(crate) fn uid(self) -> Option<u32> {
        match self {
            Self::Known(uid) => Some(uid),
            Self::Unknown => None,
        }
    }
}

/// The peer of a connection. It is looked up once, for the first request, because it cannot change.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    socket: OnceLock<Option<(u32, u64)>>,
    process: OnceCell<Option<Process>>,
}

impl Peer {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            socket: OnceLock::new(),
            process: OnceCell::new(),
        }
    }

    fn socket(&self, client: SocketAddr, server: SocketAddr) -> Option<(u32, u64)> {
        *self.socket.get_or_init(|| {
            let found = connected_socket(client, server);
            let found = found.inspect_err(|error| tracing::debug!(%error, "unknown peer"));
            found
                .ok()
                .flatten()
                .map(|socket| (socket.uid, socket.inode))
        })
    }

    pub(crate) fn user(&self) -> PeerUser {
        let uid = match self.connection {
            Connection::Tcp { client, server } => self.socket(client, server).map(|(uid, _)| uid),
            #[cfg(unix)]
            Connection::Unix { uid, .. } => uid,
        };
        uid.map_or(PeerUser::Unknown, PeerUser::Known)
    }

    /// Returns the process at the other end, if the system tells.
    pub(crate) async fn process(&self, processes: &Processes, purpose: Purpose) -> Option<Process> {
        if let Some(known) = self.process.get() {
            return known.clone();
        }
        // Over TCP, the search costs more than the rest of the request.
        let is_optional = self.connection.is_tcp() && purpose == Purpose::Status;
        if is_optional && !processes.may_search_for_status() {
            return None;
        }
        let find = || async {
            match self.connection {
                Connection::Tcp { client, server } => {
                    let (_, inode) = self.socket(client, server)?;
                    processes.with_socket(inode, purpose).await
                }
                #[cfg(unix)]
                Connection::Unix { pid, .. } => Some(Process::new(pid?)),
            }
        };
        self.process.get_or_init(find).await.clone()
    }
}

/// Whether the system tells who owns the other end of a connection on loopback.
pub(crate) fn tells_owners() -> bool {
    let own = || -> std::io::Result<bool> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let server = listener.local_addr()?;
        let stream = TcpStream::connect(server)?;
        Ok(connected_socket(stream.local_addr()?, server)?.is_some())
    };
    own().unwrap_or(false)
}
