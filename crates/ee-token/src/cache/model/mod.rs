//! Model checking of the cache with shuttle: the same source files, compiled with a scheduling
//! decision at each access to shared state. Each test runs under thousands of schedules.
//!
//! A failing schedule is printed. `shuttle::replay` runs it again.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::duplicate_mod,
    reason = "a second copy, used in part"
)]
#[path = "../token_cache.rs"]
mod cache;
mod sync;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use tokio::sync::Notify;

use self::cache::TokenCache;
use self::sync::Runtime;
use crate::{AccessToken, Error, ErrorKind, ManualClock, TokenFuture, TokenSource};

/// The number of random schedules, and of schedules that are chosen to find rare orders (PCT).
const SCHEDULES: usize = 3000;
/// The number of preemptions that a PCT schedule targets.
const DEPTH: usize = 3;
const LIFETIME: Duration = Duration::from_secs(3600);
/// In the refresh window, with less time to expiry than it takes to abandon a refresh.
const STALE: Duration = Duration::from_secs(3540);

/// Runs a scenario with an empty cache under all schedules.
fn explore(scenario: impl Fn(Source, TokenCache) + Copy + Send + Sync + 'static) {
    let run = move || {
        sync::reset_runtime();
        let source = Source::new();
        let cache = TokenCache::with_clock(source.clone(), &source.clock);
        scenario(source, cache);
        sync::reset_runtime();
    };
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, DEPTH);
}

/// Runs a scenario with a cache that contains the first token under all schedules.
fn explore_cached(scenario: fn(Source, TokenCache, AccessToken)) {
    explore(move |source, cache| {
        let first = block_on(cache.token()).unwrap();
        assert_eq!(source.calls(), 1);
        scenario(source, cache, first);
    });
}

/// A source that takes several steps for a token, and counts its concurrent calls.
#[derive(Clone)]
struct Source {
    clock: ManualClock,
    script: Arc<Script>,
}

struct Script {
    calls: AtomicUsize,
    running: AtomicUsize,
    max_running: AtomicUsize,
    response: Mutex<Response>,
    /// Whether the credential has changed since the last call.
    has_changed: AtomicBool,
    /// Holds responses back until it is notified.
    gate: Mutex<Option<Arc<Notify>>>,
}

#[derive(Clone, Copy)]
enum Response {
    Token,
    /// The token with this value, even if it was rejected.
    SameToken(&'static str),
    Fails(ErrorKind),
}

impl Source {
    fn new() -> Self {
        Self {
            clock: ManualClock::new(),
            script: Arc::new(Script {
                calls: AtomicUsize::new(0),
                running: AtomicUsize::new(0),
                max_running: AtomicUsize::new(0),
                response: Mutex::new(Response::Token),
                has_changed: AtomicBool::new(false),
                gate: Mutex::new(None),
            }),
        }
    }

    fn respond(&self, response: Response) {
        *self.script.response.lock().unwrap() = response;
    }

    fn calls(&self) -> usize {
        self.script.calls.load(SeqCst)
    }

    /// Waits until this many calls have started, and none is running.
    fn wait_for_calls(&self, count: usize) {
        while self.calls() < count || self.script.running.load(SeqCst) > 0 {
            block_on(yield_now());
        }
    }

    fn assert_calls_never_overlap(&self) {
        assert!(self.script.max_running.load(SeqCst) <= 1);
    }
}

/// Counts down when a call returns or is dropped.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl TokenSource for Source {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let script = &self.script;
            let number = script.calls.fetch_add(1, SeqCst) + 1;
            script.has_changed.store(false, SeqCst);
            let running = script.running.fetch_add(1, SeqCst) + 1;
            let _running = Running(&script.running);
            script.max_running.fetch_max(running, SeqCst);
            yield_now().await;
            let gate = script.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            yield_now().await;
            let response = *script.response.lock().unwrap();
            let secret = match response {
                Response::Token => format!("token-{number}"),
                Response::SameToken(secret) => secret.into(),
                Response::Fails(kind) => return Err(Error::new(kind, format!("failure {number}"))),
            };
            let expiry = DateTime::<Utc>::from(self.clock.wall()) + LIFETIME;
            Ok(AccessToken::new(&secret)?.with_expiry(expiry))
        })
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.script.has_changed.load(SeqCst)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Calls the cache in a task.
fn caller(cache: &TokenCache) -> JoinHandle<Result<AccessToken, Error>> {
    let cache = cache.clone();
    spawn(async move { cache.token().await })
}

