//! The unmodified command over TLS with Google's host names, in a network namespace where these
//! names lead to the emulator.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod connections;
mod every_host;
mod protocols;
mod round_trips;
mod world;

use ee_test_support::certificates::Certificate;
use ee_test_support::subprocess::enter_network as inside;
use world::{Ended, HOSTS, Mood, PROJECT, Proxy, World};

const INIT: [&str; 4] = ["init", "--json", "--project", PROJECT];

async fn world() -> World {
    World::new(|builder| builder).await.with_key()
}

/// Checks that the command failed with a network error whose message and remedy contain these words.
fn check_network_error(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status, 7, "{ended:?}");
    let error = &ended.error()["error"];
    assert_eq!(error["code"], "network", "{ended:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn google_hosts_are_reached_over_verified_http_2() {
    if !inside("google_hosts_are_reached_over_verified_http_2", &HOSTS) {
        return;
    }
    let world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["project"], PROJECT);
    let names: Vec<_> = world.seen().into_iter().map(|seen| seen.sni).collect();
    assert_eq!(names, HOSTS, "one request per host, under its own name");
    for seen in world.seen() {
        assert_eq!(seen.version, hyper::Version::HTTP_2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_events_of_other_crates_are_not_shown() {
    if !inside("log_events_of_other_crates_are_not_shown", &HOSTS) {
        return;
    }
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    world.set("RUST_LOG", "trace");
    let ended = world.eectl(&["-vv", "init", "--project", PROJECT]).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let is_ours = |line: &&str| {
        line.split(": ").any(|part| {
            let part = part.rsplit(' ').next().unwrap_or(part);
            part.starts_with("ee_") || part.starts_with("earthengine")
        })
    };
    let (ours, others): (Vec<_>, Vec<_>) = ended
        .stderr
        .lines()
        .filter(|line| {
            ["TRACE ", "DEBUG "]
                .iter()
                .any(|level| line.trim_start().starts_with(level))
        })
        .partition(is_ours);
    assert!(ours.len() > 5, "{ended:?}");
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_for_another_name_gets_no_request() {
    if !inside("certificate_for_another_name_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    let other = world.authority.issue(&["oauth2.example.com"]);
    world.serve_tls(other).await;
    let ended = world.eectl(&INIT).await;
    check_network_error(&ended, &["oauth2.googleapis.com", "certificate"]);
    assert!(world.seen().is_empty());
}

/// The certificate of the token endpoint is valid, that of Earth Engine is not.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_certificate_at_earth_engine_gets_no_request() {
    if !inside("wrong_certificate_at_earth_engine_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    let good = world.authority.issue(&["oauth2.googleapis.com"]);
    let (good, other) = (
        good.server_config(),
        world
            .authority
            .issue(&["earthengine.example.com"])
            .server_config(),
    );
    let choose = move |name: &str| match name {
        "oauth2.googleapis.com" => good.clone(),
        _ => other.clone(),
    };
    world.serve_tls_by_name(choose).await;
    let ended = world.eectl(&INIT).await;
    check_network_error(&ended, &["earthengine.googleapis.com", "certificate"]);
    let names: Vec<_> = world.seen().into_iter().map(|seen| seen.sni).collect();
    assert_eq!(names, ["oauth2.googleapis.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_certificate_gets_no_request() {
    if !inside("expired_certificate_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    world
        .serve_tls(world.authority.issue_for_january(&HOSTS, 2020))
        .await;
    let ended = world.eectl(&INIT).await;
    check_network_error(&ended, &["oauth2.googleapis.com", "date and time"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn self_signed_certificate_gets_no_request() {
    if !inside("self_signed_certificate_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    world.serve_tls(Certificate::self_signed(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    check_network_error(&ended, &["oauth2.googleapis.com", "certificate"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_authority_is_rejected_with_a_hint() {
    if !inside("unknown_authority_is_rejected_with_a_hint", &HOSTS) {
        return;
    }
    let mut world = world().await;
    world.unset("SSL_CERT_FILE");
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    check_network_error(&ended, &["SSL_CERT_FILE"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_works_without_dns_and_sees_only_host_names() {
    if !inside("proxy_works_without_dns_and_sees_only_host_names", &[]) {
        return;
    }
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let words = [
        "oauth2.googleapis.com",
        "cannot be resolved",
        "name server",
        "HTTPS_PROXY",
    ];
    check_network_error(&world.eectl(&INIT).await, &words);

    let proxy = Proxy::start(Mood::Tunnels).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let tunnels: Vec<_> = HOSTS
        .iter()
        .map(|host| format!("CONNECT {host}:443 HTTP/1.1"))
        .collect();
    // Both are opened at the start.
    let mut asked = proxy.asked();
    asked.sort_by_key(|line| tunnels.iter().position(|tunnel| tunnel == line));
    assert_eq!(asked, tunnels);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_in_no_proxy_bypass_the_proxy() {
    if !inside("hosts_in_no_proxy_bypass_the_proxy", &HOSTS) {
        return;
    }
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let proxy = Proxy::start(Mood::Tunnels).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    world.set("NO_PROXY", "oauth2.googleapis.com");
    assert_eq!(world.eectl(&INIT).await.status, 0);
    assert_eq!(
        proxy.asked(),
        ["CONNECT earthengine.googleapis.com:443 HTTP/1.1"]
    );
    world.set("NO_PROXY", ".googleapis.com");
    assert_eq!(world.eectl(&INIT).await.status, 0);
    assert_eq!(proxy.asked().len(), 1);
}

/// The proxy refuses, requires a password, or is down.
#[tokio::test(flavor = "multi_thread")]
async fn refusing_proxy_is_named() {
    if !inside("refusing_proxy_is_named", &HOSTS) {
        return;
    }
    let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let wants_login = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    check_network_error(&world.eectl(&INIT).await, &["proxy", "HTTPS_PROXY"]);
    for (answer, port) in [(denied, 3128), (wants_login, 3129)] {
        let proxy = Proxy::start_at(port, Mood::Answers(answer)).await;
        world.set("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"));
        check_network_error(&world.eectl(&INIT).await, &["proxy", "HTTPS_PROXY"]);
        assert!(!proxy.asked().is_empty());
    }
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_proxy_times_out_and_is_named() {
    if !inside("silent_proxy_times_out_and_is_named", &HOSTS) {
        return;
    }
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let proxy = Proxy::start(Mood::Silent).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 7, "{ended:?}");
    let error = ended.error()["error"].clone();
    assert_eq!(error["code"], "timeout", "{ended:?}");
    let text = error.to_string();
    assert!(text.contains("oauth2.googleapis.com"), "{text}");
    assert!(text.contains("HTTPS_PROXY"), "{text}");
    assert!(!proxy.asked().is_empty());
    assert!(world.seen().is_empty());
}

/// The system resolver is configured to query one server once, with a timeout of a second.
#[tokio::test(flavor = "multi_thread")]
async fn silent_name_server_is_a_resolution_error() {
    if !inside("silent_name_server_is_a_resolution_error", &[]) {
        return;
    }
    let world = world().await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let ended = world.eectl(&INIT).await;
    let words = ["oauth2.googleapis.com", "cannot be resolved", "name server"];
    check_network_error(&ended, &words);
    // Both hosts are looked up at the start.
    let mut queries = String::new();
    let mut query = [0; 512];
    while let Ok(length) = silent.try_recv(&mut query) {
        queries += &String::from_utf8_lossy(&query[..length]);
    }
    assert!(queries.contains("oauth2"), "{queries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_server_bypasses_every_proxy() {
    if !inside("metadata_server_bypasses_every_proxy", &HOSTS) {
        return;
    }
    let scopes = ["https://www.googleapis.com/auth/cloud-platform"];
    let mut world = World::new(|builder| {
        builder.metadata_server(
            "vm@ee-demo-project.iam.gserviceaccount.com",
            PROJECT,
            &scopes,
        )
    })
    .await;
    world.serve_metadata().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let proxy = Proxy::start(Mood::Tunnels).await;
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        world.set(name, Proxy::URL);
    }
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["credential"]["kind"], "metadata_server");
    assert_eq!(
        proxy.asked(),
        ["CONNECT earthengine.googleapis.com:443 HTTP/1.1"]
    );
}
