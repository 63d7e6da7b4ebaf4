use super::*;

fn settings(variables: &[(&str, &str)]) -> NetworkSettings {
    NetworkSettings::read(|name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some(value.into())
    })
}

#[test]
fn proxy_is_read_from_the_first_variable_that_is_not_blank() {
    let proxy = "http://proxy.example:3128";
    let upper = Some("proxy.example:3128, from HTTPS_PROXY");
    let lower = Some("proxy.example:3128, from https_proxy");
    for (variables, expected) in [
        (&[][..], None),
        (&[("HTTPS_PROXY", proxy)], upper),
        (&[("https_proxy", proxy)], lower),
        (&[("HTTPS_PROXY", ""), ("https_proxy", proxy)], lower),
        (
            &[("HTTPS_PROXY", " \t"), ("ALL_PROXY", proxy)],
            Some("proxy.example:3128, from ALL_PROXY"),
        ),
        (
            &[("all_proxy", " proxy.example\n")],
            Some("proxy.example, from all_proxy"),
        ),
        (
            &[
                ("ALL_PROXY", "http://other.example"),
                ("HTTPS_PROXY", proxy),
            ],
            upper,
        ),
        (&[("HTTP_PROXY", proxy)], None),
        (&[("HTTPS_PROXY", proxy), ("REQUEST_METHOD", "GET")], None),
        (
            &[
                ("HTTPS_PROXY", proxy),
                ("NO_PROXY", ""),
                ("no_proxy", "localhost"),
            ],
            Some("proxy.example:3128, from HTTPS_PROXY, except for the hosts in no_proxy"),
        ),
    ] {
        let found = settings(variables).https_proxy().unwrap();
        assert_eq!(
            found.map(|found| found.to_string()).as_deref(),
            expected,
            "{variables:?}"
        );
    }
}

