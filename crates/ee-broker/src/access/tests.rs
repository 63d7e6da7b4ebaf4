use super::*;
use http::HeaderValue;
use http::header::HeaderName;

fn tcp() -> Connection {
    Connection::Tcp {
        client: "127.0.0.1:50000".parse().unwrap(),
        server: "127.0.0.1:8181".parse().unwrap(),
    }
}

fn check(uri: &str, headers: &[(&str, &str)], connection: &Connection) -> Result<(), Denial> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    check_headers(&uri.parse().unwrap(), &map, connection)
}

#[test]
fn only_the_brokers_own_host_is_accepted() {
    let flavor = ("metadata-flavor", "Google");
    for host in [
        "127.0.0.1:8181",
        "localhost:8181",
        "LOCALHOST:8181",
        "[::1]:8181",
    ] {
        assert_eq!(
            check("/x", &[("host", host), flavor], &tcp()),
            Ok(()),
            "{host}"
        );
    }
    for host in [
        "evil.example:8181",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1.evil.example:8181",
        "localhost.evil.example:8181",
        "metadata.google.internal",
        "user@127.0.0.1:8181",
        "127.0.0.1:8181/",
        "",
    ] {
        let denied = check("/x", &[("host", host), flavor], &tcp());
        assert_eq!(denied, Err(Denial::Host), "{host}");
    }
    assert_eq!(check("/x", &[flavor], &tcp()), Err(Denial::Host));
    let twice = [
        ("host", "127.0.0.1:8181"),
        ("host", "127.0.0.1:8181"),
        flavor,
    ];
    assert_eq!(check("/x", &twice, &tcp()), Err(Denial::Host));
    let proxied = check(
        "http://evil.example/x",
        &[("host", "127.0.0.1:8181"), flavor],
        &tcp(),
    );
    assert_eq!(proxied, Err(Denial::Host));
}

#[cfg(unix)]
#[test]
fn a_socket_accepts_the_hosts_of_forwarders() {
    let flavor = ("metadata-flavor", "Google");
    let socket = Connection::Unix {
        uid: Some(0),
        pid: None,
    };
    for host in [
        "127.0.0.1:9000",
        "localhost",
        "metadata.google.internal",
        "169.254.169.254",
    ] {
        assert_eq!(
            check("/x", &[("host", host), flavor], &socket),
            Ok(()),
            "{host}"
        );
    }
    let denied = check("/x", &[("host", "evil.example"), flavor], &socket);
    assert_eq!(denied, Err(Denial::Host));
}

#[test]
fn headers_of_browsers_and_proxies_are_denied() {
    let own = ("host", "127.0.0.1:8181");
    let flavor = ("metadata-flavor", "Google");
    for (headers, denial) in [
        (&[own][..], Denial::Flavor),
        (&[own, ("metadata-flavor", "google")], Denial::Flavor),
        (
            &[own, flavor, ("origin", "http://127.0.0.1:8181")],
            Denial::Origin,
        ),
        (&[own, flavor, ("origin", "null")], Denial::Origin),
        (
            &[own, flavor, ("x-forwarded-for", "10.0.0.1")],
            Denial::Forwarded,
        ),
        (
            &[own, flavor, ("forwarded", "for=10.0.0.1")],
            Denial::Forwarded,
        ),
    ] {
        assert_eq!(check("/computeMetadata/v1/", headers, &tcp()), Err(denial));
    }
    // The root needs no header, and tells only what the server is.
    assert_eq!(check("/", &[own], &tcp()), Ok(()));
    assert_eq!(
        check("/", &[own, ("origin", "null")], &tcp()),
        Err(Denial::Origin)
    );
}

#[test]
fn other_users_are_denied_even_with_the_prefix() {
    let users = AllowedUsers(vec![1000, 33]);
    for prefix in [false, true] {
        assert_eq!(users.check(PeerUser::Known(1000), prefix), Ok(()));
        assert_eq!(users.check(PeerUser::Known(33), prefix), Ok(()));
        // Root of a container is not the owner either.
        for other in [0, 1001] {
            let denied = users.check(PeerUser::Known(other), prefix);
            assert_eq!(denied, Err(Denial::OtherUser(other)));
        }
    }
    assert_eq!(users.check(PeerUser::Unknown, true), Ok(()));
    assert_eq!(
        users.check(PeerUser::Unknown, false),
        Err(Denial::UnknownUser)
    );
}

#[test]
fn every_denial_says_why_in_the_response_and_the_ledger() {
    let all = [
        Denial::OtherUser(0),
        Denial::UnknownUser,
        Denial::Host,
        Denial::Origin,
        Denial::Forwarded,
        Denial::Flavor,
        Denial::Expired,
    ];
    let words: std::collections::BTreeSet<_> = all.iter().map(|denial| denial.as_str()).collect();
    assert_eq!(words.len(), all.len());
    for denial in all {
        assert!(denial.to_string().len() > 30, "{denial}");
    }
}
