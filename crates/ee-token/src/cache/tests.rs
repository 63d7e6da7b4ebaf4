mod clocks;
mod failures;
mod rejected_tokens;
mod runtimes;

use std::fmt;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::cache::token_cache::REFRESH_WINDOW;
use crate::cache::token_cache::refresh::ABANDON_AFTER;
use crate::{AccessToken, Error, ErrorKind, ManualClock, TokenCache, TokenFuture, TokenSource};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const OVER_AN_HOUR: Duration = Duration::from_secs(3601);
const DAY: Duration = Duration::from_secs(86_400);

const ONE_HOUR: Response = Response::ExpiresIn(HOUR);
const REJECTED: Response = Response::Fails(ErrorKind::Rejected);

/// A source whose responses a test determines, and which counts its calls.
#[derive(Clone)]
struct Source {
    clock: ManualClock,
    script: Arc<Script>,
}

struct Script {
    calls: AtomicUsize,
    response: Mutex<Response>,
    /// Holds each response back until it is released.
    gate: Option<Notify>,
    has_changed: Mutex<bool>,
    /// How long a check for a changed credential takes.
    check_time: Mutex<Duration>,
}

#[derive(Clone)]
enum Response {
    /// A new token with this lifetime.
    ExpiresIn(Duration),
    /// The same token each time, with this lifetime.
    SameToken(Duration),
    /// A new token without an expiry.
    NoExpiry,
    /// The same token each time, with this expiry.
    ExpiresAt(DateTime<Utc>),
    Fails(ErrorKind),
    /// The server is busy, and asks for this delay.
    Busy(Duration),
    Panics,
}

/// Creates a source and its cache.
fn setup(response: Response) -> (Source, TokenCache) {
    Source::build(response, None)
}

/// Creates a source that holds its responses back, and its cache.
fn gated(response: Response) -> (Source, TokenCache) {
    Source::build(response, Some(Notify::new()))
}

/// Creates a source and its cache, which contains the first token.
async fn cached(response: Response) -> (Source, TokenCache) {
    let (source, cache) = setup(response);
    cache.token().await.unwrap();
    (source, cache)
}

/// Creates a source that rejects the credential, and its cache, which contains the first failure.
async fn rejected() -> (Source, TokenCache) {
    let (source, cache) = setup(REJECTED);
    cache.token().await.unwrap_err();
    (source, cache)
}

/// Creates a source with a single token, and its cache.
fn single_token(lifetime: Duration) -> (Source, TokenCache) {
    let (source, cache) = setup(Response::NoExpiry);
    source.respond(Response::ExpiresAt(source.now() + lifetime));
    (source, cache)
}

impl Source {
    fn build(response: Response, gate: Option<Notify>) -> (Self, TokenCache) {
        let source = Self {
            clock: ManualClock::new(),
            script: Arc::new(Script {
                calls: AtomicUsize::new(0),
                response: Mutex::new(response),
                gate,
                has_changed: Mutex::new(false),
                check_time: Mutex::default(),
            }),
        };
        let cache = TokenCache::with_clock(source.clone(), &source.clock);
        (source, cache)
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.wall().into()
    }

    fn calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }

    fn respond(&self, response: Response) {
        *self.script.response.lock().unwrap() = response;
    }

    fn release(&self) {
        self.script.gate.as_ref().unwrap().notify_one();
    }

    fn set_changed(&self, has_changed: bool) {
        *self.script.has_changed.lock().unwrap() = has_changed;
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl TokenSource for Source {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let number = self.script.calls.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(gate) = &self.script.gate {
                gate.notified().await;
            }
            let response = self.script.response.lock().unwrap().clone();
            match response {
                Response::ExpiresIn(lifetime) => {
                    Ok(token(number).with_expiry(self.now() + lifetime))
                }
                Response::SameToken(lifetime) => {
                    let seconds = TimeDelta::seconds(self.now().timestamp());
                    let expiry = DateTime::<Utc>::UNIX_EPOCH + seconds + lifetime;
                    Ok(token(0).with_expiry(expiry))
                }
                Response::NoExpiry => Ok(token(number)),
                Response::ExpiresAt(expiry) => Ok(token(0).with_expiry(expiry)),
                Response::Fails(kind) => Err(Error::new(kind, format!("failure {number}"))),
                Response::Busy(delay) => {
                    Err(Error::new(ErrorKind::Server, "busy").with_retry_after(Some(delay)))
                }
                Response::Panics => panic!("the source panics"),
            }
        })
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.clock.advance(*self.script.check_time.lock().unwrap());
        *self.script.has_changed.lock().unwrap()
    }
}

fn token(number: usize) -> AccessToken {
    AccessToken::new(&format!("token-{number}")).unwrap()
}

/// Lets every ready task run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Calls the cache, and lets a background refresh run.
async fn call_and_settle(cache: &TokenCache) {
    cache.token().await.unwrap();
    settle().await;
}

fn spawn_caller(cache: &TokenCache) -> JoinHandle<Result<AccessToken, Error>> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.token().await })
}

