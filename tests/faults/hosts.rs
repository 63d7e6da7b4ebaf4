//! Each host in each sort of trouble.

use std::time::{Duration, Instant};

use earthengine::rest::{Auth, Client};
use earthengine::token::{AccessToken, HttpClient, RetryPolicy, TokenCache};
use earthengine::{Endpoints, ErrorKind};
use ee_emulator::Fault;
use tokio::task::JoinSet;

use crate::front::{Front, Trouble};
use crate::town::{Host, PATIENCE, Program, Told, Town, answered_with_one_request, constant, say};

/// What is done to a host.
#[derive(Debug, Clone)]
pub(crate) enum Blow {
    Trouble(Trouble),
    Answers(Fault),
    NoName,
    Certificate(Shown),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    OfAnotherName,
    Expired,
    NotYetValid,
    SelfSigned,
}

impl Blow {
    pub(crate) async fn strike(&self, town: &Town, host: Host) {
        let authority = &town.authority;
        match self {
            Self::Trouble(trouble) => town.front(host).suffer(*trouble).await,
            Self::Answers(fault) => {
                let fault = fault.clone().times(usize::MAX);
                town.emulator.fault(host.name(), fault);
            }
            Self::NoName => town.names.forget(host.name()),
            Self::Certificate(shown) => town.show(
                host,
                match shown {
                    Shown::OfAnotherName => authority.issue(&["other.example"]),
                    Shown::Expired => authority.issue_for_january(&[host.name()], 2020),
                    Shown::NotYetValid => authority.issue_for_january(&[host.name()], 2090),
                    Shown::SelfSigned => {
                        crate::certificates::Certificate::self_signed(&[host.name()])
                    }
                },
            ),
        }
    }
}

/// What came of it.
#[derive(Debug)]
struct Met {
    host: Host,
    blow: Blow,
    told: Told,
    /// Requests that came to the host meanwhile.
    requests: usize,
}

impl Met {
    /// The program was told of this kind of error; the message names the host and has these
    /// words, and there is a remedy.
    fn was_told(&self, kind: ErrorKind, words: &[&str]) {
        if self.host == Host::ServiceUsage {
            // The list is there all the same, and says what is not known.
            assert_eq!(self.told.kind, None, "{self:?}");
            return;
        }
        assert_eq!(self.told.kind, Some(kind), "{self:?}");
        let message = &self.told.message;
        let named = self.host.names().iter().any(|name| message.contains(name));
        assert!(named, "{self:?}");
        for word in words {
            assert!(message.contains(word), "no {word:?}: {self:?}");
        }
        let remedy = self.told.remedy.as_deref().unwrap_or_default();
        assert!(!remedy.is_empty(), "{self:?}");
    }

    /// The request was made three times, or as often as a machine's own server is given time for.
    fn was_tried_again(&self) {
        let tries = match (self.host, self.told.kind) {
            (Host::Metadata, _) => 2..=100,
            // A try may end before its request arrives where the test's machine stands still.
            (_, Some(ErrorKind::Timeout)) => 2..=3,
            _ => 3..=3,
        };
        assert!(tries.contains(&self.requests), "{self:?}");
    }
}

/// Has a program that needs the host suffer each blow, all at once; and when it is over, each
/// is answered with one request.
async fn suffer(hosts: &[Host], blows: &[Blow]) -> Vec<Met> {
    let mut meeting = JoinSet::new();
    for (host, blow) in hosts
        .iter()
        .flat_map(|host| blows.iter().map(|blow| (*host, blow.clone())))
    {
        meeting.spawn(async move {
            let town = Town::new().await;
            let program = town.program(host).await;
            blow.strike(&town, host).await;
            let before = town.front(host).requests();
            let told = program.ask().await.unwrap_err();
            let requests = town.front(host).requests() - before;
            let recovery = recovers(&town, host, &program).await;
            let met = Met {
                host,
                blow,
                told,
                requests,
            };
            (met, recovery)
        });
    }
    let all = meeting.join_all().await;
    for (names, of_tokens) in [("tokens", true), ("the other hosts", false)] {
        let of_these = all
            .iter()
            .filter(|(met, _)| met.host.has_tokens() == of_tokens);
        if let Some(longest) = of_these.map(|(_, recovery)| *recovery).max() {
            say(&format!(
                "{blows:?}: {names} were there again after {:.2} s at most",
                longest.as_secs_f64()
            ));
        }
    }
    all.into_iter().map(|(met, _)| met).collect()
}

