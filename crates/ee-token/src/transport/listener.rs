//! Finds the user who owns the listening socket at a local address, or one end of a connection.

pub(crate) mod connection;
#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
mod sock_diag;

use std::io;
use std::net::SocketAddr;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The user who owns it.
    uid: u32,
    /// Its inode, which identifies it among all open sockets.
    inode: u64,
}

/// The owner of the sockets that receive connections to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// All sockets belong to the user of this process or to root.
    Trusted(Vec<Listener>),
    /// A socket belongs to this other user.
    Other(u32),
    /// The owner is unknown for this reason.
    Unknown(&'static str),
}

impl Owner {
    /// Determines the owner of the sockets that receive connections to `addresses`.
    pub(crate) fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let found = addresses
            .into_iter()
            .map(find)
            .collect::<io::Result<Vec<_>>>();
        match found {
            Ok(found) => Self::classify(found.concat(), process_owns),
            Err(_) => Self::Unknown("the system does not tell the owner of its socket"),
        }
    }

    fn classify(listeners: Vec<Listener>, owns: impl Fn(u32) -> Option<bool>) -> Self {
        let is_ours = |listener: &Listener| {
            // A socket without an inode is being closed, and is reported as root's.
            owns(listener.uid).filter(|ours| !ours || listener.inode != 0)
        };
        if let Some(other) = listeners.iter().find(|l| is_ours(l) == Some(false)) {
            return Self::Other(other.uid);
        }
        if listeners.is_empty() {
            return Self::Unknown("the system lists no listening socket at this address");
        }
        if listeners.iter().any(|listener| is_ours(listener).is_none()) {
            return Self::Unknown("the user namespace of this process does not map its owner");
        }
        Self::Trusted(listeners)
    }
}

#[cfg(target_os = "linux")]
fn find(address: SocketAddr) -> io::Result<Vec<Listener>> {
    // Sandboxes and hardened services may not allow netlink sockets. The list of all sockets is the
    // fallback, because it takes milliseconds to read.
    sock_diag::find(address).or_else(|_| proc_net::find(address))
}

#[cfg(not(target_os = "linux"))]
fn find(_: SocketAddr) -> io::Result<Vec<Listener>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether the ID is root's or that of this process. Returns `None` if it can stand for
/// several users.
#[cfg(target_os = "linux")]
fn process_owns(uid: u32) -> Option<bool> {
    use rustix::process::{geteuid, getuid};
    let ours = [geteuid().as_raw(), getuid().as_raw()];
    match uid {
        0 => Some(true),
        _ if stands_for_several_users(uid) => None,
        _ => Some(ours.contains(&uid)),
    }
}

/// Returns whether this is the ID of all users that the user namespace does not map.
#[cfg(target_os = "linux")]
fn stands_for_several_users(uid: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).ok();
    read("/proc/self/uid_map").is_none_or(|map| !maps_all_users(&map))
        && read("/proc/sys/kernel/overflowuid").is_none_or(|text| text.trim() == uid.to_string())
}

#[cfg(not(target_os = "linux"))]
fn process_owns(_: u32) -> Option<bool> {
    None
}

/// Returns whether a user namespace maps all users of the machine.
#[cfg(target_os = "linux")]
fn maps_all_users(uid_map: &str) -> bool {
    uid_map
        .split_ascii_whitespace()
        .eq(["0", "0", "4294967295"])
}

/// Formats a user for a message: the ID, and the name if `/etc/passwd` has one.
pub fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let is_plain = |name: &&str| name.bytes().all(|b| b.is_ascii_graphic());
    match name.filter(is_plain) {
        Some(name) => format!("user {uid} ({name})"),
        None => format!("user {uid}"),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn listeners(found: &[(u32, u64)]) -> Vec<Listener> {
        let found = found.iter();
        found.map(|&(uid, inode)| Listener { uid, inode }).collect()
    }

    #[test]
    fn one_listener_of_another_user_makes_an_address_untrusted() {
        // 7 is this user, and 65534 stands for several users.
        let owns = |uid| match uid {
            0 | 7 => Some(true),
            65534 => None,
            _ => Some(false),
        };
        for found in [&[(7, 1)][..], &[(0, 1)], &[(7, 1), (0, 2), (7, 3)]] {
            let found = listeners(found);
            assert_eq!(Owner::classify(found.clone(), owns), Owner::Trusted(found));
        }
        for (found, other) in [
            (&[(8, 1)][..], 8),
            (&[(7, 1), (8, 2)], 8),
            (&[(9, 0), (0, 2)], 9),
            (&[(65534, 1), (8, 2)], 8),
            (&[(0, 0), (8, 2)], 8),
        ] {
            assert_eq!(Owner::classify(listeners(found), owns), Owner::Other(other));
        }
        for found in [
            &[][..],
            &[(65534, 1)],
            &[(7, 1), (65534, 2)],
            &[(0, 0)],
            &[(7, 1), (0, 0)],
        ] {
            let owner = Owner::classify(listeners(found), owns);
            assert!(matches!(owner, Owner::Unknown(_)), "{found:?}: {owner:?}");
        }
    }

    #[test]
    fn root_and_this_user_are_trusted() {
        let this = rustix::process::geteuid().as_raw();
        assert_eq!(process_owns(0), Some(true));
        assert_eq!(process_owns(this), Some(true));
        assert_eq!(process_owns(this + 1), Some(false));
    }

    #[test]
    fn only_the_initial_user_namespace_maps_all_users() {
        assert!(maps_all_users("         0          0 4294967295\n"));
        for map in [
            "",
            "0 1000 1\n",
            "0 1000 4294967295\n",
            "0 0 65536\n",
            "0 0 1\n1 100000 65536\n",
        ] {
            assert!(!maps_all_users(map), "{map}");
        }
    }

    #[test]
    fn both_sources_find_the_same_listener() {
        for (bound, asked) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.1.2.3"),
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
            ("[::1]:0", "::1"),
            ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
        ] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = SocketAddr::new(asked.parse().unwrap(), port);
            let found = sock_diag::find(address).unwrap();
            assert_eq!(found.len(), 1, "{bound} {asked}");
            assert_eq!(found[0].uid, rustix::process::geteuid().as_raw());
            assert_eq!(proc_net::find(address).unwrap(), found, "{bound} {asked}");
            assert_eq!(Owner::of([address]), Owner::Trusted(found));
        }
        for (bound, asked) in [
            ("127.0.0.1:0", "::1"),
            ("127.0.0.1:0", "127.0.0.2"),
            ("[::1]:0", "127.0.0.1"),
        ] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = SocketAddr::new(asked.parse().unwrap(), port);
            assert_eq!(sock_diag::find(address).unwrap(), []);
            assert_eq!(proc_net::find(address).unwrap(), []);
            assert!(matches!(Owner::of([address]), Owner::Unknown(_)));
        }
    }

    #[test]
    fn user_name_is_shown_if_known() {
        assert_eq!(user_name(0), "user 0 (root)");
        assert_eq!(user_name(3_999_999_999), "user 3999999999");
    }
}