#[test]
fn unusable_proxy_is_named_without_its_password() {
    use Unusable as No;
    let cases: &[(&str, Result<&str, Unusable>)] = &[
        ("http://proxy.example:3128", Ok("proxy.example:3128")),
        ("HTTP://proxy.example:3128/", Ok("proxy.example:3128")),
        ("proxy.example:3128", Ok("proxy.example:3128")),
        ("proxy", Ok("proxy")),
        ("jane:canary@proxy.example:3128", Ok("proxy.example:3128")),
        (
            "https://jane:canary@proxy.example",
            Ok("https://proxy.example"),
        ),
        ("http://jane:canary%40x@10.0.0.1:80", Ok("10.0.0.1:80")),
        // Unambiguous without encoding.
        (
            "http://jane:can@ry@proxy.example:80",
            Ok("proxy.example:80"),
        ),
        (
            "http://jane:can:ary@proxy.example:80",
            Ok("proxy.example:80"),
        ),
        (
            "http://jane:100%canary@proxy.example:80",
            Ok("proxy.example:80"),
        ),
        ("http://[::1]:3128", Ok("[::1]:3128")),
        ("http://[::1]", Ok("[::1]")),
        ("http://proxy.example:3128/canary", Ok("proxy.example:3128")),
        (
            "socks5://jane:canary@127.0.0.1:1080",
            Ok("socks5://127.0.0.1:1080"),
        ),
        ("socks5h://127.0.0.1:1080", Ok("socks5h://127.0.0.1:1080")),
        ("http://DOM\\jane:canary@127.0.0.1:3128", Err(No::Encoding)),
        (
            "http://DOM\\jane:p@ss:w/canary@127.0.0.1:3128",
            Err(No::Encoding),
        ),
        ("http://jane:can/ary@proxy.example:80", Err(No::Encoding)),
        ("http://jane:can#ary@proxy.example:80", Err(No::Encoding)),
        ("http://jane:can?ary@proxy.example:80", Err(No::Encoding)),
        ("http://jane:can ary@proxy.example:80", Err(No::Encoding)),
        ("socks5h://jane:can/ary@127.0.0.1:1080", Err(No::Encoding)),
        ("jane:can/ary@proxy.example:80", Err(No::Encoding)),
        ("\"http://jane:canary@proxy.example\"", Err(No::Quotes)),
        ("'http://proxy.example", Err(No::Quotes)),
        ("socks://proxy.example:1080", Err(No::Scheme)),
        ("ftp://canary@proxy.example", Err(No::Scheme)),
        ("htps://proxy.example", Err(No::Scheme)),
        ("http://proxy.example:canary", Err(No::Port)),
        ("http://proxy.example:", Err(No::Port)),
        ("http://proxy.example:0", Err(No::Port)),
        ("http://proxy.example:65536", Err(No::Port)),
        ("http:/proxy.example:3128", Err(No::Port)),
        ("http://[::1]x", Err(No::Port)),
        ("http://::1:3128", Err(No::Brackets)),
        ("http://[canary]:80", Err(No::Host)),
        ("http://${PROXY_HOST}:80", Err(No::Host)),
        ("http://jane:canary@", Err(No::Form)),
        ("http://:80", Err(No::Form)),
        ("http://", Err(No::Form)),
        ("http://wpad.example/proxy.pac", Err(No::Script)),
        ("http://wpad/wpad.dat", Err(No::Script)),
    ];
    for (value, expected) in cases {
        let found = settings(&[("ALL_PROXY", value)]);
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
        match (found.https_proxy(), expected) {
            (Ok(Some(proxy)), Ok(address)) => {
                assert_eq!(proxy.to_string(), format!("{address}, from ALL_PROXY"));
                assert!(!format!("{proxy:?}").contains("canary"));
                let _ = found.set_proxies(reqwest::Client::builder()).unwrap();
            }
            (Err(error), Err(why)) => {
                assert_eq!(
                    error.to_string(),
                    why.in_variable("ALL_PROXY").to_string(),
                    "{value}"
                );
                let shown = format!("{error:?}");
                assert!(
                    !shown.contains("canary") && !shown.contains("ss:w"),
                    "{shown}"
                );
                assert!(error.remedy().text.contains("ALL_PROXY"), "{shown}");
                assert!(!error.is_transient() && !error.kind().is_rejection());
                assert!(found.set_proxies(reqwest::Client::builder()).is_err());
            }
            (Err(error), Ok(address)) if address.starts_with("socks") => {
                assert!(error.remedy().text.contains("feature `socks`"), "{error:?}");
            }
            (found, _) => panic!("{value}: {found:?}, not {expected:?}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_usable_proxy_or_refused(text in "(https?://|socks5h?://)?\\PC{0,40}") {
        let found = settings(&[("HTTPS_PROXY", &text)]);
        match found.https_proxy() {
            Ok(_) => assert!(found.set_proxies(reqwest::Client::builder()).is_ok()),
            Err(error) => assert!(error.to_string().len() < 200),
        }
    }
}

#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
#[tokio::test]
async fn authorities_are_loaded_or_the_variable_is_named() {
    let emulator = ee_emulator::Emulator::start().await.unwrap();
    let provider = emulator.create_x509_provider("//iam.googleapis.com/x");
    let certificate = provider.certificate("workload.example");
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir(place("dir")).unwrap();
    std::fs::create_dir(place("empty")).unwrap();
    std::fs::write(place("ca.pem"), certificate.issuer_pem()).unwrap();
    std::fs::write(place("dir/ca.pem"), certificate.issuer_pem()).unwrap();
    std::fs::write(place("text"), "no certificate").unwrap();
    let [good, good_dir, empty, text, missing] =
        ["ca.pem", "dir", "empty", "text", "missing"].map(place);
    let two = format!("{missing}:{good_dir}");
    let same = format!("{good_dir}:{good_dir}");
    // The variable that is used, or the one that is named and the reason.
    for (file, dirs, expected) in [
        (good.as_str(), "", Ok((FILE, false))),
        (&good, &good_dir, Ok((FILE, false))),
        (&good, &missing, Ok((FILE, true))),
        ("", &good_dir, Ok((DIR, false))),
        (" ", &two, Ok((DIR, false))),
        ("", &same, Ok((DIR, false))),
        (&missing, "", Err((FILE, "does not exist"))),
        (&missing, &good_dir, Err((FILE, "does not exist"))),
        (&text, "", Err((FILE, "contains no certificate"))),
        (&empty, "", Err((FILE, "is a directory"))),
        ("", &missing, Err((DIR, "does not exist"))),
        ("", &empty, Err((DIR, "contains no certificate"))),
    ] {
        let found = settings(&[(FILE, file), (DIR, dirs)]).authorities();
        match (found, expected) {
            (Ok(found), Ok((variable, has_unusable))) => {
                assert_eq!(found.variable, Some(variable), "{file} {dirs}");
                assert_eq!(found.certificates.len(), 1, "{file} {dirs}");
                assert_eq!(found.unusable.is_some(), has_unusable, "{file} {dirs}");
            }
            (Err(error), Err((variable, why))) => {
                let text = error.to_string();
                assert!(text.contains(variable) && text.contains(why), "{text}");
                assert!(error.remedy().text.contains(variable));
                assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
            }
            (found, _) => panic!("{file} {dirs}: {found:?}"),
        }
    }
    // Blank variables are unset: the system's authorities, if it has any.
    if let Ok(found) = settings(&[(FILE, ""), (DIR, "")]).authorities() {
        assert_eq!(found.variable, None);
    }
}

/// A SOCKS5 proxy (RFC 1928) that serves one request itself. Returns the host that it was asked for.
#[cfg(feature = "socks")]
async fn serve_socks(listener: tokio::net::TcpListener) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut socket, _) = listener.accept().await?;
    let mut greeting = [0; 2];
    socket.read_exact(&mut greeting).await?;
    let mut methods = vec![0; greeting[1].into()];
    socket.read_exact(&mut methods).await?;
    socket.write_all(&[5, 0]).await?;
    // CONNECT to a host name, with its length.
    let mut request = [0; 5];
    socket.read_exact(&mut request).await?;
    assert_eq!(request[..4], [5, 1, 0, 3]);
    let mut name = vec![0; usize::from(request[4]) + 2];
    socket.read_exact(&mut name).await?;
    socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        .await?;
    name.truncate(name.len() - 2);
    Ok(String::from_utf8_lossy(&name).into_owned())
}

#[cfg(feature = "socks")]
#[tokio::test]
async fn socks_proxy_is_used_and_resolves_the_host() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("socks5h://{}", listener.local_addr().unwrap());
    let found = settings(&[("ALL_PROXY", &proxy), ("NO_PROXY", "other.example")]);
    let client = found.set_proxies(reqwest::Client::builder()).unwrap();
    let client = client
        .tls_backend_preconfigured(crate::transport::tls::client_config().unwrap())
        .build()
        .unwrap();
    let served = tokio::spawn(serve_socks(listener));
    let response = client.get("http://tokens.invalid/").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(served.await.unwrap().unwrap(), "tokens.invalid");
}