/// How long the program needs once there is nothing in its way.
async fn recovers(town: &Town, host: Host, program: &Program) -> Duration {
    town.heal(host).await;
    answered_with_one_request(town, host, program).await
}

fn with_tls() -> Vec<Host> {
    let all = Host::ALL.into_iter();
    all.filter(|host| host.has_tls()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_down_is_named_and_works_again_when_it_is_up() {
    for met in suffer(&Host::ALL, &[Blow::Trouble(Trouble::Refused)]).await {
        met.was_told(ErrorKind::Network, &["cannot be reached", "refused"]);
        assert_eq!(met.requests, 0, "{met:?}");
    }
}

/// The machine does not answer at all, or it accepts connections and reads nothing, or reads the
/// request and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_swallows_everything_is_given_up_and_named() {
    let mut holes = vec![Trouble::Silent, Trouble::Mute];
    if cfg!(target_os = "linux") {
        // Other kernels refuse what a full queue has no place for.
        holes.push(Trouble::Unreachable);
    }
    let holes: Vec<_> = holes.into_iter().map(Blow::Trouble).collect();
    for met in suffer(&Host::ALL, &holes).await {
        met.was_told(ErrorKind::Timeout, &["no answer from", "in time"]);
        match met.blow {
            Blow::Trouble(Trouble::Mute) => met.was_tried_again(),
            _ => assert_eq!(met.requests, 0, "{met:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_resets_connections_is_named_and_asked_again() {
    let resets = [
        Trouble::ResetAtOnce,
        Trouble::ResetAfterRequest,
        Trouble::ResetInBody,
        Trouble::CutInBody,
    ];
    for met in suffer(&Host::ALL, &resets.map(Blow::Trouble)).await {
        let Blow::Trouble(trouble) = met.blow else {
            unreachable!()
        };
        let words = match trouble {
            Trouble::ResetAtOnce | Trouble::ResetAfterRequest => "reset",
            _ => "broke off",
        };
        met.was_told(ErrorKind::Network, &[words]);
        match trouble {
            Trouble::ResetAtOnce => assert_eq!(met.requests, 0, "{met:?}"),
            _ => met.was_tried_again(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_breaks_off_in_the_middle_is_never_taken_for_an_answer() {
    let cuts = [
        Trouble::CutHandshake,
        Trouble::CutRecord,
        Trouble::CutWithoutWord,
    ];
    for met in suffer(&with_tls(), &cuts.map(Blow::Trouble)).await {
        met.was_told(ErrorKind::Network, &[]);
        assert!(!met.told.message.contains("rustls"), "{met:?}");
        match met.blow {
            Blow::Trouble(Trouble::CutHandshake) => {
                met.was_told(ErrorKind::Network, &["the TLS connection"]);
                assert_eq!(met.requests, 0, "{met:?}");
            }
            _ => met.was_tried_again(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_shows_a_bad_certificate_gets_no_request() {
    let shown = [
        Shown::OfAnotherName,
        Shown::Expired,
        Shown::NotYetValid,
        Shown::SelfSigned,
    ];
    for met in suffer(&with_tls(), &shown.map(Blow::Certificate)).await {
        met.was_told(ErrorKind::Network, &["the TLS connection", "certificate"]);
        assert_eq!(met.requests, 0, "{met:?}");
        let remedy = match met.blow {
            Blow::Certificate(Shown::Expired | Shown::NotYetValid) => "date and time",
            _ => "SSL_CERT_FILE",
        };
        let told = met.told.remedy.as_deref().unwrap_or(remedy);
        assert!(told.contains(remedy), "{met:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_named_and_works_again_when_it_does() {
    for met in suffer(&with_tls(), &[Blow::NoName]).await {
        met.was_told(ErrorKind::Network, &["cannot be resolved"]);
        assert_eq!(met.requests, 0, "{met:?}");
        let told = met.told.remedy.as_deref().unwrap_or("name server");
        assert!(told.contains("name server"), "{met:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_answers_503_is_asked_again_and_then_named() {
    let overloaded = Fault::status(503).body("<html>Service Unavailable");
    for met in suffer(&Host::ALL, &[Blow::Answers(overloaded)]).await {
        met.was_told(ErrorKind::ServerError, &[]);
        met.was_tried_again();
    }
}

/// A page in the place of an answer; half an answer that claims to be whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_or_half_a_token_with_status_200_is_no_answer() {
    let page = Fault::respond(200, "text/html", "<html><title>Welcome to the hotel canary");
    let half = Fault::respond(200, "application/json", r#"{"access_token": "ya29.canary"#)
        .header("metadata-flavor", "Google");
    for met in suffer(&Host::ALL, &[Blow::Answers(page), Blow::Answers(half)]).await {
        met.was_told(ErrorKind::ServerError, &["response"]);
        assert!(!format!("{met:?}").contains("canary"), "{met:?}");
        // Asking again may help where somebody waits for a token alone.
        assert!((1..=3).contains(&met.requests), "{met:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_is_waited_for_and_a_slower_one_given_up() {
    let mut meeting = JoinSet::new();
    for host in Host::ALL {
        meeting.spawn(async move {
            let town = Town::new().await;
            let program = town.program(host).await;
            let slow = Trouble::Late(PATIENCE / 2);
            town.front(host).suffer(slow).await;
            let before = town.front(host).requests();
            program.ask().await.unwrap();
            assert_eq!(town.front(host).requests() - before, 1, "{host:?}");
        });
    }
    meeting.join_all().await;
    // The metadata server is asked with time-outs of its own, whatever the program's are: the test
    // below waits for them.
    let slower = Blow::Trouble(Trouble::Late(PATIENCE * 2));
    for met in suffer(&with_tls(), &[slower]).await {
        met.was_told(ErrorKind::Timeout, &["in time"]);
        met.was_tried_again();
    }
}

/// In real time, with the time-outs that a program has which sets none.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_minute_is_too_long_for_a_token_and_not_for_a_value() {
    let half_a_minute = Trouble::Late(Duration::from_secs(30));
    let mut meeting = JoinSet::new();
    for host in Host::ALL {
        meeting.spawn(async move {
            let town = Town::new().await;
            let program = town.program_with(host, town.plain_client()).await;
            town.front(host).suffer(half_a_minute).await;
            let before = town.front(host).requests();
            let answer = program.ask().await;
            let requests = town.front(host).requests() - before;
            if host == Host::EarthEngine {
                answer.unwrap();
                assert_eq!(requests, 1, "a computation may take its time");
                return;
            }
            let told = answer.unwrap_err();
            assert!((1..=3).contains(&requests), "{host:?}: {requests}");
            if host == Host::ServiceUsage {
                assert_eq!(told.kind, None, "the list is there: {told:?}");
            } else {
                assert_eq!(told.kind, Some(ErrorKind::Timeout), "{told:?}");
                assert!(told.message.contains(host.names()[0]), "{told:?}");
            }
            recovers(&town, host, &program).await;
        });
    }
    meeting.join_all().await;
}

/// In real time, with the time-outs that a program has which sets none, where connections are neither
/// made nor refused.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_made_is_given_up_after_ten_seconds() {
    let town = Town::new().await;
    let front = Front::start(Host::EarthEngine.name(), town.emulator.address(), None).await;
    front.suffer(Trouble::Unreachable).await;
    let http = HttpClient::new(Endpoints::emulator(front.address()).unwrap());
    let token = TokenCache::new(AccessToken::new("at-hand").unwrap());
    let client = Client::builder(Auth::token_cache(token), http)
        .project(crate::town::PROJECT)
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
    // Earth Engine may take five minutes for an answer, and not for a connection.
    let ten = Duration::from_millis(9_900)..Duration::from_secs(100);
    assert!(ten.contains(&took), "{took:?}");
}

/// A minute in which a host answers 503, in real time, to a program that has no token and asks four
/// times a second. An attempt after 1, 2, 4, 8 and 16 seconds at the earliest, of three requests
/// each, and so six attempts at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_503_without_a_token_is_met_by_attempts_that_are_further_and_further_apart() {
    let minute = Duration::from_secs(60);
    let mut meeting = JoinSet::new();
    for host in [Host::Token, Host::Sts, Host::Iam] {
        meeting.spawn(async move {
            let town = Town::new().await;
            let program = town.program(host).await;
            let unavailable = Fault::status(503).times(usize::MAX);
            town.emulator.fault(host.name(), unavailable);
            let front = town.front(host);
            let (before, begun) = (front.requests(), Instant::now());
            while begun.elapsed() < minute {
                let told = program.ask().await.unwrap_err();
                assert_eq!(told.kind, Some(ErrorKind::ServerError), "{told:?}");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            let arrivals = front.arrivals().split_off(before);
            let attempts: Vec<_> = arrivals.chunks(3).collect();
            assert!((4..=6).contains(&attempts.len()), "{host:?}: {arrivals:?}");
            for (failures, pair) in attempts.windows(2).enumerate() {
                let [.., last] = pair[0] else { unreachable!() };
                // An arrival may be noted late, and the next in time.
                let pause = pair[1][0] - *last + Duration::from_millis(200);
                let wait = Duration::from_secs(1 << failures);
                assert!(
                    pause >= wait,
                    "{host:?}: {pause:?} after {failures} failures"
                );
            }
            town.heal(host).await;
            let recovery = program.recover().await;
            say(&format!(
                "{host:?}: {} attempts in the minute, and a token {:.1} s behind it",
                attempts.len(),
                recovery.as_secs_f64()
            ));
            // The longest wait, a fifth more (36 s), and what a slow machine takes.
            assert!(recovery < Duration::from_secs(150), "{recovery:?}");
        });
    }
    // Who lists projects is told each time, after three requests, and needs no wait behind it.
    for host in [Host::ResourceManager, Host::ServiceUsage] {
        meeting.spawn(async move {
            let town = Town::new().await;
            let program = town.program(host).await;
            let unavailable = Fault::status(503).times(usize::MAX);
            town.emulator.fault(host.name(), unavailable);
            let begun = Instant::now();
            while begun.elapsed() < minute {
                let before = town.front(host).requests();
                let told = program.ask().await.unwrap_err();
                let kind = (host == Host::ResourceManager).then_some(ErrorKind::ServerError);
                assert_eq!(told.kind, kind, "{told:?}");
                assert_eq!(town.front(host).requests() - before, 3, "{host:?}");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            recovers(&town, host, &program).await;
        });
    }
    meeting.join_all().await;
}

/// A change is sent again only if it surely never arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_may_have_been_made_is_not_made_again() {
    let mut meeting = JoinSet::new();
    for (trouble, arrived) in [
        (Trouble::Refused, 0),
        (Trouble::ResetAtOnce, 0),
        (Trouble::CutHandshake, 0),
        (Trouble::Silent, 0),
        (Trouble::Mute, 1),
        (Trouble::ResetAfterRequest, 1),
        (Trouble::ResetInBody, 1),
        (Trouble::CutRecord, 1),
        (Trouble::CutWithoutWord, 1),
    ] {
        meeting.spawn(async move {
            let town = Town::new().await;
            let ee = town.connect().await;
            let front = town.front(Host::EarthEngine);
            let before = (front.requests(), front.connections());
            front.suffer(trouble).await;
            let folder = || {
                let path = format!("projects/{}/assets", crate::town::PROJECT);
                let request = ee.client().request(earthengine::Method::POST, path);
                request
                    .query("assetId", "folder")
                    .json(&serde_json::json!({"type": "FOLDER"}))
            };
            let error = folder().send().await.unwrap_err();
            assert!(
                error.to_string().contains(Host::EarthEngine.name()),
                "{error}"
            );
            assert_eq!(front.requests() - before.0, arrived, "{trouble:?}");
            if arrived == 1 {
                assert_eq!(error.attempts(), 1, "{trouble:?}: {error}");
            } else {
                assert_eq!(error.attempts(), 3, "{trouble:?}: {error}");
            }
            town.heal(Host::EarthEngine).await;
            let made_before = !town.emulator.assets().is_empty();
            assert_eq!(folder().send().await.is_err(), made_before, "{trouble:?}");
            assert_eq!(town.emulator.assets().len(), 1, "{trouble:?}");
        });
    }
    meeting.join_all().await;
}

/// A minute in which the API answers 503, at a hundredth of its length, and so the waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_answers_503_for_a_minute_loses_no_request_of_a_patient_program() {
    let town = Town::new().await;
    let ee = town.connect().await;
    let minute = Duration::from_secs(60) / 100;
    let unavailable = Fault::status(503).times(usize::MAX);
    town.emulator.fault(Host::EarthEngine.name(), unavailable);
    let patient = RetryPolicy {
        max_retries: 1000,
        initial_backoff: Duration::from_secs(1) / 100,
        max_backoff: Duration::from_secs(30) / 100,
        max_elapsed: Duration::from_secs(60),
    };
    let client = ee
        .client()
        .to_builder()
        .retry_policy(patient)
        .build()
        .unwrap();
    let mut asking = JoinSet::new();
    for n in 0..10 {
        let client = client.clone();
        asking.spawn(async move { client.compute::<i64>(&constant(n)).await.unwrap() });
    }
    tokio::time::sleep(minute).await;
    town.emulator.clear_faults();
    let mut values = asking.join_all().await;
    values.sort_unstable();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}
