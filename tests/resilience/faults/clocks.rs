//! Wrong, changed and stopped clocks; and valid tokens whose host fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use earthengine::token::{
    AccessToken, Grant, HttpClient, ManualClock, RetryPolicy, SecretString, TokenCache,
    TokenEndpoint, source_fn,
};
use earthengine::{Credentials, EarthEngine};
use ee_emulator::{Emulator, EmulatorClock, Fault, Project};
use ee_test_support::faulty_server::NetworkFault;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::google_hosts::{GoogleHosts, Host, PROJECT, ROBOT, constant, isolated};
use crate::hosts::{BadCertificate, HostFault};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// Starts an emulator with another clock than this machine.
async fn with_clock(set: impl FnOnce(&EmulatorClock)) -> Emulator {
    let clock = EmulatorClock::system();
    set(&clock);
    let builder = Emulator::builder().project(Project::new(PROJECT));
    builder.clock(clock).start().await.unwrap()
}

async fn connect(emulator: &Emulator, credential: String) -> EarthEngine {
    let builder = isolated(emulator.address()).credentials_json(credential);
    builder.connect().await.unwrap()
}

fn token_requests(emulator: &Emulator) -> usize {
    emulator.requests_to(Host::Token.name()).len()
}

/// A signature is rejected once and made again with the server's time. A refresh token has no time.
#[tokio::test]
async fn clock_off_by_a_day_costs_at_most_one_request() {
    for ahead in [true, false] {
        let emulator = with_clock(|clock| match ahead {
            true => clock.advance(DAY),
            false => clock.rewind(DAY),
        })
        .await;
        let robot = emulator.create_service_account(ROBOT, PROJECT);
        let ee = connect(&emulator, robot.json_key()).await;
        assert_eq!(token_requests(&emulator), 2, "rejected and signed again");
        assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
        assert_eq!(token_requests(&emulator), 2, "the token is used");

        let jane = emulator.create_user("jane@example.com");
        let ee = connect(&emulator, jane.earthengine_file_json(None)).await;
        assert_eq!(ee.compute::<i64>(&constant(8)).await.unwrap(), 8);
        assert_eq!(token_requests(&emulator), 3);

        // IAM reports the expiry by its own clock.
        emulator.allow_impersonation("jane@example.com", ROBOT);
        let options = earthengine::credentials::CredentialOptions::new(ee.client().http().clone());
        let target = ee.credentials().impersonate(ROBOT).build(&options).unwrap();
        let token = target.token().await.unwrap();
        assert!(
            target.token().await.unwrap().secret_eq(&token),
            "the token is cached"
        );
    }
}

#[tokio::test]
async fn clock_correction_at_run_time_costs_one_more_request() {
    let emulator = with_clock(|clock| clock.advance(DAY)).await;
    let robot = emulator.create_service_account(ROBOT, PROJECT);
    let ee = connect(&emulator, robot.json_key()).await;
    assert_eq!(token_requests(&emulator), 2);
    // Seen from this machine, the server's clock goes back.
    emulator.clock().rewind(DAY);
    emulator.expire_tokens();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
    assert_eq!(token_requests(&emulator), 4, "rejected and signed again");
    emulator.expire_tokens();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
    assert_eq!(token_requests(&emulator), 5, "the clocks agree again");
}

/// When token requests started, by the clock of the cache, and how many have ended.
#[derive(Default)]
struct TokenRequests {
    started: Mutex<Vec<SystemTime>>,
    ended: AtomicUsize,
}

