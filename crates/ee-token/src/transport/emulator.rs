//! The emulator, and the check that its listener belongs to this user or to root.
//!
//! Each connection is verified once, before a request is written to it: the socket that listens at
//! the address must belong to this user or to root, and must be the same before and after
//! connecting. The peer of an established connection cannot change, so requests on it need no
//! further check, and no result is cached.

use std::error::Error as StdError;
use std::future::{Future, ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;
use url::{Host, Url};

use crate::transport::connector::call_once;
use crate::transport::listener::{Owner, user_name};
use crate::{Error, ErrorKind, Remedy};

/// The environment variable that holds the emulator's address.
pub const EMULATOR_HOST: &str = "EARTHENGINE_EMULATOR_HOST";

/// The environment variable that allows an emulator whose owner the system does not tell.
pub const EMULATOR_TRUST: &str = "EARTHENGINE_EMULATOR_TRUST";

/// The emulator that requests are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Emulator {
    pub(crate) address: SocketAddr,
    /// Whether it comes from the environment rather than from the program.
    pub(crate) is_from_env: bool,
    /// Whether it is used if the system does not tell its owner.
    pub(crate) allows_unknown_owner: bool,
}

impl Emulator {
    /// Returns the remedy if it does not respond.
    pub(crate) fn remedy(self) -> Remedy {
        let address = self.address;
        if self.is_from_env {
            Remedy::new(format!(
                "{EMULATOR_HOST} is set: start the emulator at {address}, or unset the variable to use Google."
            ))
            .command(format!("unset {EMULATOR_HOST}"))
        } else {
            Remedy::new(format!(
                "This program uses the emulator at {address}: check that it is running."
            ))
        }
    }
}

/// The check of each new connection to an address in emulator mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerCheck {
    emulator: Emulator,
    address: SocketAddr,
    /// The second address of `localhost`.
    other: Option<SocketAddr>,
}

impl ListenerCheck {
    /// Creates the check for a URL on loopback.
    pub(crate) fn new(emulator: Emulator, url: &Url) -> Option<Self> {
        let port = url.port_or_known_default()?;
        let (ip, other) = match url.host()? {
            Host::Ipv4(ip) => (IpAddr::V4(ip), None),
            Host::Ipv6(ip) => (IpAddr::V6(ip), None),
            Host::Domain(_) => (
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                Some(SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
            ),
        };
        Some(Self {
            emulator,
            address: SocketAddr::from((ip, port)),
            other,
        })
    }

    /// Checks whether a connection may be made. The owner may still be unknown, because without a
    /// listener the system refuses the connection.
    pub(crate) fn before_connecting(&self) -> Result<Owner, Error> {
        match Owner::of([self.address].into_iter().chain(self.other)) {
            Owner::Other(uid) => Err(self.served_by_another(uid)),
            owner => Ok(owner),
        }
    }

    /// Checks whether requests may be written to a new connection.
    pub(crate) fn after_connecting(&self, before: &Owner) -> Result<(), Error> {
        let after = self.before_connecting()?;
        if after != *before {
            return Err(Error::new(
                ErrorKind::Network,
                format!(
                    "the emulator at {} was started or stopped while the connection was made",
                    self.address
                ),
            )
            .with_remedy(Remedy::new("Try again.")));
        }
        match after {
            Owner::Unknown(why) if !self.emulator.allows_unknown_owner => {
                Err(self.unknown_owner(why))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn served_by_another(&self, uid: u32) -> Error {
        let remedy = if self.emulator.is_from_env {
            Remedy::new(format!(
                "Unset {EMULATOR_HOST} to use Google, or start the emulator as the user of this program."
            ))
            .command(format!("unset {EMULATOR_HOST}"))
        } else {
            Remedy::new("Start the emulator as the user of this program, or as root.")
        };
        Error::new(
            ErrorKind::UntrustedEmulator,
            format!(
                "{} is served by {}, not by you: nothing was sent there",
                self.name(),
                user_name(uid)
            ),
        )
        .with_remedy(remedy)
    }

    #[cold]
    fn unknown_owner(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::UntrustedEmulator,
            format!(
                "it is unknown who serves {}: {why}; nothing was sent there",
                self.name()
            ),
        )
        .with_remedy(
            Remedy::new(format!(
                "Unset {EMULATOR_HOST} to use Google. If you started this emulator, set {EMULATOR_TRUST} to allow it."
            ))
            .command(format!("export {EMULATOR_TRUST}=1")),
        )
    }

    fn name(&self) -> String {
        if self.emulator.is_from_env && self.address == self.emulator.address {
            format!("{} (from {EMULATOR_HOST})", self.address)
        } else {
            self.address.to_string()
        }
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl<S> Layer<S> for ListenerCheck {
    type Service = Checked<S>;

    fn layer(&self, connector: S) -> Checked<S> {
        Checked {
            connector: Arc::new(connector),
            check: Arc::new(*self),
        }
    }
}

/// A connector that makes only verified connections. Shares its fields, because the HTTP client
/// clones it several times per request.
#[derive(Clone)]
pub(crate) struct Checked<S> {
    connector: Arc<S>,
    check: Arc<ListenerCheck>,
}

impl<S, Target> Service<Target> for Checked<S>
where
    S: Service<Target, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
    Target: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let check = self.check.clone();
        let before = match check.before_connecting() {
            Ok(before) => before,
            Err(error) => return Box::pin(ready(Err(error.into()))),
        };
        let connecting = call_once(S::clone(&self.connector), target);
        Box::pin(async move {
            let connection = connecting.await?;
            check.after_connecting(&before)?;
            Ok(connection)
        })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