fn spawn_callers(count: usize, cache: &TokenCache) -> Vec<JoinHandle<Result<AccessToken, Error>>> {
    (0..count).map(|_| spawn_caller(cache)).collect()
}

#[tokio::test]
async fn thousand_callers_cost_one_request() {
    let (source, cache) = gated(ONE_HOUR);
    let callers = spawn_callers(1000, &cache);
    settle().await;
    source.release();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().secret(), "token-1");
    }
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn fresh_token_is_ready_without_a_runtime() {
    let (source, cache) = cached(ONE_HOUR).await;
    // Polled once, on a thread without a runtime.
    thread::spawn(move || {
        let mut context = Context::from_waker(Waker::noop());
        let poll = pin!(cache.header()).poll(&mut context);
        assert!(matches!(poll, Poll::Ready(Ok(header)) if header == "Bearer token-1"));
    })
    .join()
    .unwrap();
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn stale_token_is_returned_while_one_refresh_runs() {
    let (source, cache) = gated(ONE_HOUR);
    source.release();
    cache.token().await.unwrap();

    source.clock.advance(Duration::from_secs(3600 - 226));
    call_and_settle(&cache).await;
    assert_eq!(source.calls(), 1, "one second before the refresh window");

    source.clock.advance(SECOND);
    for _ in 0..100 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.calls(), 2, "one refresh, still running");
    source.release();
    settle().await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn short_lived_token_is_refreshed_in_its_last_quarter() {
    let (source, cache) = cached(Response::ExpiresIn(Duration::from_secs(100))).await;
    source.clock.advance(Duration::from_secs(74));
    call_and_settle(&cache).await;
    assert_eq!(source.calls(), 1);
    source.clock.advance(SECOND);
    assert_eq!(cache.token().await.unwrap().secret(), "token-1");
    settle().await;
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn expired_token_is_never_returned() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.clock.advance(HOUR);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn dropped_caller_leaves_the_refresh_running() {
    let (source, cache) = gated(ONE_HOUR);
    let first = spawn_caller(&cache);
    settle().await;
    let waiter = spawn_caller(&cache);
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    source.release();
    assert_eq!(waiter.await.unwrap().unwrap().secret(), "token-1");
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn source_panic_is_an_error_for_all_callers() {
    let (source, cache) = setup(Response::Panics);
    for _ in 0..100 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime);
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    assert_eq!(source.calls(), 1, "the failure is shared for a second");
    source.respond(ONE_HOUR);
    source.clock.advance(SECOND * 2);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn source_panic_keeps_the_valid_token() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.respond(Response::Panics);
    source.clock.advance(Duration::from_secs(3500));
    for _ in 0..10 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn slow_source_does_not_time_out() {
    let clock = ManualClock::new();
    let shared_clock = clock.clone();
    let source = crate::source_fn(move || {
        let clock = shared_clock.clone();
        async move {
            // An executable's timeout of 120 s, and the requests after it.
            for _ in 0..245 {
                tokio::time::sleep(SECOND).await;
                clock.advance(SECOND);
            }
            Ok(token(1))
        }
    });
    let cache = TokenCache::with_clock(source, &clock);
    let callers = spawn_callers(3, &cache);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().secret(), "token-1");
    }
}

#[tokio::test]
async fn invalid_token_is_retried() {
    #[derive(Debug)]
    struct Vault(Mutex<Vec<&'static str>>);

    impl TokenSource for Vault {
        fn fetch_token(&self) -> TokenFuture<'_> {
            Box::pin(async { AccessToken::new(self.0.lock().unwrap().pop().unwrap()) })
        }
    }

    let tokens = || Mutex::new(vec!["good", "garbled\n", ""]);
    let closure_tokens = tokens();
    let closure = crate::source_fn(move || {
        let token = closure_tokens.lock().unwrap().pop().unwrap();
        async move { AccessToken::new(token) }
    });
    let sources: [Arc<dyn TokenSource>; 2] = [Arc::new(Vault(tokens())), Arc::new(closure)];
    for source in sources {
        let clock = ManualClock::new();
        let cache = TokenCache::with_clock(source, &clock);
        for _ in 0..2 {
            let error = cache.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidResponse);
            clock.advance(SECOND * 3);
        }
        assert_eq!(cache.token().await.unwrap().secret(), "good");
    }
}

#[tokio::test]
async fn closure_errors_are_returned_unchanged() {
    let source = crate::source_fn(|| async {
        Err(Error::new(ErrorKind::InvalidCredential, "no such role")
            .with_principal("robot@example.com")
            .with_remedy(crate::Remedy::new("Create the role.")))
    });
    let error = TokenCache::new(source).token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCredential);
    assert_eq!(error.principal(), Some("robot@example.com"));
    assert_eq!(error.remedy().text, "Create the role.");
}

#[tokio::test(start_paused = true)]
async fn hanging_source_times_out() {
    let (_, cache) = gated(ONE_HOUR);
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let (_, cache) = setup(ONE_HOUR);
    cache.token().await.unwrap();
    assert!(!format!("{cache:?}").contains("token-1"));
}
