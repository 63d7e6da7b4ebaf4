//! Listening sockets, on loopback or at a path.

use std::io;
use std::net::SocketAddr;

use ee_token::Remedy;
use tokio::net::{TcpListener, TcpSocket};

use super::Listening;
use crate::{Error, ErrorKind};

/// How many connections may wait to be accepted. The system may allow fewer.
const BACKLOG: u32 = 4096;

fn cannot_listen(place: impl std::fmt::Display, error: &io::Error) -> Error {
    let failed = Error::new(
        ErrorKind::Listen,
        format!("cannot listen at {place}: {error}"),
    );
    match error.kind() {
        io::ErrorKind::NotFound => {
            failed.with_remedy(Remedy::new("Create the directory of the socket first."))
        }
        _ => failed,
    }
}

/// Listens at a loopback address.
pub(crate) fn tcp(address: SocketAddr) -> Result<Listening, Error> {
    check_loopback(address)?;
    let listener = || -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier broker may still be closing.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = listener().map_err(|error| cannot_listen(address, &error))?;
    with_address(listener)
}

/// Uses a socket that another program opened, such as systemd.
pub(crate) fn existing_tcp(listener: std::net::TcpListener) -> Result<Listening, Error> {
    let failed = |error| cannot_listen("the given socket", &error);
    check_loopback(listener.local_addr().map_err(failed)?)?;
    listener.set_nonblocking(true).map_err(failed)?;
    with_address(TcpListener::from_std(listener).map_err(failed)?)
}

fn with_address(listener: TcpListener) -> Result<Listening, Error> {
    let address = listener.local_addr();
    let address = address.map_err(|error| cannot_listen("the given socket", &error))?;
    Ok(Listening::Tcp(listener, address))
}

fn check_loopback(address: SocketAddr) -> Result<(), Error> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidOptions,
        format!("{address} is not a loopback address, and the broker serves this machine only"),
    )
    .with_remedy(Remedy::new(
        "Use 127.0.0.1 or [::1]. For containers, mount a Unix socket (--unix); for other machines, forward one over SSH.",
    )))
}

#[cfg(unix)]
pub(crate) use self::unix::{SocketPath, bind_unix, existing_unix};

#[cfg(unix)]
mod unix {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use ee_token::internal::display_path;
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::prefix::PathPrefix;

    /// How long a broker at the same path may take to accept a connection.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
    /// The longest path of a socket on Linux, and less than that of macOS plus the temporary name.
    const MAX_PATH: usize = 107;

    /// The path of the broker's own socket, which is removed when the broker stops.
    #[derive(Debug)]
    pub(crate) struct SocketPath {
        path: PathBuf,
        device: u64,
        inode: u64,
    }

    impl Drop for SocketPath {
        fn drop(&mut self) {
            // Another broker may have replaced it.
            let is_own = fs::symlink_metadata(&self.path)
                .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
            if is_own {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// Listens at a path. A socket without a listener is replaced.
    pub(crate) async fn bind_unix(
        path: &Path,
        mode: u32,
    ) -> Result<(Listening, SocketPath), Error> {
        let shown = display_path(path).to_string();
        let failed = |error: io::Error| cannot_listen(&shown, &error);
        if path.as_os_str().len() > MAX_PATH {
            let message = format!("the socket path {shown} is longer than {MAX_PATH} bytes");
            return Err(
                Error::new(ErrorKind::InvalidOptions, message).with_remedy(Remedy::new(
                    "Use a shorter path, for example below /run or /tmp.",
                )),
            );
        }
        check_path(path, &shown).await?;
        // Under a temporary name until its mode is set, and so that it replaces an abandoned socket
        // in one step.
        let temporary = temporary_path(path)?;
        let listener = UnixListener::bind(&temporary).map_err(failed)?;
        let own = (|| {
            fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
            let metadata = fs::symlink_metadata(&temporary)?;
            fs::rename(&temporary, path)?;
            Ok(SocketPath {
                path: path.to_owned(),
                device: metadata.dev(),
                inode: metadata.ino(),
            })
        })()
        .map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(error)
        })?;
        Ok((Listening::Unix(listener), own))
    }

    /// A name in the same directory that is not longer than the path may be.
    fn temporary_path(path: &Path) -> Result<PathBuf, Error> {
        let random = PathPrefix::random()?;
        let name = random.expose().get(..8).unwrap_or_default();
        let is_short = path.as_os_str().len() < MAX_PATH - name.len() - 1;
        Ok(match is_short {
            true => path.with_added_extension_like(name),
            false => path.with_file_name(name),
        })
    }

    trait AddedExtension {
        fn with_added_extension_like(&self, extension: &str) -> PathBuf;
    }

    impl AddedExtension for Path {
        fn with_added_extension_like(&self, extension: &str) -> PathBuf {
            let mut name = self.as_os_str().to_owned();
            name.push(".");
            name.push(extension);
            name.into()
        }
    }

    /// Checks that a path is free, or has a socket without a listener.
    async fn check_path(path: &Path, shown: &str) -> Result<(), Error> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(cannot_listen(shown, &error)),
        };
        if !metadata.file_type().is_socket() {
            let message = format!("{shown} exists and is not a socket");
            return Err(Error::new(ErrorKind::Listen, message)
                .with_remedy(Remedy::new("Use another path, or remove the file.")));
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Ok(Err(error)) => Err(cannot_listen(shown, &error)),
            _ => Err(Error::new(
                ErrorKind::Listen,
                format!("another program listens at {shown}"),
            )
            .with_remedy(Remedy::new("Use it, stop it, or use another path."))),
        }
    }

    /// Uses a socket that another program opened, such as systemd.
    pub(crate) fn existing_unix(
        listener: std::os::unix::net::UnixListener,
    ) -> Result<Listening, Error> {
        let failed = |error| cannot_listen("the given socket", &error);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Listening::Unix(listener))
    }
}
