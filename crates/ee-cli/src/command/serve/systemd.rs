//! systemd's sockets (sd_listen_fds(3)) and notifications (sd_notify(3)).

use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};

use listenfd::ListenFd;

/// A socket that systemd opened.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Returns the sockets that systemd opened for this process.
pub(super) fn listeners() -> io::Result<Vec<Listener>> {
    let mut given = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..given.len() {
        // A socket of the other kind stays for the second attempt.
        let listener = match given.take_unix_listener(index) {
            Ok(Some(listener)) => Listener::Unix(listener),
            _ => match given.take_tcp_listener(index)? {
                Some(listener) => Listener::Tcp(listener),
                None => continue,
            },
        };
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Tells systemd the state of the service, if it wants to know.
pub(super) fn notify(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| send(&socket, state, &address));
    if let Err(error) = sent {
        tracing::debug!(%error, "cannot notify systemd");
    }
}

fn send(socket: &UnixDatagram, state: &str, address: &std::ffi::OsStr) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;
        if let Some(name) = address.as_bytes().strip_prefix(b"@") {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return socket.send_to_addr(state.as_bytes(), &address);
        }
    }
    socket.send_to(state.as_bytes(), address)
}
