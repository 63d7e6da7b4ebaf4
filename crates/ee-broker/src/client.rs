//! The client of a running broker's status.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ee_token::Remedy;
use ee_token::internal::display_path;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::respond::STATUS_PATH;
use crate::{Error, ErrorKind};

/// How long a broker may take to respond.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Much more than the size of a status.
const MAX_RESPONSE: u64 = 1 << 20;

/// Where a broker listens: the value of `GCE_METADATA_HOST`, or the path of a Unix socket.
#[derive(Clone)]
pub struct BrokerAddress(Place);

#[derive(Clone)]
enum Place {
    Tcp { address: SocketAddr, path: String },
    Unix(PathBuf),
}

impl BrokerAddress {
    /// Returns the address of a broker at a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Place::Unix(path.into()))
    }
}

impl From<SocketAddr> for BrokerAddress {
    fn from(address: SocketAddr) -> Self {
        let path = String::new();
        Self(Place::Tcp { address, path })
    }
}

/// Parses `ADDRESS:PORT`, with the unguessable path if there is one.
impl FromStr for BrokerAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (address, path) = text.split_once('/').unwrap_or((text, ""));
        let is_path = path.bytes().all(|b| b.is_ascii_alphanumeric());
        let path = match path {
            "" => String::new(),
            path => format!("/{path}"),
        };
        match address.parse() {
            Ok(address) if is_path => Ok(Self(Place::Tcp { address, path })),
            // The path is a secret.
            _ => Err(Error::new(
                ErrorKind::InvalidOptions,
                "the address of the broker is not ADDRESS:PORT",
            )
            .with_remedy(Remedy::new(
                "Use the address that `eectl serve` printed, such as 127.0.0.1:8181.",
            ))),
        }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp { address, .. } => address.fmt(f),
            Place::Unix(path) => display_path(path).fmt(f),
        }
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

/// Returns the status of a running broker: its credential, its limits, counts of tokens and of denied
/// requests, and the last entries of its ledger.
///
/// # Errors
/// [`ErrorKind::NoBroker`] if none responds, or not to this user.
pub async fn fetch_status(broker: &BrokerAddress) -> Result<Value, Error> {
    let no_broker = |why: &dyn fmt::Display| {
        Error::new(
            ErrorKind::NoBroker,
            format!("no broker responds at {broker}: {why}"),
        )
    };
    let response = match tokio::time::timeout(TIMEOUT, ask(broker)).await {
        Ok(response) => response.map_err(|error| no_broker(&error))?,
        Err(_) => return Err(no_broker(&"timeout")),
    };
    let text = String::from_utf8_lossy(&response);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    match (status, serde_json::from_str(body)) {
        ("200", Ok(value)) => Ok(value),
        ("403", _) => {
            let why = ee_token::internal::sanitize_message(body.trim(), &[]);
            Err(no_broker(&why))
        }
        _ => Err(no_broker(&"the response is not a broker's")),
    }
}

async fn ask(broker: &BrokerAddress) -> io::Result<Vec<u8>> {
    match &broker.0 {
        Place::Tcp { address, path } => {
            let stream = TcpStream::connect(address).await?;
            exchange(stream, &address.to_string(), path).await
        }
        #[cfg(unix)]
        Place::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await?;
            exchange(stream, "localhost", "").await
        }
        #[cfg(not(unix))]
        Place::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {path}{STATUS_PATH} HTTP/1.1\r\nHost: {host}\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut response).await?;
    Ok(response)
}
