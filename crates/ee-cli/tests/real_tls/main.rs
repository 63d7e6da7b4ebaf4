//! The command as it is, with no endpoint of its own, over TLS, under Google's own host names:
//! in a network namespace where those names are the emulator's.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod every_host;
mod world;

use ee_test_support::certificates::Certificate;
use ee_test_support::subprocess::enter_network as inside;
use world::{Ended, HOSTS, Mood, PROJECT, Proxy, World};

const INIT: [&str; 4] = ["init", "--json", "--project", PROJECT];

async fn world() -> World {
    World::new(|builder| builder).await.with_key()
}

/// It ended as a network failure, whose message and remedy have these words.
fn failed(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status, 7, "{ended:?}");
    let error = &ended.error()["error"];
    assert_eq!(error["code"], "network", "{ended:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn google_s_own_urls_work_over_http_2_with_certificates_checked() {
    if !inside(
        "google_s_own_urls_work_over_http_2_with_certificates_checked",
        &HOSTS,
    ) {
        return;
    }
    let world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["project"], PROJECT);
    let names: Vec<_> = world.seen().into_iter().map(|seen| seen.sni).collect();
    assert_eq!(names, HOSTS, "each host was asked once, under its own name");
    for seen in world.seen() {
        assert_eq!(seen.version, hyper::Version::HTTP_2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_crates_log_of_tls_and_requests_is_not_shown() {
    if !inside(
        "what_other_crates_log_of_tls_and_requests_is_not_shown",
        &HOSTS,
    ) {
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
async fn a_certificate_for_another_name_gets_no_request() {
    if !inside("a_certificate_for_another_name_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    let other = world.authority.issue(&["oauth2.example.com"]);
    world.serve_tls(other).await;
    let ended = world.eectl(&INIT).await;
    failed(&ended, &["oauth2.googleapis.com", "certificate"]);
    assert!(world.seen().is_empty());
}

/// The certificate for the token endpoint is good, and the one for Earth Engine is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_at_earth_engine_alone_gets_no_request_there() {
    if !inside(
        "a_certificate_for_another_name_at_earth_engine_alone_gets_no_request_there",
        &HOSTS,
    ) {
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
    failed(&ended, &["earthengine.googleapis.com", "certificate"]);
    let names: Vec<_> = world.seen().into_iter().map(|seen| seen.sni).collect();
    assert_eq!(names, ["oauth2.googleapis.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_gets_no_request() {
    if !inside("an_expired_certificate_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    world
        .serve_tls(world.authority.issue_for_january(&HOSTS, 2020))
        .await;
    let ended = world.eectl(&INIT).await;
    failed(&ended, &["oauth2.googleapis.com", "date and time"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_gets_no_request() {
    if !inside("a_self_signed_certificate_gets_no_request", &HOSTS) {
        return;
    }
    let world = world().await;
    world.serve_tls(Certificate::self_signed(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    failed(&ended, &["oauth2.googleapis.com", "certificate"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nobody_named_is_not_trusted_and_the_error_says_what_to_set() {
    if !inside(
        "an_authority_that_nobody_named_is_not_trusted_and_the_error_says_what_to_set",
        &HOSTS,
    ) {
        return;
    }
    let mut world = world().await;
    world.unset("SSL_CERT_FILE");
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    let ended = world.eectl(&INIT).await;
    failed(&ended, &["SSL_CERT_FILE"]);
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_where_names_do_not_resolve_and_sees_only_host_names() {
    if !inside(
        "a_proxy_is_used_where_names_do_not_resolve_and_sees_only_host_names",
        &[],
    ) {
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
    failed(&world.eectl(&INIT).await, &words);

    let proxy = Proxy::start(Mood::Tunnels).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    let ended = world.eectl(&INIT).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let tunnels: Vec<_> = HOSTS
        .iter()
        .map(|host| format!("CONNECT {host}:443 HTTP/1.1"))
        .collect();
    assert_eq!(proxy.asked(), tunnels);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_used_for_the_hosts_that_no_proxy_names() {
    if !inside("no_proxy_is_used_for_the_hosts_that_no_proxy_names", &HOSTS) {
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

/// It refuses, wants a password, or is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named() {
    if !inside("a_proxy_that_refuses_is_named", &HOSTS) {
        return;
    }
    let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let wants_login = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";
    let mut world = world().await;
    world.serve_tls(world.authority.issue(&HOSTS)).await;
    world.set("HTTPS_PROXY", Proxy::URL);
    failed(&world.eectl(&INIT).await, &["proxy", "HTTPS_PROXY"]);
    for (answer, port) in [(denied, 3128), (wants_login, 3129)] {
        let proxy = Proxy::start_at(port, Mood::Answers(answer)).await;
        world.set("HTTPS_PROXY", &format!("http://127.0.0.1:{port}"));
        failed(&world.eectl(&INIT).await, &["proxy", "HTTPS_PROXY"]);
        assert!(!proxy.asked().is_empty());
    }
    assert!(world.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_never_answers_is_given_up_and_named() {
    if !inside("a_proxy_that_never_answers_is_given_up_and_named", &HOSTS) {
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

/// The real resolver's own retries are shortened: it asks one server once, and waits for a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_never_answers_is_told_from_a_host_that_is_down() {
    if !inside(
        "a_name_server_that_never_answers_is_told_from_a_host_that_is_down",
        &[],
    ) {
        return;
    }
    let world = world().await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let ended = world.eectl(&INIT).await;
    let words = ["oauth2.googleapis.com", "cannot be resolved", "name server"];
    failed(&ended, &words);
    let mut question = [0; 512];
    let asked = silent.try_recv(&mut question).unwrap();
    let question = String::from_utf8_lossy(&question[..asked]).into_owned();
    assert!(question.contains("oauth2"), "it was asked: {question:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_s_own_account_is_asked_for_past_every_proxy() {
    if !inside(
        "a_machine_s_own_account_is_asked_for_past_every_proxy",
        &HOSTS,
    ) {
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
