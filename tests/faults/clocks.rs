//! Clocks that are off, that are set, that stand still; and what a token that is still valid is worth
//! while nobody hands out another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use earthengine::token::{
    AccessToken, Grant, HttpClient, ManualClock, RetryPolicy, SecretString, TokenCache,
    TokenEndpoint, source_fn,
};
use earthengine::{Credentials, EarthEngine, Endpoints};
use ee_emulator::{Emulator, EmulatorClock, Fault, Project};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::front::Trouble;
use crate::hosts::{Blow, Shown};
use crate::town::{Host, PROJECT, ROBOT, Town, constant};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// Google, whose clock this machine's is not in step with.
async fn elsewhen(set: impl FnOnce(&EmulatorClock)) -> Emulator {
    let clock = EmulatorClock::system();
    set(&clock);
    let builder = Emulator::builder().project(Project::new(PROJECT));
    builder.clock(clock).start().await.unwrap()
}

async fn connect(emulator: &Emulator, credential: String) -> EarthEngine {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_json(credential)
        .project(PROJECT)
        .connect()
        .await
        .unwrap()
}

fn token_requests(emulator: &Emulator) -> usize {
    emulator.requests_to(Host::Token.name()).len()
}

/// A signature is refused once and made for the server's time; a login has no time in it.
#[tokio::test]
async fn a_clock_that_is_a_day_off_either_way_costs_one_request_at_most() {
    for ahead in [true, false] {
        let emulator = elsewhen(|clock| match ahead {
            true => clock.advance(DAY),
            false => clock.rewind(DAY),
        })
        .await;
        let robot = emulator.create_service_account(ROBOT, PROJECT);
        let ee = connect(&emulator, robot.json_key()).await;
        assert_eq!(token_requests(&emulator), 2, "refused, and made anew");
        assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
        assert_eq!(token_requests(&emulator), 2, "the token is as good as any");

        let jane = emulator.create_user("jane@example.com");
        let ee = connect(&emulator, jane.earthengine_file_json(None)).await;
        assert_eq!(ee.compute::<i64>(&constant(8)).await.unwrap(), 8);
        assert_eq!(token_requests(&emulator), 3);

        // IAM says when a token ends by its own clock.
        emulator.allow_impersonation("jane@example.com", ROBOT);
        let options = earthengine::credentials::CredentialOptions::new(ee.client().http().clone());
        let acting = ee.credentials().impersonate(ROBOT).build(&options).unwrap();
        let token = acting.token().await.unwrap();
        assert!(
            acting.token().await.unwrap().secret_eq(&token),
            "it is kept"
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_put_right_while_the_program_runs_costs_one_more() {
    let emulator = elsewhen(|clock| clock.advance(DAY)).await;
    let robot = emulator.create_service_account(ROBOT, PROJECT);
    let ee = connect(&emulator, robot.json_key()).await;
    assert_eq!(token_requests(&emulator), 2);
    // As seen from here, the others' clocks go back.
    emulator.clock().rewind(DAY);
    emulator.expire_tokens();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
    assert_eq!(token_requests(&emulator), 4, "refused, and made anew");
    emulator.expire_tokens();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
    assert_eq!(token_requests(&emulator), 5, "in step again");
}

/// When tokens were asked for, by the clock of the cache, and how often that has ended.
#[derive(Default)]
struct Minting {
    asked: Mutex<Vec<SystemTime>>,
    ended: AtomicUsize,
}

impl Minting {
    /// Nothing is asked for, nor will be before time goes on.
    async fn is_over(&self) {
        // What is to begin behind a token that is handed out has begun by then, on most machines.
        tokio::time::sleep(Duration::from_millis(100)).await;
        while self.ended.load(Ordering::SeqCst) < self.asked.lock().unwrap().len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What came of it is noted right behind its end.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A cache by a clock of its own, whose tokens come over the network.
fn by_clock(town: &Town, clock: &ManualClock) -> TokenCache {
    by_clock_noted(town, clock, Arc::default())
}

fn by_clock_noted(town: &Town, clock: &ManualClock, minting: Arc<Minting>) -> TokenCache {
    let http = HttpClient::from_reqwest_builder(town.own_client(), town.endpoints()).unwrap();
    let hasty = RetryPolicy {
        initial_backoff: Duration::from_millis(10),
        ..RetryPolicy::for_token_requests()
    };
    let endpoint = Arc::new(TokenEndpoint::google(http).with_retry(hasty));
    let jane = town.emulator.create_user("jane@example.com");
    let login: Value = serde_json::from_str(&jane.authorized_user_json()).unwrap();
    let its_clock = clock.clone();
    let source = source_fn(move || {
        let (endpoint, login) = (endpoint.clone(), login.clone());
        let (clock, minting) = (its_clock.clone(), minting.clone());
        async move {
            minting.asked.lock().unwrap().push(clock.wall());
            let secret = |name: &str| SecretString::from(login[name].as_str().unwrap());
            let grant = Grant::RefreshToken {
                client_id: login["client_id"].as_str(),
                client_secret: Some(&secret("client_secret")),
                refresh_token: &secret("refresh_token"),
                rapt: None,
                scopes: None,
            };
            let answer = endpoint.exchange(&grant, None).await;
            minting.ended.fetch_add(1, Ordering::SeqCst);
            // As the endpoint's client does it, by this clock.
            let end = DateTime::<Utc>::from(clock.wall()) + HOUR;
            Ok(AccessToken::new(answer?.access_token.secret())?.with_expiry(end))
        }
    });
    TokenCache::with_clock(source, clock)
}

/// A cache by a clock of its own, which asks these credentials for another token each time.
pub(crate) fn renewing(credentials: Credentials, clock: &ManualClock) -> TokenCache {
    let last: Arc<Mutex<Option<AccessToken>>> = Arc::default();
    let source = source_fn(move || {
        let (credentials, last) = (credentials.clone(), last.clone());
        async move {
            let spent = last.lock().unwrap().take();
            if let Some(spent) = spent {
                credentials.token_cache().unwrap().invalidate(&spent);
            }
            let token = credentials.token().await?;
            *last.lock().unwrap() = Some(token.clone());
            Ok(token)
        }
    });
    TokenCache::with_clock(source, clock)
}

#[tokio::test]
async fn a_clock_that_is_set_forward_or_a_machine_that_slept_costs_one_token() {
    let (town, clock) = (Town::new().await, ManualClock::new());
    let cache = by_clock(&town, &clock);
    let first = cache.token().await.unwrap();
    // The wall clock alone moves, for the one as for the other.
    clock.sleep(2 * HOUR);
    let second = cache.token().await.unwrap();
    assert!(!second.secret_eq(&first), "it may be dead");
    assert_eq!(town.front(Host::Token).requests(), 2);
    assert!(cache.token().await.unwrap().secret_eq(&second));
    assert_eq!(town.front(Host::Token).requests(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_costs_nothing_and_keeps_no_dead_token() {
    let (town, clock) = (Town::new().await, ManualClock::new());
    let cache = by_clock(&town, &clock);
    let first = cache.token().await.unwrap();
    clock.set_back(DAY);
    assert!(cache.token().await.unwrap().secret_eq(&first));
    clock.advance(HOUR / 2);
    assert!(cache.token().await.unwrap().secret_eq(&first));
    assert_eq!(town.front(Host::Token).requests(), 1);
    clock.advance(HOUR / 2);
    assert!(!cache.token().await.unwrap().secret_eq(&first));
    assert_eq!(town.front(Host::Token).requests(), 2);
}

/// Until the token is another than this, which it must be soon.
pub(crate) async fn renewed(cache: &TokenCache, clock: &ManualClock, old: &AccessToken) {
    until(cache, clock, |token| !token.secret_eq(old)).await;
}

/// Asks for the token until it is as it should be, which it must be soon.
async fn until(cache: &TokenCache, clock: &ManualClock, is_so: impl Fn(&AccessToken) -> bool) {
    for _ in 0..200 {
        if is_so(&cache.token().await.unwrap()) {
            return;
        }
        // The next attempt comes by the cache's clock, and takes its time by the world's.
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no new token, long after the fault has ended");
}

/// Whatever happens where tokens come from: the one that is there is good to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_still_valid_is_handed_out_whatever_its_host_does() {
    let mut meeting = JoinSet::new();
    let page = Fault::respond(200, "text/html", "<html>");
    let blows = [
        Blow::Trouble(Trouble::Refused),
        Blow::Trouble(Trouble::Silent),
        Blow::Trouble(Trouble::Mute),
        Blow::Trouble(Trouble::ResetAtOnce),
        Blow::Trouble(Trouble::ResetAfterRequest),
        Blow::Trouble(Trouble::ResetInBody),
        Blow::Trouble(Trouble::CutInBody),
        Blow::Answers(page),
        Blow::Answers(Fault::status(503)),
    ];
    let of_tls = [
        Blow::Trouble(Trouble::CutHandshake),
        Blow::Trouble(Trouble::CutRecord),
        Blow::Trouble(Trouble::CutWithoutWord),
        Blow::NoName,
        Blow::Certificate(Shown::OfAnotherName),
        Blow::Certificate(Shown::Expired),
        Blow::Certificate(Shown::SelfSigned),
    ];
    for host in [Host::Token, Host::Metadata, Host::Sts, Host::Iam] {
        let of_tls = of_tls.iter().filter(|_| host.has_tls());
        for blow in blows.iter().chain(of_tls) {
            let blow = blow.clone();
            meeting.spawn(async move {
                let (town, clock) = (Town::new().await, ManualClock::new());
                let credentials = town.credentials(host, &town.options()).await;
                let cache = renewing(credentials, &clock);
                let token = cache.token().await.unwrap();
                blow.strike(&town, host).await;
                // Into the time in which it is to be renewed.
                clock.advance(HOUR - Duration::from_secs(220));
                for _ in 0..20 {
                    let handed_out = cache.token().await.unwrap();
                    assert!(handed_out.secret_eq(&token), "{host:?} {blow:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                town.heal(host).await;
                let front = town.front(host);
                let before = front.requests();
                let is_new = |now: &AccessToken| match host {
                    // A machine's server has one token until shortly before its end.
                    Host::Metadata => front.requests() > before,
                    _ => !now.secret_eq(&token),
                };
                until(&cache, &clock, is_new).await;
            });
        }
    }
    meeting.join_all().await;
}

/// A minute by the cache's clock, which stands still while it asks. Behind a failure it waits for 1,
/// 2, 4, 8, 16 and 30 seconds, and for a fifth more at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_answers_503_for_a_minute_is_not_pressed() {
    let (town, clock) = (Town::new().await, ManualClock::new());
    let minting = Arc::<Minting>::default();
    let cache = by_clock_noted(&town, &clock, minting.clone());
    let token = cache.token().await.unwrap();
    let unavailable = Fault::status(503).times(usize::MAX);
    town.emulator.fault(Host::Token.name(), unavailable);
    clock.advance(HOUR - Duration::from_secs(220));
    let before = town.front(Host::Token).requests();
    let second = Duration::from_secs(1);
    for _ in 0..60 {
        assert!(cache.token().await.unwrap().secret_eq(&token));
        minting.is_over().await;
        clock.advance(second);
    }
    let asked = minting.asked.lock().unwrap().split_off(1);
    assert!((5..=6).contains(&asked.len()), "{asked:?}");
    for (failures, pair) in asked.windows(2).enumerate() {
        let pause = pair[1].duration_since(pair[0]).unwrap();
        let wait = second * (1 << failures);
        // The clock goes on by whole seconds, and perhaps before an attempt has begun or is noted.
        let longest = wait * 6 / 5 + 3 * second;
        assert!(
            (wait..=longest).contains(&pause),
            "{pause:?} after {wait:?}"
        );
    }
    let requests = town.front(Host::Token).requests() - before;
    assert_eq!(requests, asked.len() * 3);
    town.heal(Host::Token).await;
    renewed(&cache, &clock, &token).await;
}
