//! The list of all TCP sockets in `/proc/net/tcp` and `/proc/net/tcp6`: proc(5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::transport::listener::Listener;

const LISTEN: &str = "0A";
/// The states of a connection that can still send or receive: established, FIN_WAIT1, FIN_WAIT2 and
/// CLOSE_WAIT.
const CONNECTED: [&str; 4] = ["01", "04", "05", "08"];

pub(crate) fn find(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let mut found = listeners(&std::fs::read_to_string("/proc/net/tcp")?, address)?;
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(listeners(&text, address)?),
        // A system without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// Finds the socket at `local` that is connected to `remote`.
pub(crate) fn find_connected(
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Option<Listener>> {
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(path) {
            Ok(list) => {
                if let Some(found) = connected(&list, local, remote)? {
                    return Ok(Some(found));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn connected(list: &str, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Listener>> {
    let is_same = |a: SocketAddr, b: SocketAddr| {
        a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
    };
    let mut sockets = sockets(list)?.into_iter();
    let found = sockets.find(|socket| {
        socket.is_connected && is_same(socket.local, local) && is_same(socket.remote, remote)
    });
    Ok(found.map(|socket| socket.listener))
}

/// The sockets of a list that may receive connections to `address`.
fn listeners(list: &str, address: SocketAddr) -> io::Result<Vec<Listener>> {
    let sockets = sockets(list)?.into_iter();
    let found = sockets.filter(|socket| socket.is_listening && receives(socket.local, address));
    Ok(found.map(|socket| socket.listener).collect())
}

fn sockets(list: &str) -> io::Result<Vec<Socket>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut lines = list.lines();
    if !lines
        .next()
        .is_some_and(|line| line.contains("local_address"))
    {
        return Err(invalid());
    }
    lines
        .map(|line| Socket::parse(line).ok_or_else(invalid))
        .collect()
}

struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    is_listening: bool,
    is_connected: bool,
    listener: Listener,
}

impl Socket {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let local = socket_address(fields.nth(1)?)?;
        let remote = socket_address(fields.next()?)?;
        let state = fields.next()?;
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Self {
            local,
            remote,
            is_listening: state == LISTEN,
            is_connected: CONNECTED.contains(&state),
            listener: Listener { uid, inode },
        })
    }
}

fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = (port.len() == 4).then(|| u16::from_str_radix(port, 16).ok())??;
    Some(SocketAddr::new(ip_address(ip)?, port))
}

/// An address in hexadecimal, as 32-bit numbers in the machine's byte order.
fn ip_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Whether a socket that listens at `local` may receive connections to `address`. The list does not
/// tell which sockets of IPv6 receive no connections of IPv4.
fn receives(local: SocketAddr, address: SocketAddr) -> bool {
    let (ip, target) = (local.ip().to_canonical(), address.ip().to_canonical());
    let is_every_address = ip.is_unspecified() && (ip.is_ipv6() || target.is_ipv4());
    local.port() == address.port() && (ip == target || is_every_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn hexadecimal(address: SocketAddr) -> String {
        let bytes = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let words = bytes.chunks(4).map(|word| {
            let word: [u8; 4] = word.try_into().unwrap();
            format!("{:08X}", u32::from_ne_bytes(word))
        });
        format!("{}:{:04X}", words.collect::<String>(), address.port())
    }

    fn line(local: &str, state: &str, uid: u32, inode: u64) -> String {
        let local = hexadecimal(local.parse().unwrap());
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
        )
    }

    fn found(lines: &[String], address: &str) -> Vec<u32> {
        let list = HEADER.to_owned() + &lines.concat();
        let found = listeners(&list, address.parse().unwrap()).unwrap();
        found.iter().map(|listener| listener.uid).collect()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_a_real_list_are_read() {
        let list = HEADER.to_owned()
            + "   0: 0100007F:1F9A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41234 1 00000000d5872227 100 0 0 10 0                     \n\
               1: 0100007F:1F9A 0100007F:C350 06 00000000:00000000 03:00000A8C 00000000     0        0 0 3 0000000000000000                                      \n";
        let (uid, inode) = (1000, 41234);
        let address = "127.0.0.1:8090".parse().unwrap();
        assert_eq!(
            listeners(&list, address).unwrap(),
            [Listener { uid, inode }]
        );
    }

    #[test]
    fn every_listener_that_may_receive_is_found() {
        let lines = [
            line("127.0.0.1:8090", "0A", 1, 11),
            line("0.0.0.0:8090", "0A", 2, 12),
            line("127.0.0.1:8090", "0A", 3, 13), // SO_REUSEPORT
            line("[::]:8090", "0A", 4, 14),
            line("[::1]:8090", "0A", 5, 15),
            line("[::ffff:127.0.0.1]:8090", "0A", 6, 16),
            line("[::ffff:0.0.0.0]:8090", "0A", 7, 17),
            line("127.0.0.2:8090", "0A", 8, 18),
            line("127.0.0.1:8091", "0A", 9, 19),
            line("127.0.0.1:8090", "01", 10, 20), // connected
            line("127.0.0.1:8090", "06", 0, 0),   // closed
            line("[2001:db8::1]:8090", "0A", 11, 21),
        ];
        assert_eq!(found(&lines, "127.0.0.1:8090"), [1, 2, 3, 4, 6, 7]);
        assert_eq!(found(&lines, "127.0.0.2:8090"), [2, 4, 7, 8]);
        assert_eq!(found(&lines, "[::1]:8090"), [4, 5]);
        assert_eq!(found(&lines, "127.0.0.1:8091"), [9]);
        assert_eq!(found(&lines, "127.0.0.1:1"), [0; 0]);
        assert_eq!(found(&[], "127.0.0.1:8090"), [0; 0]);
    }

    #[test]
    fn a_list_with_a_malformed_line_is_invalid() {
        let good = line("127.0.0.1:8090", "0A", 1, 11);
        let address = "127.0.0.1:8090".parse().unwrap();
        for list in [
            String::new(),
            good.clone(),
            "Permission denied\n".to_owned(),
            HEADER.to_owned() + &good + "\n",
            HEADER.to_owned() + &good + "   1: 0100007F",
            HEADER.to_owned() + &good.replace(":1F9A", ":1F9"),
            HEADER.to_owned() + &good.replace(":1F9A", ":11F9A"),
            HEADER.to_owned() + &good.replace(":1F9A", ":-F9A"),
            HEADER.to_owned() + &good.replace(":1F9A ", " "),
            HEADER.to_owned() + &good.replace("   0: ", "   0: 00"),
            HEADER.to_owned() + &good.replace("  1    ", "  x    "),
            HEADER.to_owned() + &good.replace("  1    ", "  -1    "),
            HEADER.to_owned() + &good.replace(" 11 ", " none "),
            HEADER.to_owned() + &good.replace("   0: ", "   0: ü"),
        ] {
            assert!(listeners(&list, address).is_err(), "{list}");
        }
    }

    proptest! {
        #[test]
        fn a_list_of_anything_is_read_or_invalid(
            text in ".*", numbers in proptest::collection::vec("[0-9A-Fa-f:]{0,40}", 0..16),
        ) {
            let address = "127.0.0.1:8090".parse().unwrap();
            let list = format!("{HEADER}{}\n{text}", numbers.join(" "));
            let _ = listeners(&list, address);
            let _ = listeners(&text, address);
        }

        #[test]
        fn every_address_is_read_as_it_was_written(
            v4: std::net::Ipv4Addr, v6: std::net::Ipv6Addr, port: u16, uid: u32, inode: u64,
        ) {
            for address in [SocketAddr::from((v4, port)), (v6, port).into()] {
                let lines = [line(&address.to_string(), "0A", uid, inode)];
                prop_assert_eq!(found(&lines, &address.to_string()), [uid]);
            }
        }
    }
}
