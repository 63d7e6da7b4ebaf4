//! Each host with each fault.

use std::time::{Duration, Instant};

use earthengine::rest::{Auth, Client};
use earthengine::token::{AccessToken, HttpClient, RetryPolicy, TokenCache};
use earthengine::{Endpoints, ErrorKind};
use ee_emulator::Fault;
use ee_test_support::certificates::Certificate;
use ee_test_support::faulty_server::{FaultyServer, NetworkFault, Upstream};
use ee_test_support::subprocess::print;
use tokio::task::JoinSet;

use crate::google_hosts::{
    CONNECT_TIMEOUT, Failure, GoogleHosts, Host, PROJECT, Program, constant,
    succeeds_with_one_request,
};

/// A fault of a host.
#[derive(Debug, Clone)]
pub(crate) enum HostFault {
    Network(NetworkFault),
    Responds(Fault),
    UnknownName,
    Certificate(BadCertificate),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BadCertificate {
    OtherName,
    Expired,
    NotYetValid,
    SelfSigned,
}

impl HostFault {
    pub(crate) async fn apply(&self, google: &GoogleHosts, host: Host) {
        let authority = &google.authority;
        match self {
            Self::Network(fault) => google.server(host).set_fault(*fault).await,
            Self::Responds(fault) => {
                let fault = fault.clone().times(usize::MAX);
                google.emulator.fault(host.name(), fault);
            }
            Self::UnknownName => google.names.remove(host.name()),
            Self::Certificate(certificate) => google.set_certificate(
                host,
                match certificate {
                    BadCertificate::OtherName => authority.issue(&["other.example"]),
                    BadCertificate::Expired => authority.issue_for_january(&[host.name()], 2020),
                    BadCertificate::NotYetValid => {
                        authority.issue_for_january(&[host.name()], 2090)
                    }
                    BadCertificate::SelfSigned => Certificate::self_signed(&[host.name()]),
                },
            ),
        }
    }
}

/// A failed call and its requests.
#[derive(Debug)]
struct Observation {
    host: Host,
    fault: HostFault,
    failure: Failure,
    requests: usize,
}

impl Observation {
    /// Checks that the error has this kind and a remedy, and that its message contains a name of the
    /// host and these words.
    fn assert_failed_with(&self, kind: ErrorKind, words: &[&str]) {
        if self.host == Host::ServiceUsage {
            // The projects are listed with an unknown API state.
            assert_eq!(self.failure.kind, None, "{self:?}");
            return;
        }
        assert_eq!(self.failure.kind, Some(kind), "{self:?}");
        let message = &self.failure.message;
        let is_named = self.host.names().iter().any(|name| message.contains(name));
        assert!(is_named, "{self:?}");
        for word in words {
            assert!(message.contains(word), "no {word:?}: {self:?}");
        }
        let remedy = self.failure.remedy.as_deref().unwrap_or_default();
        assert!(!remedy.is_empty(), "{self:?}");
    }

    /// Checks that the request was retried twice, or for the timeout of the metadata server.
    fn assert_retried(&self) {
        let expected = match (self.host, self.failure.kind) {
            (Host::Metadata, _) => 2..=100,
            // On a stalled machine an attempt can time out before its request arrives.
            (_, Some(ErrorKind::Timeout)) => 2..=3,
            _ => 3..=3,
        };
        assert!(expected.contains(&self.requests), "{self:?}");
    }
}

/// Applies each fault to each host and makes a call of a program that needs the host, concurrently.
/// Checks that each program succeeds with one request after the end of the fault.
async fn observe(hosts: &[Host], faults: &[HostFault]) -> Vec<Observation> {
    let mut tasks = JoinSet::new();
    for (host, fault) in hosts
        .iter()
        .flat_map(|host| faults.iter().map(|fault| (*host, fault.clone())))
    {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let program = google.program(host).await;
            fault.apply(&google, host).await;
            let before = google.server(host).requests();
            let failure = program.run().await.unwrap_err();
            let requests = google.server(host).requests() - before;
            let recovery = recover(&google, host, &program).await;
            let observed = Observation {
                host,
                fault,
                failure,
                requests,
            };
            (observed, recovery)
        });
    }
    let all = tasks.join_all().await;
    for (name, issues_tokens) in [("token hosts", true), ("other hosts", false)] {
        let selected = all
            .iter()
            .filter(|(observed, _)| observed.host.issues_tokens() == issues_tokens);
        if let Some(longest) = selected.map(|(_, recovery)| *recovery).max() {
            print(&format!(
                "{faults:?}: {name} recovered within {:.2} s",
                longest.as_secs_f64()
            ));
        }
    }
    all.into_iter().map(|(observed, _)| observed).collect()
}