/// Rejects a token and calls the cache in a task.
fn rejecting_caller(
    cache: &TokenCache,
    token: &AccessToken,
) -> JoinHandle<Result<AccessToken, Error>> {
    let (cache, token) = (cache.clone(), token.clone());
    spawn(async move {
        cache.invalidate(&token);
        cache.token().await
    })
}

fn outcome<T: 'static>(task: JoinHandle<T>) -> T {
    block_on(task).unwrap()
}

/// Polls a future up to three times, then drops it.
async fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    let mut left = thread_rng().gen_range(0..4);
    let mut future = pin!(future);
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // Polls again without progress, so that this future ends.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn callers_of_an_empty_cache_share_one_request() {
    explore(|source, cache| {
        let callers = [caller(&cache), caller(&cache), caller(&cache)];
        for task in callers {
            assert_eq!(outcome(task).unwrap().secret(), "token-1");
        }
        assert_eq!(source.calls(), 1);
    });
}

#[test]
fn background_refresh_runs_once_and_blocks_no_caller() {
    explore_cached(|source, cache, first| {
        let gate = Arc::new(Notify::new());
        *source.script.gate.lock().unwrap() = Some(gate.clone());
        source.clock.advance(STALE);
        // The refresh does not finish: waiting for it would be a deadlock, which fails the test.
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        *source.script.gate.lock().unwrap() = None;
        gate.notify_one();
        source.wait_for_calls(2);
        source.clock.advance(LIFETIME - STALE);
        assert!(!outcome(caller(&cache)).unwrap().secret_eq(&first));
        assert_eq!(source.calls(), 2, "no refresh of the expired token");
        source.assert_calls_never_overlap();
    });
}

#[test]
fn delayed_caller_starts_no_second_refresh() {
    explore_cached(|source, cache, _| {
        source.clock.advance(STALE);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            outcome(task).unwrap();
        }
        source.wait_for_calls(2);
        outcome(caller(&cache)).unwrap();
        assert_eq!(source.calls(), 2);
    });
}

#[test]
fn cancelled_caller_leaves_the_others_served() {
    explore(|source, cache| {
        let cancelled = {
            let cache = cache.clone();
            spawn(async move { poll_and_drop(cache.token()).await })
        };
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-1");
        }
        if let Some(result) = outcome(cancelled) {
            assert_eq!(result.unwrap().secret(), "token-1");
        }
        assert_eq!(source.calls(), 1);
    });
}

#[test]
fn refresh_of_a_dropped_runtime_is_replaced() {
    explore(|source, cache| {
        let callers = [caller(&cache), caller(&cache)];
        let end = shuttle::thread::spawn(sync::drop_runtime);
        for task in callers {
            outcome(task).unwrap();
        }
        end.join().unwrap();
        outcome(caller(&cache)).unwrap();
        assert!(source.calls() <= 2, "one for each runtime");
        source.assert_calls_never_overlap();
    });
}

#[test]
fn background_refresh_of_a_dropped_runtime_is_replaced() {
    explore_cached(|source, cache, first| {
        source.clock.advance(STALE);
        let stale = caller(&cache);
        let end = shuttle::thread::spawn(sync::drop_runtime);
        outcome(stale).unwrap();
        end.join().unwrap();
        // 50 s, which is less than its remaining lifetime.
        for _ in 0..500 {
            if !block_on(cache.token()).unwrap().secret_eq(&first) {
                source.assert_calls_never_overlap();
                return;
            }
            source.clock.advance(Duration::from_millis(100));
            block_on(yield_now());
        }
        panic!("the token was not refreshed");
    });
}

