//! Who may ask: the checks of each request before anything is looked up.
//!
//! The user at the other end must be the broker's owner or another allowed user. The headers must be
//! those of a program on this machine: a web page cannot send `Metadata-Flavor`, names its own site
//! in `Origin`, and after DNS rebinding in `Host`; a proxy adds `X-Forwarded-For`.

mod peer;
mod process;

use std::fmt;
use std::net::IpAddr;

use ee_token::internal::user_name;
use http::header::{FORWARDED, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};

pub(crate) use peer::{Connection, Peer, PeerUser, tells_owners};
pub(crate) use process::{Process, Processes, Purpose};

pub(crate) const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Names and addresses of a metadata server that clients use by default. No web page can have them.
#[cfg(unix)]
const WELL_KNOWN: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];

/// Why a request was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    OtherUser(u32),
    UnknownUser,
    Host,
    Origin,
    Forwarded,
    Flavor,
    Expired,
}

impl Denial {
    /// The word for the ledger.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OtherUser(_) => "other_user",
            Self::UnknownUser => "unknown_user",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Forwarded => "forwarded",
            Self::Flavor => "metadata_flavor",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherUser(uid) => {
                return write!(
                    f,
                    "{} may not use this broker. Its owner can allow a user with `eectl serve --user NAME`.",
                    user_name(*uid)
                );
            }
            Self::UnknownUser => {
                "The system does not tell which user asks. Use the path prefix in the broker's GCE_METADATA_HOST, or a Unix socket."
            }
            Self::Host => "The Host header is not this broker's own address.",
            Self::Origin => "Requests of web pages (header Origin) are not served.",
            Self::Forwarded => "Forwarded requests (header X-Forwarded-For) are not served.",
            Self::Flavor => "The header Metadata-Flavor: Google is missing.",
            Self::Expired => {
                "The broker's lifetime (--expires) has ended. Start `eectl exec` or `eectl serve` again."
            }
        })
    }
}

/// The users whose requests are served.
#[derive(Debug, Clone)]
pub(crate) struct AllowedUsers(pub(crate) Vec<u32>);

impl AllowedUsers {
    /// Checks the user at the other end of a connection. `knows_prefix` says whether the request has
    /// the unguessable prefix, which only the owner's processes know.
    pub(crate) fn check(&self, user: PeerUser, knows_prefix: bool) -> Result<(), Denial> {
        match user {
            PeerUser::Known(uid) if self.0.contains(&uid) => Ok(()),
            PeerUser::Known(uid) => Err(Denial::OtherUser(uid)),
            PeerUser::Unknown if knows_prefix => Ok(()),
            PeerUser::Unknown => Err(Denial::UnknownUser),
        }
    }
}

/// Checks the headers of a request to `/…`.
pub(crate) fn check_headers(
    uri: &Uri,
    headers: &HeaderMap,
    connection: &Connection,
) -> Result<(), Denial> {
    if headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED) {
        return Err(Denial::Forwarded);
    }
    if headers.contains_key(ORIGIN) {
        return Err(Denial::Origin);
    }
    check_host(uri, headers, connection)?;
    // As on Google's server, the root tells only that it is a metadata server.
    if uri.path() != "/" && headers.get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
        return Err(Denial::Flavor);
    }
    Ok(())
}

fn check_host(uri: &Uri, headers: &HeaderMap, connection: &Connection) -> Result<(), Denial> {
    let mut named = headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(Denial::Host);
    };
    let host = host.to_str().map_err(|_| Denial::Host)?;
    let host: Authority = host.parse().map_err(|_| Denial::Host)?;
    // A request in the form for proxies names the host again.
    for authority in uri.authority().into_iter().chain([&host]) {
        if !is_own(authority, connection) {
            return Err(Denial::Host);
        }
    }
    Ok(())
}

/// Whether a host is the broker's own. A socket has no port, and no browser reaches it: there, the
/// port is that of a forwarder.
fn is_own(authority: &Authority, connection: &Connection) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let port = authority.port_u16().unwrap_or(80);
    match connection {
        Connection::Tcp { server, .. } => is_loopback && port == server.port(),
        #[cfg(unix)]
        Connection::Unix { .. } => {
            is_loopback
                || WELL_KNOWN
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known))
        }
    }
}

#[cfg(test)]
mod tests;