impl TokenRequests {
    /// Waits until no request is in progress or about to start at the current time.
    async fn settle(&self) {
        // A background refresh has started by then, on most machines.
        tokio::time::sleep(Duration::from_millis(100)).await;
        while self.ended.load(Ordering::SeqCst) < self.started.lock().unwrap().len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The cache records the result right after the request.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns a cache with this clock, whose tokens come over the network.
fn cache_with_clock(google: &GoogleHosts, clock: &ManualClock) -> TokenCache {
    logged_cache_with_clock(google, clock, Arc::default())
}

fn logged_cache_with_clock(
    google: &GoogleHosts,
    clock: &ManualClock,
    log: Arc<TokenRequests>,
) -> TokenCache {
    let http = HttpClient::from_reqwest_builder(google.client(), google.endpoints()).unwrap();
    let policy = RetryPolicy {
        initial_backoff: Duration::from_millis(10),
        ..RetryPolicy::for_token_requests()
    };
    let endpoint = Arc::new(TokenEndpoint::google(http).with_retry(policy));
    let jane = google.emulator.create_user("jane@example.com");
    let login: Value = serde_json::from_str(&jane.authorized_user_json()).unwrap();
    let source_clock = clock.clone();
    let source = source_fn(move || {
        let (endpoint, login) = (endpoint.clone(), login.clone());
        let (clock, log) = (source_clock.clone(), log.clone());
        async move {
            log.started.lock().unwrap().push(clock.wall());
            let secret = |name: &str| SecretString::from(login[name].as_str().unwrap());
            let client_secret = secret("client_secret");
            let grant = Grant::RefreshToken {
                client_id: login["client_id"].as_str(),
                client_secret: Some(&client_secret),
                refresh_token: &secret("refresh_token"),
                rapt: None,
                scopes: None,
            };
            let response = endpoint.exchange(&grant, None).await;
            log.ended.fetch_add(1, Ordering::SeqCst);
            // The same expiry as that of the endpoint's client, by this clock.
            let expiry = DateTime::<Utc>::from(clock.wall()) + HOUR;
            Ok(AccessToken::new(response?.access_token.secret())?.with_expiry(expiry))
        }
    });
    TokenCache::with_clock(source, clock)
}

/// Returns a cache with this clock, which gets a new token from these credentials each time.
pub(crate) fn renewing(credentials: Credentials, clock: &ManualClock) -> TokenCache {
    let last: Arc<Mutex<Option<AccessToken>>> = Arc::default();
    let source = source_fn(move || {
        let (credentials, last) = (credentials.clone(), last.clone());
        async move {
            let old = last.lock().unwrap().take();
            if let Some(old) = old {
                credentials.token_cache().unwrap().invalidate(&old);
            }
            let token = credentials.token().await?;
            *last.lock().unwrap() = Some(token.clone());
            Ok(token)
        }
    });
    TokenCache::with_clock(source, clock)
}

#[tokio::test]
async fn clock_set_forward_or_sleep_costs_one_token() {
    let (google, clock) = (GoogleHosts::new().await, ManualClock::new());
    let cache = cache_with_clock(&google, &clock);
    let first = cache.token().await.unwrap();
    // In both cases only the wall clock moves.
    clock.sleep(2 * HOUR);
    let second = cache.token().await.unwrap();
    assert!(!second.secret_eq(&first), "the old token may have expired");
    assert_eq!(google.server(Host::Token).requests(), 2);
    assert!(cache.token().await.unwrap().secret_eq(&second));
    assert_eq!(google.server(Host::Token).requests(), 2);
}

#[tokio::test]
async fn clock_set_back_keeps_no_expired_token() {
    let (google, clock) = (GoogleHosts::new().await, ManualClock::new());
    let cache = cache_with_clock(&google, &clock);
    let first = cache.token().await.unwrap();
    clock.set_back(DAY);
    assert!(cache.token().await.unwrap().secret_eq(&first));
    clock.advance(HOUR / 2);
    assert!(cache.token().await.unwrap().secret_eq(&first));
    assert_eq!(google.server(Host::Token).requests(), 1);
    clock.advance(HOUR / 2);
    assert!(!cache.token().await.unwrap().secret_eq(&first));
    assert_eq!(google.server(Host::Token).requests(), 2);
}

/// Waits until the cache returns another token than this.
pub(crate) async fn renewed(cache: &TokenCache, clock: &ManualClock, old: &AccessToken) {
    until(cache, clock, |token| !token.secret_eq(old)).await;
}

/// Gets tokens until one meets the condition.
async fn until(cache: &TokenCache, clock: &ManualClock, is_met: impl Fn(&AccessToken) -> bool) {
    for _ in 0..200 {
        if is_met(&cache.token().await.unwrap()) {
            return;
        }
        // The backoff follows the clock of the cache, and the request takes real time.
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no new token after the end of the fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_token_is_returned_despite_host_faults() {
    let mut tasks = JoinSet::new();
    let page = Fault::respond(200, "text/html", "<html>");
    let faults = [
        HostFault::Network(NetworkFault::ConnectionRefused),
        HostFault::Network(NetworkFault::NeverReads),
        HostFault::Network(NetworkFault::NeverResponds),
        HostFault::Network(NetworkFault::ResetOnConnect),
        HostFault::Network(NetworkFault::ResetAfterRequest),
        HostFault::Network(NetworkFault::ResetInBody),
        HostFault::Network(NetworkFault::CloseInBody),
        HostFault::Responds(page),
        HostFault::Responds(Fault::status(503)),
    ];
    let tls_faults = [
        HostFault::Network(NetworkFault::TruncatedHandshake),
        HostFault::Network(NetworkFault::TruncatedRecord),
        HostFault::Network(NetworkFault::MissingCloseNotify),
        HostFault::UnknownName,
        HostFault::Certificate(BadCertificate::OtherName),
        HostFault::Certificate(BadCertificate::Expired),
        HostFault::Certificate(BadCertificate::SelfSigned),
    ];
    for host in [Host::Token, Host::Metadata, Host::Sts, Host::Iam] {
        let tls_faults = tls_faults.iter().filter(|_| host.has_tls());
        for fault in faults.iter().chain(tls_faults) {
            let fault = fault.clone();
            tasks.spawn(async move {
                let (google, clock) = (GoogleHosts::new().await, ManualClock::new());
                let credentials = google.credentials(host, &google.options()).await;
                let cache = renewing(credentials, &clock);
                let token = cache.token().await.unwrap();
                fault.apply(&google, host).await;
                // Into the refresh window.
                clock.advance(HOUR - Duration::from_secs(220));
                for _ in 0..20 {
                    let returned = cache.token().await.unwrap();
                    assert!(returned.secret_eq(&token), "{host:?} {fault:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                google.restore(host).await;
                let server = google.server(host);
                let before = server.requests();
                let is_new = |now: &AccessToken| match host {
                    // The metadata server returns the same token until shortly before its expiry.
                    Host::Metadata => server.requests() > before,
                    _ => !now.secret_eq(&token),
                };
                until(&cache, &clock, is_new).await;
            });
        }
    }
    tasks.join_all().await;
}

/// A minute by the clock of the cache, which stands still during requests. The backoff is 1, 2, 4, 8,
/// 16 and 30 seconds, and up to a fifth more.
#[tokio::test(flavor = "multi_thread")]
async fn background_refresh_backs_off_during_503() {
    let (google, clock) = (GoogleHosts::new().await, ManualClock::new());
    let log = Arc::<TokenRequests>::default();
    let cache = logged_cache_with_clock(&google, &clock, log.clone());
    let token = cache.token().await.unwrap();
    let unavailable = Fault::status(503).times(usize::MAX);
    google.emulator.fault(Host::Token.name(), unavailable);
    clock.advance(HOUR - Duration::from_secs(220));
    let before = google.server(Host::Token).requests();
    let second = Duration::from_secs(1);
    for _ in 0..60 {
        assert!(cache.token().await.unwrap().secret_eq(&token));
        log.settle().await;
        clock.advance(second);
    }
    let started = log.started.lock().unwrap().split_off(1);
    assert!((5..=6).contains(&started.len()), "{started:?}");
    for (failures, pair) in started.windows(2).enumerate() {
        let pause = pair[1].duration_since(pair[0]).unwrap();
        let backoff = second * (1 << failures);
        // The clock advances in whole seconds, perhaps before an attempt has started or is recorded.
        let longest = backoff * 6 / 5 + 3 * second;
        assert!(
            (backoff..=longest).contains(&pause),
            "{pause:?} instead of {backoff:?}"
        );
    }
    let requests = google.server(Host::Token).requests() - before;
    assert_eq!(requests, started.len() * 3);
    google.restore(Host::Token).await;
    renewed(&cache, &clock, &token).await;
}
