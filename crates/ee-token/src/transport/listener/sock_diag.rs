//! The kernel's own lookup of the socket that receives a connection, or of one end of a connection:
//! sock_diag(7), over netlink.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::transport::listener::Listener;

const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
/// The states of a connection that can still send or receive: established, FIN_WAIT1, FIN_WAIT2 and
/// CLOSE_WAIT.
const CONNECTED: [u8; 4] = [1, 4, 5, 8];
/// Linux gives the loopback interface this number in every network namespace. A socket that is
/// bound to it is found for no other.
const LOOPBACK_INTERFACE: u32 = 1;

pub(crate) fn find(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let response = ask(&request(address, None))?;
    Ok(socket(&response, &[TCP_LISTEN])?.into_iter().collect())
}

/// Finds the socket at `local` that is connected to `remote`.
pub(crate) fn find_connected(
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Option<Listener>> {
    socket(&ask(&request(local, Some(remote)))?, &CONNECTED)
}

fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&socket, request, SendFlags::empty())?;
    let mut response = [0; 512];
    // The kernel responds before `send` returns.
    let (length, _) = recv(&socket, &mut response, RecvFlags::DONTWAIT)?;
    Ok(response.get(..length).unwrap_or_default().to_vec())
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(address: SocketAddr, remote: Option<SocketAddr>) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let states = match remote {
        None => 1_u32 << TCP_LISTEN,
        Some(_) => CONNECTED.iter().fold(0, |all, state| all | 1 << state),
    };
    let mut bytes = Vec::with_capacity(REQUEST);
    bytes.extend((REQUEST as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port id
    bytes.extend([family.as_raw() as u8, IPPROTO_TCP, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(remote.map_or(0, |remote| remote.port()).to_be_bytes());
    bytes.extend(octets(address.ip()));
    bytes.resize(REQUEST - 28, 0);
    bytes.extend(remote.map_or_else(Vec::new, |remote| octets(remote.ip())));
    bytes.resize(REQUEST - 12, 0);
    bytes.extend(LOOPBACK_INTERFACE.to_ne_bytes());
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// The socket in a response, which is a `struct inet_diag_msg` or an error. A socket in another state
/// is not the one that was asked about: the kernel falls back to a listener.
fn socket(response: &[u8], states: &[u8]) -> io::Result<Option<Listener>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let kind = response.get(4..6).and_then(|b| b.try_into().ok());
    let word = |at: usize| {
        let bytes = response.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or_else(invalid)
    };
    match kind.map(u16::from_ne_bytes) {
        Some(NLMSG_ERROR) => match word(HEADER)?.cast_signed().wrapping_neg() {
            code if code == Errno::NOENT.raw_os_error() => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        },
        Some(SOCK_DIAG_BY_FAMILY)
            if response.get(HEADER + 1).is_some_and(|s| states.contains(s)) =>
        {
            Ok(Some(Listener {
                uid: word(HEADER + 64)?,
                inode: word(HEADER + 68)?.into(),
            }))
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found() -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 72];
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes[HEADER + 1] = TCP_LISTEN;
        bytes[HEADER + 64..HEADER + 68].copy_from_slice(&1001_u32.to_ne_bytes());
        bytes[HEADER + 68..].copy_from_slice(&4711_u32.to_ne_bytes());
        bytes
    }

    fn failed(errno: Errno) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 20];
        bytes[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        bytes[HEADER..HEADER + 4].copy_from_slice(&(-errno.raw_os_error()).to_ne_bytes());
        bytes
    }

    #[test]
    fn a_request_has_the_length_that_it_states() {
        for address in ["127.0.0.1:8090", "[::1]:8090"] {
            let address = address.parse().unwrap();
            for remote in [None, Some(address)] {
                let bytes = request(address, remote);
                assert_eq!(bytes.len(), REQUEST);
                assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
            }
        }
    }

    #[test]
    fn a_response_is_a_listener_or_none_or_an_error() {
        let (uid, inode) = (1001, 4711);
        assert_eq!(
            socket(&found(), &[TCP_LISTEN]).unwrap(),
            Some(Listener { uid, inode })
        );
        assert_eq!(socket(&failed(Errno::NOENT), &[TCP_LISTEN]).unwrap(), None);
        let denied = socket(&failed(Errno::PERM), &[TCP_LISTEN]).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_socket_that_does_not_listen_is_invalid() {
        let mut bytes = found();
        bytes[HEADER + 1] = 1;
        assert!(socket(&bytes, &[TCP_LISTEN]).is_err());
    }

    proptest! {
        #[test]
        fn a_truncated_or_random_response_is_an_error(
            bytes: Vec<u8>, length in 0..HEADER + 72,
        ) {
            prop_assert!(socket(&found()[..length], &[TCP_LISTEN]).is_err());
            let _ = socket(&bytes, &[TCP_LISTEN]);
        }
    }
}