#[test]
fn shut_down_or_missing_runtime_blocks_no_caller() {
    explore(|source, cache| {
        let callers = [caller(&cache), caller(&cache)];
        let changes = shuttle::thread::spawn(|| {
            for runtime in [Runtime::ShutDown, Runtime::Missing, Runtime::Running] {
                sync::set_runtime(runtime);
                shuttle::thread::yield_now();
            }
        });
        for task in callers {
            if let Err(error) = outcome(task) {
                assert_eq!(error.kind(), ErrorKind::Runtime);
            }
        }
        changes.join().unwrap();
        outcome(caller(&cache)).unwrap();
        assert_eq!(source.calls(), 1);
    });
}

#[test]
fn shut_down_runtime_keeps_the_stale_token() {
    explore_cached(|source, cache, first| {
        source.clock.advance(STALE);
        sync::set_runtime(Runtime::ShutDown);
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        assert_eq!(source.calls(), 1);
        sync::set_runtime(Runtime::Running);
        source.clock.advance(Duration::from_secs(2));
        outcome(caller(&cache)).unwrap();
        source.wait_for_calls(2);
        source.assert_calls_never_overlap();
    });
}

#[test]
fn rejecting_the_only_token_costs_one_refresh() {
    explore(|source, cache| {
        source.respond(Response::SameToken("the-only-one"));
        let first = block_on(cache.token()).unwrap();
        for task in [(); 3].map(|()| rejecting_caller(&cache, &first)) {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        assert_eq!(source.calls(), 2);
        source.clock.advance(Duration::from_secs(11));
        let last = outcome(rejecting_caller(&cache, &first)).unwrap();
        assert!(last.secret_eq(&first));
        assert_eq!(source.calls(), 3);
    });
}

#[test]
fn changed_file_costs_all_callers_one_request() {
    explore(|source, cache| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        block_on(cache.token()).unwrap_err();
        source.script.has_changed.store(true, SeqCst);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.calls(), 2);
    });
}

#[test]
fn changed_file_costs_one_background_refresh() {
    explore_cached(|source, cache, _| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        source.clock.advance(LIFETIME - Duration::from_secs(200));
        outcome(caller(&cache)).unwrap();
        source.wait_for_calls(2);
        source.clock.advance(Duration::from_secs(31));
        source.script.has_changed.store(true, SeqCst);
        let time = {
            let clock = source.clock.clone();
            spawn(async move { clock.advance(Duration::from_secs(31)) })
        };
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            outcome(task).unwrap();
        }
        outcome(time);
        // Any refresh finishes.
        for _ in 0..50 {
            block_on(yield_now());
        }
        assert!(source.calls() <= 3);
    });
}

#[test]
fn suspension_or_clock_change_keeps_no_expired_token() {
    explore_cached(|source, cache, first| {
        let sleeps = thread_rng().gen_range(0..2) == 0;
        let time = {
            let clock = source.clock.clone();
            spawn(async move {
                if sleeps {
                    clock.sleep(LIFETIME);
                } else {
                    clock.set_back(Duration::from_secs(86_400));
                    yield_now().await;
                    clock.advance(LIFETIME);
                }
            })
        };
        let callers = [caller(&cache), caller(&cache)];
        outcome(time);
        assert!(!outcome(caller(&cache)).unwrap().secret_eq(&first));
        for task in callers {
            outcome(task).unwrap();
        }
    });
}

#[test]
fn rejected_token_costs_one_refresh_and_is_not_returned() {
    explore_cached(|source, cache, first| {
        for task in [(); 3].map(|()| rejecting_caller(&cache, &first)) {
            assert_eq!(outcome(task).unwrap().secret(), "token-2");
        }
        assert_eq!(source.calls(), 2);
    });
}

