//! The kernel's own lookup of the socket that receives a connection: sock_diag(7), over netlink.

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
/// Linux gives the loopback interface this number in every network namespace. A socket that is
/// bound to it is found for no other.
const LOOPBACK_INTERFACE: u32 = 1;

pub(crate) fn find(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&socket, &request(address), SendFlags::empty())?;
    let mut response = [0; 512];
    // The kernel responds before `send` returns.
    let (length, _) = recv(&socket, &mut response, RecvFlags::DONTWAIT)?;
    let response = response.get(..length).unwrap_or_default();
    Ok(listener(response)?.into_iter().collect())
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(address: SocketAddr) -> Vec<u8> {
    let (family, ip) = match address.ip() {
        IpAddr::V4(ip) => (AddressFamily::INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AddressFamily::INET6, ip.octets().to_vec()),
    };
    let mut bytes = Vec::with_capacity(REQUEST);
    bytes.extend((REQUEST as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port id
    bytes.extend([family.as_raw() as u8, IPPROTO_TCP, 0, 0]);
    bytes.extend((1_u32 << TCP_LISTEN).to_ne_bytes());
    bytes.extend(address.port().to_be_bytes());
    bytes.extend([0; 2]); // the peer's port
    bytes.extend(ip);
    bytes.resize(REQUEST - 12, 0); // the peer's address
    bytes.extend(LOOPBACK_INTERFACE.to_ne_bytes());
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// The listener in a response, which is a `struct inet_diag_msg` or an error.
fn listener(response: &[u8]) -> io::Result<Option<Listener>> {
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
        Some(SOCK_DIAG_BY_FAMILY) if response.get(HEADER + 1) == Some(&TCP_LISTEN) => {
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
            let bytes = request(address.parse().unwrap());
            assert_eq!(bytes.len(), REQUEST);
            assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        }
    }

    #[test]
    fn a_response_is_a_listener_or_none_or_an_error() {
        let (uid, inode) = (1001, 4711);
        assert_eq!(listener(&found()).unwrap(), Some(Listener { uid, inode }));
        assert_eq!(listener(&failed(Errno::NOENT)).unwrap(), None);
        let denied = listener(&failed(Errno::PERM)).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_socket_that_does_not_listen_is_invalid() {
        let mut bytes = found();
        bytes[HEADER + 1] = 1;
        assert!(listener(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn a_truncated_or_random_response_is_an_error(
            bytes: Vec<u8>, length in 0..HEADER + 72,
        ) {
            prop_assert!(listener(&found()[..length]).is_err());
            let _ = listener(&bytes);
        }
    }
}