/// Ends the fault and returns how long the program needs to recover.
async fn recover(google: &GoogleHosts, host: Host, program: &Program) -> Duration {
    google.restore(host).await;
    succeeds_with_one_request(google, host, program).await
}

fn with_tls() -> Vec<Host> {
    let all = Host::ALL.into_iter();
    all.filter(|host| host.has_tls()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connection_names_the_host_and_recovers() {
    for observed in observe(
        &Host::ALL,
        &[HostFault::Network(NetworkFault::ConnectionRefused)],
    )
    .await
    {
        observed.assert_failed_with(ErrorKind::Network, &["cannot be reached", "refused"]);
        assert_eq!(observed.requests, 0, "{observed:?}");
    }
}

/// Packets are dropped, nothing is read, or the request gets no response.
#[tokio::test(flavor = "multi_thread")]
async fn unresponsive_host_times_out_and_is_named() {
    let mut faults = vec![NetworkFault::NeverReads, NetworkFault::NeverResponds];
    if cfg!(target_os = "linux") {
        // Other kernels refuse connections when the backlog is full.
        faults.push(NetworkFault::Unreachable);
    }
    let faults: Vec<_> = faults.into_iter().map(HostFault::Network).collect();
    for observed in observe(&Host::ALL, &faults).await {
        observed.assert_failed_with(ErrorKind::Timeout, &["did not respond in time"]);
        match observed.fault {
            HostFault::Network(NetworkFault::NeverResponds) => observed.assert_retried(),
            _ => assert_eq!(observed.requests, 0, "{observed:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_resets_are_retried_and_named() {
    let resets = [
        NetworkFault::ResetOnConnect,
        NetworkFault::ResetAfterRequest,
        NetworkFault::ResetInBody,
        NetworkFault::CloseInBody,
    ];
    for observed in observe(&Host::ALL, &resets.map(HostFault::Network)).await {
        let HostFault::Network(fault) = observed.fault else {
            unreachable!()
        };
        let words = match fault {
            NetworkFault::ResetOnConnect | NetworkFault::ResetAfterRequest => "reset",
            _ => "is incomplete",
        };
        observed.assert_failed_with(ErrorKind::Network, &[words]);
        match fault {
            NetworkFault::ResetOnConnect => assert_eq!(observed.requests, 0, "{observed:?}"),
            _ => observed.assert_retried(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_tls_is_never_a_complete_response() {
    let cuts = [
        NetworkFault::TruncatedHandshake,
        NetworkFault::TruncatedRecord,
        NetworkFault::MissingCloseNotify,
    ];
    for observed in observe(&with_tls(), &cuts.map(HostFault::Network)).await {
        observed.assert_failed_with(ErrorKind::Network, &[]);
        assert!(!observed.failure.message.contains("rustls"), "{observed:?}");
        match observed.fault {
            HostFault::Network(NetworkFault::TruncatedHandshake) => {
                observed.assert_failed_with(ErrorKind::Network, &["the TLS connection"]);
                assert_eq!(observed.requests, 0, "{observed:?}");
            }
            _ => observed.assert_retried(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_certificate_stops_requests() {
    let shown = [
        BadCertificate::OtherName,
        BadCertificate::Expired,
        BadCertificate::NotYetValid,
        BadCertificate::SelfSigned,
    ];
    for observed in observe(&with_tls(), &shown.map(HostFault::Certificate)).await {
        observed.assert_failed_with(ErrorKind::Network, &["the TLS connection", "certificate"]);
        assert_eq!(observed.requests, 0, "{observed:?}");
        let remedy = match observed.fault {
            HostFault::Certificate(BadCertificate::Expired | BadCertificate::NotYetValid) => {
                "date and time"
            }
            _ => "SSL_CERT_FILE",
        };
        let text = observed.failure.remedy.as_deref().unwrap_or(remedy);
        assert!(text.contains(remedy), "{observed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unresolvable_name_is_named_and_recovers() {
    for observed in observe(&with_tls(), &[HostFault::UnknownName]).await {
        observed.assert_failed_with(ErrorKind::Network, &["cannot be resolved"]);
        assert_eq!(observed.requests, 0, "{observed:?}");
        let text = observed.failure.remedy.as_deref().unwrap_or("name server");
        assert!(text.contains("name server"), "{observed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_503_is_retried_and_names_the_host() {
    let overloaded = Fault::status(503).body("<html>Service Unavailable");
    for observed in observe(&Host::ALL, &[HostFault::Responds(overloaded)]).await {
        observed.assert_failed_with(ErrorKind::ServerError, &[]);
        observed.assert_retried();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn html_or_truncated_json_is_an_invalid_response() {
    let page = Fault::respond(200, "text/html", "<html><title>Welcome to the hotel canary");
    let half = Fault::respond(200, "application/json", r#"{"access_token": "ya29.canary"#)
        .header("metadata-flavor", "Google");
    for observed in observe(
        &Host::ALL,
        &[HostFault::Responds(page), HostFault::Responds(half)],
    )
    .await
    {
        let kind = match observed.host {
            Host::EarthEngine => ErrorKind::InvalidResponse,
            _ => ErrorKind::ServerError,
        };
        observed.assert_failed_with(kind, &["response"]);
        assert!(!format!("{observed:?}").contains("canary"), "{observed:?}");
        // Token requests are retried.
        assert!((1..=3).contains(&observed.requests), "{observed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_host_succeeds_and_slower_host_times_out() {
    let mut tasks = JoinSet::new();
    for host in Host::ALL {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let program = google.program(host).await;
            let slow = NetworkFault::Delayed(CONNECT_TIMEOUT / 2);
            google.server(host).set_fault(slow).await;
            let before = google.server(host).requests();
            program.run().await.unwrap();
            assert_eq!(google.server(host).requests() - before, 1, "{host:?}");
        });
    }
    tasks.join_all().await;
    // The metadata server has timeouts of its own, which the next test waits for.
    let slower = HostFault::Network(NetworkFault::Delayed(CONNECT_TIMEOUT * 2));
    for observed in observe(&with_tls(), &[slower]).await {
        observed.assert_failed_with(ErrorKind::Timeout, &["in time"]);
        observed.assert_retried();
    }
}

/// With the default timeouts, in real time.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_seconds_suit_a_value_and_not_a_token() {
    let fault = NetworkFault::Delayed(Duration::from_secs(30));
    let mut tasks = JoinSet::new();
    for host in Host::ALL {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let program = google
                .program_with(host, google.client_with_default_timeouts())
                .await;
            google.server(host).set_fault(fault).await;
            let before = google.server(host).requests();
            let result = program.run().await;
            let requests = google.server(host).requests() - before;
            if host == Host::EarthEngine {
                result.unwrap();
                assert_eq!(requests, 1, "a computation may take minutes");
                return;
            }
            let failure = result.unwrap_err();
            assert!((1..=3).contains(&requests), "{host:?}: {requests}");
            if host == Host::ServiceUsage {
                assert_eq!(failure.kind, None, "the projects are listed: {failure:?}");
            } else {
                assert_eq!(failure.kind, Some(ErrorKind::Timeout), "{failure:?}");
                assert!(failure.message.contains(host.names()[0]), "{failure:?}");
            }
            recover(&google, host, &program).await;
        });
    }
    tasks.join_all().await;
}

/// With the default timeouts, in real time.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn connect_timeout_is_ten_seconds() {
    let google = GoogleHosts::new().await;
    let upstream = Upstream::Emulator(Host::EarthEngine.name(), google.emulator.address());
    let server = FaultyServer::start(upstream, None).await;
    server.set_fault(NetworkFault::Unreachable).await;
    let http = HttpClient::new(Endpoints::emulator(server.address()).unwrap());
    let token = TokenCache::new(AccessToken::new("token").unwrap());
    let client = Client::builder(Auth::token_cache(token), http)
        .project(PROJECT)
        .retry_policy(RetryPolicy::none())
        .build()
        .unwrap();
    let begun = Instant::now();
    let error = client.compute::<i64>(&constant(7)).await.unwrap_err();
    let took = begun.elapsed();
    assert_eq!(
        error.kind(),
        earthengine::rest::ErrorKind::Timeout,
        "{error}"
    );
    // The timeout of responses is five minutes.
    let ten = Duration::from_millis(9_900)..Duration::from_secs(100);
    assert!(ten.contains(&took), "{took:?}");
}

/// In real time, a program without a token makes four calls a second. Attempts of three requests each
/// follow after at least 1, 2, 4, 8 and 16 seconds: at most six.
#[tokio::test(flavor = "multi_thread")]
async fn token_attempts_back_off_during_a_minute_of_503() {
    let minute = Duration::from_secs(60);
    let mut tasks = JoinSet::new();
    for host in [Host::Token, Host::Sts, Host::Iam] {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let program = google.program(host).await;
            let unavailable = Fault::status(503).times(usize::MAX);
            google.emulator.fault(host.name(), unavailable);
            let server = google.server(host);
            let (before, begun) = (server.requests(), Instant::now());
            while begun.elapsed() < minute {
                let failure = program.run().await.unwrap_err();
                assert_eq!(failure.kind, Some(ErrorKind::ServerError), "{failure:?}");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            let request_times = server.request_times().split_off(before);
            let attempts: Vec<_> = request_times.chunks(3).collect();
            assert!(
                (4..=6).contains(&attempts.len()),
                "{host:?}: {request_times:?}"
            );
            for (failures, pair) in attempts.windows(2).enumerate() {
                let [.., last] = pair[0] else { unreachable!() };
                // A request may be recorded late, and the next one on time.
                let pause = pair[1][0] - *last + Duration::from_millis(200);
                let backoff = Duration::from_secs(1 << failures);
                assert!(
                    pause >= backoff,
                    "{host:?}: {pause:?} after {failures} failures"
                );
            }
            google.restore(host).await;
            let recovery = program.recover().await;
            print(&format!(
                "{host:?}: {} attempts in the minute, and a token {:.1} s later",
                attempts.len(),
                recovery.as_secs_f64()
            ));
            // The longest backoff with jitter (36 s), and the time of a slow machine.
            assert!(recovery < Duration::from_secs(150), "{recovery:?}");
        });
    }
    // Each list of projects fails after three requests, without a backoff afterwards.
    for host in [Host::ResourceManager, Host::ServiceUsage] {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let program = google.program(host).await;
            let unavailable = Fault::status(503).times(usize::MAX);
            google.emulator.fault(host.name(), unavailable);
            let begun = Instant::now();
            while begun.elapsed() < minute {
                let before = google.server(host).requests();
                let failure = program.run().await.unwrap_err();
                let kind = (host == Host::ResourceManager).then_some(ErrorKind::ServerError);
                assert_eq!(failure.kind, kind, "{failure:?}");
                assert_eq!(google.server(host).requests() - before, 3, "{host:?}");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            recover(&google, host, &program).await;
        });
    }
    tasks.join_all().await;
}

/// A change is retried only if it was not sent.
#[tokio::test(flavor = "multi_thread")]
async fn change_that_may_have_taken_effect_is_not_retried() {
    let mut tasks = JoinSet::new();
    for (fault, arrived) in [
        (NetworkFault::ConnectionRefused, 0),
        (NetworkFault::ResetOnConnect, 0),
        (NetworkFault::TruncatedHandshake, 0),
        (NetworkFault::NeverReads, 0),
        (NetworkFault::NeverResponds, 1),
        (NetworkFault::ResetAfterRequest, 1),
        (NetworkFault::ResetInBody, 1),
        (NetworkFault::TruncatedRecord, 1),
        (NetworkFault::MissingCloseNotify, 1),
    ] {
        tasks.spawn(async move {
            let google = GoogleHosts::new().await;
            let ee = google.connect().await;
            let server = google.server(Host::EarthEngine);
            let before = (server.requests(), server.connections());
            server.set_fault(fault).await;
            let create = || {
                let path = format!("projects/{}/assets", PROJECT);
                let request = ee.client().request(earthengine::Method::POST, path);
                request
                    .query("assetId", "a-folder")
                    .json(&serde_json::json!({"type": "FOLDER"}))
            };
            let error = create().send().await.unwrap_err();
            assert!(
                error.to_string().contains(Host::EarthEngine.name()),
                "{error}"
            );
            assert_eq!(server.requests() - before.0, arrived, "{fault:?}");
            if arrived == 1 {
                assert_eq!(error.attempts(), 1, "{fault:?}: {error}");
            } else {
                assert_eq!(error.attempts(), 3, "{fault:?}: {error}");
            }
            google.restore(Host::EarthEngine).await;
            let was_created = !google.emulator.assets().is_empty();
            assert_eq!(create().send().await.is_err(), was_created, "{fault:?}");
            assert_eq!(google.emulator.assets().len(), 1, "{fault:?}");
        });
    }
    tasks.join_all().await;
}

/// Scaled to a hundredth: a minute of 503, and the backoff.
#[tokio::test(flavor = "multi_thread")]
async fn long_retry_policy_survives_a_minute_of_503() {
    let google = GoogleHosts::new().await;
    let ee = google.connect().await;
    let minute = Duration::from_secs(60) / 100;
    let unavailable = Fault::status(503).times(usize::MAX);
    google.emulator.fault(Host::EarthEngine.name(), unavailable);
    let policy = RetryPolicy {
        max_retries: 1000,
        initial_backoff: Duration::from_secs(1) / 100,
        max_backoff: Duration::from_secs(30) / 100,
        max_elapsed: Duration::from_secs(60),
    };
    let client = ee
        .client()
        .to_builder()
        .retry_policy(policy)
        .build()
        .unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..10 {
        let client = client.clone();
        tasks.spawn(async move { client.compute::<i64>(&constant(n)).await.unwrap() });
    }
    tokio::time::sleep(minute).await;
    google.emulator.clear_faults();
    let mut values = tasks.join_all().await;
    values.sort_unstable();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}