#[test]
fn rejection_during_a_refresh_keeps_the_new_token() {
    explore_cached(|source, cache, first| {
        source.clock.advance(STALE);
        let others = [caller(&cache), caller(&cache)];
        let rejection = rejecting_caller(&cache, &first);
        assert!(!outcome(rejection).unwrap().secret_eq(&first));
        for task in others {
            outcome(task).unwrap();
        }
        assert_eq!(block_on(cache.token()).unwrap().secret(), "token-2");
        assert_eq!(source.calls(), 2);
    });
}

#[test]
fn failure_is_shared_and_forgotten_after_its_backoff() {
    explore(|source, cache| {
        source.respond(Response::Fails(ErrorKind::Server));
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 1");
        }
        assert_eq!(source.calls(), 1);
        source.respond(Response::Token);
        source.clock.advance(Duration::from_secs(2));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-2");
        }
    });
}

#[test]
fn rejection_costs_all_callers_one_request() {
    explore(|source, cache| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        let early = [caller(&cache), caller(&cache)];
        source.clock.advance(Duration::from_secs(59));
        for task in early.into_iter().chain([caller(&cache)]) {
            assert_eq!(outcome(task).unwrap_err().kind(), ErrorKind::Rejected);
        }
        assert_eq!(source.calls(), 1);
    });
}

#[test]
fn retry_after_a_rejection_costs_all_callers_one_request() {
    explore(|source, cache| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        block_on(cache.token()).unwrap_err();
        source.clock.advance(Duration::from_secs(60));
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.calls(), 2);
        // The next attempt is due after 2 minutes.
        source.respond(Response::Token);
        source.clock.advance(Duration::from_secs(119));
        outcome(caller(&cache)).unwrap_err();
        source.clock.advance(Duration::from_secs(1));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-3");
        }
    });
}

#[test]
fn rejected_refresh_leaves_the_valid_token_until_it_expires() {
    explore_cached(|source, cache, first| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        source.clock.advance(LIFETIME - Duration::from_secs(50));
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        source.wait_for_calls(2);
        source.clock.advance(Duration::from_secs(40));
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        source.clock.advance(Duration::from_secs(10));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.calls(), 2);
        source.clock.advance(Duration::from_secs(10));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 3");
        }
        assert_eq!(source.calls(), 3);
    });
}

#[test]
fn renewals_of_a_rejected_token_cost_one_refresh_and_back_off() {
    explore_cached(|source, cache, first| {
        let renew = |token: &AccessToken| {
            let (cache, token) = (cache.clone(), token.clone());
            spawn(async move { cache.renew(&token).await.unwrap() })
        };
        let mut second = None;
        for task in [renew(&first), renew(&first), renew(&first)] {
            second = outcome(task);
            assert_eq!(second.as_ref().unwrap().secret(), "token-2");
        }
        let second = second.unwrap();
        for task in [renew(&second), renew(&first), renew(&second)] {
            assert!(outcome(task).is_none_or(|token| token.secret_eq(&second)));
        }
        assert_eq!(source.calls(), 2);
        source.clock.advance(Duration::from_secs(1));
        for task in [renew(&second), renew(&second), renew(&second)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-3");
        }
        assert_eq!(source.calls(), 3);
    });
}

#[test]
fn failed_background_refresh_keeps_the_valid_token() {
    explore_cached(|source, cache, first| {
        source.respond(Response::Fails(ErrorKind::Rejected));
        source.clock.advance(STALE);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
    });
}

#[test]
fn token_is_not_returned_after_its_expiry() {
    explore_cached(|source, cache, _| {
        let time = {
            let clock = source.clock.clone();
            spawn(async move {
                for step in [STALE, LIFETIME - STALE] {
                    clock.advance(step);
                    yield_now().await;
                }
            })
        };
        let call = || {
            let (cache, clock) = (cache.clone(), source.clock.clone());
            spawn(async move {
                let called_at = DateTime::<Utc>::from(clock.wall());
                let token = cache.token().await.unwrap();
                assert!(token.expires_at().unwrap() > called_at);
            })
        };
        for task in [call(), call(), call()] {
            outcome(task);
        }
        outcome(time);
        // A refresh may be running while the clock advances, and is then replaced.
        assert!(source.script.max_running.load(SeqCst) <= 2);
    });
}
