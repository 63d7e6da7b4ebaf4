//! The user at the other end of a connection on this machine.

use std::io;
use std::net::SocketAddr;

/// The socket at one end of a connection on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectedSocket {
    /// The user who owns it.
    pub uid: u32,
    /// Its inode, which identifies it among all open sockets.
    pub inode: u64,
}

/// Finds the socket at `local` that is connected to `remote`, both on this machine. Returns `None` if
/// there is no such socket, if it was closed, or if its owner can stand for several users.
///
/// # Errors
/// Fails if the system does not tell.
#[cfg(target_os = "linux")]
pub fn connected_socket(
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Option<ConnectedSocket>> {
    use super::{proc_net, sock_diag, stands_for_several_users};
    let found = sock_diag::find_connected(local, remote)
        .or_else(|_| proc_net::find_connected(local, remote))?;
    // A closed socket has no inode, and is reported as root's.
    let found = found.filter(|socket| socket.inode != 0);
    Ok(found
        .filter(|socket| !stands_for_several_users(socket.uid))
        .map(|socket| ConnectedSocket {
            uid: socket.uid,
            inode: socket.inode,
        }))
}

/// Fails: only Linux tells.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn connected_socket(_: SocketAddr, _: SocketAddr) -> io::Result<Option<ConnectedSocket>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::{proc_net, sock_diag};
    use super::*;
    use std::net::{Shutdown, TcpListener, TcpStream};

    #[test]
    fn both_sources_find_the_clients_socket() {
        for bound in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let server = listener.local_addr().unwrap();
            let stream = TcpStream::connect(server).unwrap();
            let client = stream.local_addr().unwrap();
            let _accepted = listener.accept().unwrap();
            let found = connected_socket(client, server).unwrap().unwrap();
            assert_eq!(found.uid, rustix::process::geteuid().as_raw());
            assert_ne!(found.inode, 0);
            let other = connected_socket(server, client).unwrap().unwrap();
            assert_ne!(other.inode, found.inode);
            let by_list = proc_net::find_connected(client, server).unwrap();
            assert_eq!(by_list, sock_diag::find_connected(client, server).unwrap());
            // A client may close its sending side before it reads the response.
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(connected_socket(client, server).unwrap(), Some(found));
            drop(stream);
            assert_eq!(connected_socket(client, server).unwrap(), None);
        }
    }

    #[test]
    fn a_listener_is_not_one_end_of_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = "127.0.0.1:1".parse().unwrap();
        assert_eq!(connected_socket(server, client).unwrap(), None);
        assert_eq!(connected_socket(client, server).unwrap(), None);
    }
}
