use std::fmt;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::cache::token_cache::REFRESH_WINDOW;
use crate::cache::token_cache::refresh::TAKEOVER;
use crate::{AccessToken, Error, ErrorKind, ManualClock, TokenCache, TokenFuture, TokenSource};

const SECOND: Duration = Duration::from_secs(1);
const HOUR_AND_MORE: Duration = Duration::from_secs(3601);

/// A source whose every answer the test decides, and which counts how often it is asked.
#[derive(Clone)]
struct Source(Arc<Script>);

struct Script {
    clock: ManualClock,
    asked: AtomicUsize,
    /// What to answer: a life in seconds and a fixed name, or an error.
    answer: Mutex<Answer>,
    /// Held back until the test lets go.
    gate: Option<Notify>,
    changed: Mutex<bool>,
    /// How long a look at whether it changed takes.
    look: Mutex<Duration>,
}

#[derive(Clone)]
enum Answer {
    Lives(Duration),
    Same(Duration),
    Forever,
    Until(DateTime<Utc>),
    Fails(ErrorKind),
    Panics,
}

impl Source {
    fn new(clock: &ManualClock, answer: Answer) -> Self {
        Self::build(clock, answer, None)
    }

    fn gated(clock: &ManualClock, answer: Answer) -> Self {
        Self::build(clock, answer, Some(Notify::new()))
    }

    fn build(clock: &ManualClock, answer: Answer, gate: Option<Notify>) -> Self {
        Self(Arc::new(Script {
            clock: clock.clone(),
            asked: AtomicUsize::new(0),
            answer: Mutex::new(answer),
            gate,
            changed: Mutex::new(false),
            look: Mutex::default(),
        }))
    }

    fn cache(&self) -> TokenCache {
        TokenCache::with_clock(self.clone(), self.0.clock.clock())
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn answer(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    fn let_go(&self) {
        self.0.gate.as_ref().unwrap().notify_one();
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
            let number = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(gate) = &self.0.gate {
                gate.notified().await;
            }
            let answer = self.0.answer.lock().unwrap().clone();
            let now = DateTime::<Utc>::from(self.0.clock.wall());
            match answer {
                Answer::Lives(life) => Ok(named(number).with_expiry(now + life)),
                Answer::Same(life) => {
                    let end = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(now.timestamp());
                    Ok(named(0).with_expiry(end + life))
                }
                Answer::Forever => Ok(named(number)),
                Answer::Until(at) => Ok(named(0).with_expiry(at)),
                Answer::Fails(kind) => Err(Error::new(kind, format!("failure {number}"))),
                Answer::Panics => panic!("the source panics"),
            }
        })
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.0.clock.advance(*self.0.look.lock().unwrap());
        *self.0.changed.lock().unwrap()
    }
}

fn named(number: usize) -> AccessToken {
    AccessToken::new(&format!("token-{number}")).unwrap()
}

const HOUR: Answer = Answer::Lives(Duration::from_secs(3600));

/// Lets every task that is ready run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_thousand_callers_cost_one_request() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token().await.unwrap() })
        })
        .collect();
    settle().await;
    source.let_go();
    for caller in callers {
        assert_eq!(caller.await.unwrap().secret(), "token-1");
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn a_fresh_token_is_had_without_yielding_and_without_a_runtime() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    // Polled once, on a thread without a runtime, it is ready.
    std::thread::spawn(move || {
        let mut header = Box::pin(cache.header());
        let waker = std::task::Waker::noop();
        let poll = header
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
        assert!(matches!(poll, std::task::Poll::Ready(Ok(h)) if h == "Bearer token-1"));
    })
    .join()
    .unwrap();
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn a_stale_token_is_handed_out_at_once_while_one_refresh_runs() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    source.let_go();
    cache.token().await.unwrap();

    clock.advance(Duration::from_secs(3600 - 226));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(source.asked(), 1, "one second before the window opens");

    clock.advance(SECOND);
    for _ in 0..100 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.asked(), 2, "one refresh, still under way");
    source.let_go();
    settle().await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_short_life_is_renewed_in_its_last_quarter() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Lives(Duration::from_secs(100)));
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.advance(Duration::from_secs(74));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(source.asked(), 1);
    clock.advance(SECOND);
    assert_eq!(cache.token().await.unwrap().secret(), "token-1");
    settle().await;
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn an_expired_token_is_never_handed_out() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn the_starter_may_be_dropped_and_the_rest_still_get_the_token() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    let starter = tokio::spawn({
        let cache = cache.clone();
        async move { cache.token().await }
    });
    settle().await;
    let waiter = tokio::spawn({
        let cache = cache.clone();
        async move { cache.token().await }
    });
    settle().await;
    starter.abort();
    assert!(starter.await.unwrap_err().is_cancelled());
    source.let_go();
    assert_eq!(waiter.await.unwrap().unwrap().secret(), "token-1");
    assert_eq!(source.asked(), 1);
}

#[test]
fn when_the_refreshing_runtime_goes_away_the_next_caller_takes_over() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    let first = runtime();
    first.block_on(async {
        let start = tokio::time::timeout(Duration::from_millis(20), cache.token());
        assert!(start.await.is_err(), "the source holds its answer back");
    });
    assert_eq!(source.asked(), 1);

    let waiting = std::thread::spawn({
        let cache = cache.clone();
        move || runtime().block_on(async move { cache.token().await })
    });
    drop(first);
    while source.asked() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    source.let_go();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "token-2");
}

/// What a caller gets outside of any runtime, or on the one that was entered last.
fn polled_once(cache: &TokenCache) -> Poll<Result<AccessToken, Error>> {
    let mut context = Context::from_waker(Waker::noop());
    pin!(cache.token()).poll(&mut context)
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn on_a_runtime_that_has_shut_down_it_is_an_error_and_nobody_hangs() {
    let source = Source::new(&ManualClock::new(), HOUR);
    let cache = source.cache();
    let over = runtime();
    let handle = over.handle().clone();
    drop(over);
    {
        let _entered = handle.enter();
        match polled_once(&cache) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Runtime),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(source.asked(), 0);
    let token = runtime().block_on(cache.token()).unwrap();
    assert_eq!(token.secret(), "token-1");
}

#[test]
fn on_a_runtime_that_has_shut_down_a_stale_token_is_handed_out_and_others_renew_it() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    let over = runtime();
    over.block_on(cache.token()).unwrap();
    clock.advance(Duration::from_secs(3500));
    let handle = over.handle().clone();
    drop(over);
    {
        let _entered = handle.enter();
        assert_eq!(cache.cached().unwrap().secret(), "token-1");
        assert!(matches!(polled_once(&cache), Poll::Ready(Ok(_))));
    }
    clock.advance(SECOND * 2);
    runtime().block_on(async {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    });
}

#[test]
fn outside_of_a_runtime_nobody_waits_for_the_refresh_of_another() {
    let source = Source::gated(&ManualClock::new(), HOUR);
    let cache = source.cache();
    let first = runtime();
    first.block_on(async {
        let start = tokio::time::timeout(Duration::from_millis(20), cache.token());
        assert!(start.await.is_err(), "the source holds its answer back");
    });
    match polled_once(&cache) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Runtime),
        other => panic!("{other:?}"),
    }
    source.let_go();
    let token = first.block_on(cache.token()).unwrap();
    assert_eq!(token.secret(), "token-1");
}

/// A refresh that was started on a runtime which lives on, and which nobody drives.
fn undriven_refresh(cache: &TokenCache) -> Runtime {
    let undriven = runtime();
    undriven.block_on(async {
        let start = tokio::time::timeout(Duration::from_millis(20), cache.token());
        let _ = start.await;
        settle().await;
    });
    undriven
}

#[test]
fn a_refresh_that_nobody_drives_is_given_up_by_its_age_and_not_by_each_waiters() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    let undriven = undriven_refresh(&cache);
    clock.advance(TAKEOVER - Duration::from_millis(50));
    let waiting = std::thread::spawn({
        let cache = cache.clone();
        move || runtime().block_on(async move { cache.token().await })
    });
    while source.asked() < 2 {
        std::thread::sleep(Duration::from_millis(1));
        clock.advance(Duration::from_millis(1));
    }
    source.let_go();
    source.let_go();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "token-2");
    drop(undriven);
}

#[test]
fn a_refresh_that_nobody_drives_does_not_keep_a_stale_token_from_its_renewal() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    source.let_go();
    runtime().block_on(cache.token()).unwrap();
    clock.advance(Duration::from_secs(3400));
    let _undriven = undriven_refresh(&cache);
    assert_eq!(source.asked(), 2);
    runtime().block_on(async {
        clock.advance(TAKEOVER - SECOND);
        cache.token().await.unwrap();
        settle().await;
        assert_eq!(source.asked(), 2, "not yet");
        clock.advance(SECOND);
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        assert_eq!(source.asked(), 3);
        source.let_go();
        source.let_go();
        settle().await;
        assert_eq!(cache.token().await.unwrap().secret(), "token-3");
    });
}

/// A refresh that was taken over by another, which `answer` is the answer to.
fn taken_over(source: &Source, cache: &TokenCache, answer: Answer) -> Runtime {
    let undriven = undriven_refresh(cache);
    source.0.clock.advance(TAKEOVER);
    source.let_go();
    source.let_go();
    source.answer(answer);
    let _ = runtime().block_on(cache.token());
    assert_eq!(source.asked(), 2);
    undriven
}

#[test]
fn what_comes_late_displaces_no_token_that_lives_longer_and_any_other() {
    for (late, kept) in [
        (HOUR, "token-2"),
        (Answer::Lives(Duration::from_secs(9000)), "token-1"),
        (Answer::Fails(ErrorKind::Rejected), "token-2"),
    ] {
        let source = Source::gated(&ManualClock::new(), HOUR);
        let cache = source.cache();
        let undriven = taken_over(&source, &cache, Answer::Lives(Duration::from_secs(7200)));
        source.answer(late);
        undriven.block_on(settle());
        assert_eq!(cache.cached().unwrap().secret(), kept);
        assert_eq!(source.asked(), 2);
    }
}

#[test]
fn a_token_that_comes_late_ends_the_failure_of_who_took_over() {
    let source = Source::gated(&ManualClock::new(), HOUR);
    let cache = source.cache();
    let undriven = taken_over(&source, &cache, Answer::Fails(ErrorKind::Network));
    assert!(runtime().block_on(cache.token()).is_err());
    source.answer(HOUR);
    undriven.block_on(settle());
    assert_eq!(cache.cached().unwrap().secret(), "token-1");
    let token = runtime().block_on(async {
        let current = cache.cached().unwrap();
        cache.invalidate(&current);
        source.let_go();
        cache.token().await
    });
    assert_eq!(
        token.unwrap().secret(),
        "token-3",
        "no failure speaks any more"
    );
}

#[tokio::test]
async fn a_failed_refresh_does_not_displace_a_valid_token() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Fails(ErrorKind::Network));
    clock.advance(Duration::from_secs(3500));
    for _ in 0..10 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.asked(), 2, "the second attempt waits");
}

#[tokio::test]
async fn behind_a_valid_token_failures_are_retried_after_1_s_doubling_to_30_s() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Lives(Duration::from_secs(100_000)));
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Fails(ErrorKind::InvalidResponse));
    clock.advance(Duration::from_secs(100_000 - 225));
    let mut asked = 1;
    for wait in [0, 1, 2, 4, 8, 16, 30, 30] {
        // Just before the wait is over nothing happens; a fifth after it, one attempt.
        clock.advance((SECOND * wait).saturating_sub(Duration::from_millis(1)));
        if wait > 0 {
            cache.token().await.unwrap();
            settle().await;
            assert_eq!(source.asked(), asked, "before {wait} s");
        }
        clock.advance((SECOND * wait).mul_f64(0.2) + Duration::from_millis(2));
        cache.token().await.unwrap();
        settle().await;
        asked += 1;
        assert_eq!(source.asked(), asked, "after {wait} s");
    }
    source.answer(HOUR);
    clock.advance(Duration::from_secs(36));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(
        cache.token().await.unwrap().secret(),
        format!("token-{}", asked + 1)
    );
}

#[tokio::test]
async fn without_a_valid_token_a_failure_speaks_for_a_second() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Fails(ErrorKind::InvalidResponse));
    let cache = source.cache();
    for _ in 0..20 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.to_string(), "failure 1");
    }
    assert_eq!(source.asked(), 1);
    source.answer(HOUR);
    clock.advance(Duration::from_millis(1201));
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn transient_failures_are_retried_after_seconds() {
    for kind in [
        ErrorKind::UnconfirmedRejection,
        ErrorKind::Server,
        ErrorKind::Network,
        ErrorKind::Timeout,
        ErrorKind::InvalidResponse,
        ErrorKind::ClockSkew,
    ] {
        let clock = ManualClock::new();
        let source = Source::new(&clock, Answer::Fails(kind));
        let cache = source.cache();
        cache.token().await.unwrap_err();
        clock.advance(SECOND * 2);
        cache.token().await.unwrap_err();
        assert_eq!(source.asked(), 2, "{kind:?} is asked again");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A source that rejects the credential, and its cache, which has heard that once.
async fn rejected(clock: &ManualClock) -> (Source, TokenCache) {
    let source = Source::new(clock, Answer::Fails(ErrorKind::Rejected));
    let cache = source.cache();
    cache.token().await.unwrap_err();
    (source, cache)
}

#[tokio::test]
async fn rejection_is_confirmed_after_1_minute_doubling_to_30() {
    for kind in [
        ErrorKind::Rejected,
        ErrorKind::InvalidScope,
        ErrorKind::InvalidCredential,
        ErrorKind::ReauthenticationRequired,
        ErrorKind::Expired,
    ] {
        let clock = ManualClock::new();
        let source = Source::new(&clock, Answer::Fails(kind));
        let cache = source.cache();
        cache.token().await.unwrap_err();
        for (requests, minutes) in (1..).zip([1, 2, 4, 8, 16, 30, 30]) {
            clock.advance(MINUTE * minutes - SECOND);
            for _ in 0..10 {
                let error = cache.token().await.unwrap_err();
                assert_eq!(error.kind(), kind);
                assert_eq!(error.to_string(), format!("failure {requests}"));
            }
            assert_eq!(source.asked(), requests, "before {minutes} min");
            clock.advance(SECOND);
            for _ in 0..10 {
                cache.token().await.unwrap_err();
            }
            assert_eq!(source.asked(), requests + 1, "after {minutes} min");
        }
    }
}

#[tokio::test]
async fn key_that_propagates_within_a_minute_works_then() {
    let clock = ManualClock::new();
    let (source, cache) = rejected(&clock).await;
    source.answer(HOUR);
    cache.token().await.unwrap_err();
    clock.advance(MINUTE);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn success_and_a_new_file_reset_the_rejection_schedule() {
    for by_file in [false, true] {
        let clock = ManualClock::new();
        let (source, cache) = rejected(&clock).await;
        for minutes in [1, 2, 4] {
            clock.advance(MINUTE * minutes);
            cache.token().await.unwrap_err();
        }
        assert_eq!(source.asked(), 4);
        if by_file {
            *source.0.changed.lock().unwrap() = true;
            cache.token().await.unwrap_err();
            *source.0.changed.lock().unwrap() = false;
        } else {
            source.answer(HOUR);
            clock.advance(MINUTE * 8);
            let token = cache.token().await.unwrap();
            source.answer(Answer::Fails(ErrorKind::Rejected));
            cache.invalidate(&token);
            cache.token().await.unwrap_err();
        }
        let asked = source.asked();
        clock.advance(MINUTE - SECOND);
        cache.token().await.unwrap_err();
        assert_eq!(source.asked(), asked);
        clock.advance(SECOND);
        cache.token().await.unwrap_err();
        assert_eq!(source.asked(), asked + 1);
    }
}

#[tokio::test]
async fn transient_failure_leaves_the_rejection_schedule_as_it_was() {
    let clock = ManualClock::new();
    let (source, cache) = rejected(&clock).await;
    clock.advance(MINUTE);
    source.answer(Answer::Fails(ErrorKind::Network));
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    clock.advance(Duration::from_millis(1201));
    source.answer(Answer::Fails(ErrorKind::Rejected));
    cache.token().await.unwrap_err();
    assert_eq!(source.asked(), 3);
    clock.advance(MINUTE * 2 - SECOND);
    cache.token().await.unwrap_err();
    assert_eq!(source.asked(), 3);
    clock.advance(SECOND);
    cache.token().await.unwrap_err();
    assert_eq!(source.asked(), 4);
}

#[tokio::test]
async fn either_clock_ends_a_rejection() {
    let changes: [fn(&ManualClock); 2] = [
        |clock| clock.sleep(MINUTE),
        |clock| {
            clock.set_back(MINUTE * 60);
            clock.advance(MINUTE);
        },
    ];
    for change in changes {
        let clock = ManualClock::new();
        let (source, cache) = rejected(&clock).await;
        source.answer(HOUR);
        change(&clock);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
}

#[tokio::test]
async fn callers_share_the_request_after_a_rejection() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, Answer::Fails(ErrorKind::Rejected));
    let cache = source.cache();
    source.let_go();
    cache.token().await.unwrap_err();
    clock.advance(MINUTE);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token().await })
        })
        .collect();
    settle().await;
    assert_eq!(source.asked(), 2);
    source.let_go();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "failure 2");
    }
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn rejected_refresh_leaves_the_valid_token_until_it_expires() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Fails(ErrorKind::Rejected));
    clock.advance(Duration::from_secs(3600) - REFRESH_WINDOW);
    // Attempts behind the valid token are at 0, 60 and 180 s.
    for second in 0..225 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        let attempts = 1 + usize::from(second >= 60) + usize::from(second >= 180);
        assert_eq!(source.asked(), 1 + attempts, "{second} s");
        clock.advance(SECOND);
    }
    for _ in 0..10 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
    assert_eq!(source.asked(), 4);
    source.answer(HOUR);
    clock.advance(MINUTE * 4);
    assert_eq!(cache.token().await.unwrap().secret(), "token-5");
}

#[tokio::test]
async fn changed_file_is_noticed_behind_a_valid_token() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Fails(ErrorKind::Rejected));
    clock.advance(Duration::from_secs(3600) - REFRESH_WINDOW);
    cache.token().await.unwrap();
    settle().await;
    source.answer(HOUR);
    *source.0.changed.lock().unwrap() = true;
    clock.advance(SECOND * 30);
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-3");
}

#[tokio::test]
async fn hundred_renewals_of_one_token_cost_one_refresh() {
    let clock = ManualClock::new();
    let source = Source::gated(&clock, HOUR);
    let cache = source.cache();
    source.let_go();
    let rejected = cache.token().await.unwrap();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (cache, rejected) = (cache.clone(), rejected.clone());
            tokio::spawn(async move { cache.renew(&rejected).await })
        })
        .collect();
    settle().await;
    source.let_go();
    for caller in callers {
        let renewed = caller.await.unwrap().unwrap().unwrap();
        assert_eq!(renewed.secret(), "token-2");
    }
    // A late one, after the next token is in use.
    let renewed = cache.renew(&rejected).await.unwrap().unwrap();
    assert_eq!(renewed.secret(), "token-2");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn where_every_token_is_rejected_renewals_back_off() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    let mut token = cache.token().await.unwrap();
    for (renewals, seconds) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 120, 120]) {
        token = cache.renew(&token).await.unwrap().unwrap();
        assert_eq!(source.asked(), 1 + renewals);
        clock.advance(SECOND * seconds - Duration::from_millis(1));
        for _ in 0..100 {
            assert!(cache.renew(&token).await.unwrap().is_none());
            assert!(cache.token().await.unwrap().secret_eq(&token));
        }
        assert_eq!(source.asked(), 1 + renewals, "before {seconds} s");
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn accepted_token_ends_the_backoff_of_renewals() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    let first = cache.token().await.unwrap();
    let second = cache.renew(&first).await.unwrap().unwrap();
    // Late news of a token that is gone say nothing about the current one.
    cache.accepted(&first);
    assert!(cache.renew(&second).await.unwrap().is_none());
    cache.accepted(&second);
    let third = cache.renew(&second).await.unwrap().unwrap();
    assert_eq!(third.secret(), "token-3");
    assert!(cache.renew(&third).await.unwrap().is_none());
    // A wait that was over long ago is not continued.
    clock.advance(MINUTE * 10);
    let fourth = cache.renew(&third).await.unwrap().unwrap();
    clock.advance(SECOND);
    assert!(cache.renew(&fourth).await.unwrap().is_some());
}

#[tokio::test]
async fn expired_token_is_refreshed_however_recent_the_last_renewal() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Lives(Duration::from_millis(100)));
    let cache = source.cache();
    let first = cache.token().await.unwrap();
    let second = cache.renew(&first).await.unwrap().unwrap();
    clock.advance(Duration::from_millis(100));
    let third = cache.renew(&second).await.unwrap().unwrap();
    assert_eq!(third.secret(), "token-3");
}

#[tokio::test]
async fn source_with_one_token_has_no_renewed_one() {
    let clock = ManualClock::new();
    let end = DateTime::<Utc>::from(clock.wall()) + Duration::from_secs(3000);
    let source = Source::new(&clock, Answer::Until(end));
    let cache = source.cache();
    let token = cache.token().await.unwrap();
    for _ in 0..100 {
        assert!(cache.renew(&token).await.unwrap().is_none());
        assert!(cache.token().await.unwrap().secret_eq(&token));
    }
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_rejected_credential_that_changed_is_tried_again() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Fails(ErrorKind::Rejected));
    let cache = source.cache();
    cache.token().await.unwrap_err();
    source.answer(HOUR);
    cache.token().await.unwrap_err();
    *source.0.changed.lock().unwrap() = true;
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn a_file_that_takes_long_to_look_at_holds_up_nobody_else_with_a_valid_token() {
    let source = Source::new(&ManualClock::new(), HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Fails(ErrorKind::Rejected));
    source.0.clock.advance(Duration::from_secs(3500));
    cache.token().await.unwrap();
    settle().await;
    source.0.clock.advance(Duration::from_secs(31));

    let (sender, served) = std::sync::mpsc::channel();
    let looking = source.0.changed.lock().unwrap();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, sender) = (cache.clone(), sender.clone());
            let handle = tokio::runtime::Handle::current();
            std::thread::spawn(move || {
                let _entered = handle.enter();
                sender.send(cache.cached().is_some()).unwrap();
            })
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(served.recv_timeout(SECOND * 10), Ok(true));
    }
    drop(looking);
    for caller in callers {
        caller.join().unwrap();
    }
}

#[tokio::test]
async fn a_refresh_after_a_long_look_at_a_file_is_one_and_not_taken_over_at_once() {
    for is_valid in [true, false] {
        let source = Source::gated(&ManualClock::new(), HOUR);
        let cache = source.cache();
        let mut asked = 1;
        if is_valid {
            source.let_go();
            cache.token().await.unwrap();
            source.0.clock.advance(Duration::from_secs(3400));
            cache.cached().unwrap();
            asked += 1;
        }
        source.answer(Answer::Fails(ErrorKind::Rejected));
        source.let_go();
        if !is_valid {
            cache.token().await.unwrap_err();
        }
        settle().await;
        source.0.clock.advance(Duration::from_secs(31));

        *source.0.changed.lock().unwrap() = true;
        *source.0.look.lock().unwrap() = TAKEOVER + SECOND;
        for _ in 0..3 {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token().await });
            settle().await;
        }
        assert_eq!(source.asked(), asked + 1, "{is_valid}");
    }
}

#[tokio::test]
async fn a_refresh_that_brings_the_same_token_is_a_success_and_the_next_waits_10_s() {
    let clock = ManualClock::new();
    let end = DateTime::<Utc>::from(clock.wall()) + Duration::from_secs(3600);
    let source = Source::new(&clock, Answer::Until(end));
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.advance(Duration::from_secs(3400));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(source.asked(), 2);
    clock.advance(Duration::from_millis(9_990));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(source.asked(), 2, "not yet");
    clock.advance(Duration::from_millis(20));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(source.asked(), 3);
}

#[tokio::test]
async fn the_same_token_is_known_though_its_end_is_counted_anew_each_time() {
    let clock = ManualClock::new();
    let end = DateTime::<Utc>::from(clock.wall()) + Duration::from_secs(3600);
    let source = Source::new(&clock, Answer::Until(end));
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.advance(Duration::from_secs(3400));
    for (jitter, asked) in [(900, 2), (-1100, 3), (1900, 4)] {
        source.answer(Answer::Until(end + TimeDelta::milliseconds(jitter)));
        cache.token().await.unwrap();
        settle().await;
        assert_eq!(source.asked(), asked);
        let kept = cache.token().await.unwrap();
        assert_eq!(kept.expires_at(), Some(end), "nothing is new");
        clock.advance(Duration::from_secs(11));
    }
    // A later end is news.
    let later = end + Duration::from_secs(300);
    source.answer(Answer::Until(later));
    cache.token().await.unwrap();
    settle().await;
    assert_eq!(cache.token().await.unwrap().expires_at(), Some(later));
}

#[tokio::test]
async fn complaints_about_a_token_that_is_all_the_source_has_cost_one_refresh_in_10_s() {
    let clock = ManualClock::new();
    let end = DateTime::<Utc>::from(clock.wall()) + Duration::from_secs(3000);
    let source = Source::new(&clock, Answer::Until(end));
    let cache = source.cache();
    let token = cache.token().await.unwrap();
    for round in 1..=3 {
        for _ in 0..100 {
            cache.invalidate(&token);
            assert!(cache.token().await.unwrap().secret_eq(&token));
            clock.advance(Duration::from_millis(90));
        }
        assert_eq!(source.asked(), 1 + round);
        clock.advance(Duration::from_secs(2));
    }
    // Another token in its place is dropped at the first complaint, as ever.
    source.answer(HOUR);
    for name in ["token-5", "token-6", "token-7"] {
        let current = cache.token().await.unwrap();
        cache.invalidate(&current);
        assert_eq!(cache.token().await.unwrap().secret(), name);
    }
}

#[tokio::test]
async fn a_token_that_is_over_by_one_clock_is_not_taken_a_second_time() {
    let clock = ManualClock::new();
    let end = DateTime::<Utc>::from(clock.wall()) + Duration::from_secs(3600);
    let source = Source::new(&clock, Answer::Until(end));
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.set_back(Duration::from_secs(86_400));
    clock.advance(HOUR_AND_MORE);
    for _ in 0..100 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        assert!(error.remedy().is_some());
    }
    assert_eq!(source.asked(), 2, "and its failure speaks for a second");
    source.answer(HOUR);
    clock.advance(SECOND * 2);
    assert_eq!(cache.token().await.unwrap().secret(), "token-3");
}

#[tokio::test]
async fn a_token_without_an_expiry_is_renewed_all_the_same() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Forever);
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.advance(Duration::from_secs(3400));
    assert_eq!(cache.token().await.unwrap().secret(), "token-1");
    settle().await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn a_token_that_arrives_expired_is_an_error() {
    let clock = ManualClock::new();
    let past = DateTime::<Utc>::from(clock.wall()) - Duration::from_secs(1);
    for at in [past, DateTime::<Utc>::MIN_UTC] {
        let source = Source::new(&clock, Answer::Until(at));
        let error = source.cache().token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
    // The other end of time is no error and no panic.
    let source = Source::new(&clock, Answer::Until(DateTime::<Utc>::MAX_UTC));
    source.cache().token().await.unwrap();
}

#[tokio::test]
async fn a_hundred_complaints_about_one_token_cost_one_refresh() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    let old = cache.token().await.unwrap();
    for _ in 0..100 {
        cache.invalidate(&old);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_laptop_that_slept_sends_no_dead_token() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.sleep(Duration::from_secs(3601));
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn a_clock_set_back_keeps_no_dead_token() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, Answer::Same(Duration::from_secs(3600)));
    let cache = source.cache();
    cache.token().await.unwrap();
    clock.set_back(Duration::from_secs(86_400));
    clock.advance(Duration::from_secs(3601));
    cache.token().await.unwrap();
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_look_at_both_clocks_outlives_neither_a_sleep_nor_a_clock_that_was_set() {
    type Change = fn(&ManualClock);
    let changes: [Change; 4] = [
        |clock| clock.sleep(HOUR_AND_MORE),
        |clock| clock.advance(HOUR_AND_MORE),
        |clock| {
            clock.advance(HOUR_AND_MORE);
            clock.set_back(HOUR_AND_MORE + SECOND);
        },
        |clock| {
            clock.set_back(Duration::from_secs(86_400));
            clock.advance(HOUR_AND_MORE);
        },
    ];
    for change in changes {
        let clock = ManualClock::new();
        let source = Source::new(&clock, HOUR);
        let cache = source.cache();
        for _ in 0..3 {
            assert_eq!(cache.token().await.unwrap().secret(), "token-1");
            clock.advance(Duration::from_millis(100));
        }
        change(&clock);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
}

#[tokio::test]
async fn a_look_at_both_clocks_does_not_put_off_the_renewal() {
    let clock = ManualClock::new();
    let source = Source::new(&clock, HOUR);
    let cache = source.cache();
    let window = Duration::from_secs(3600) - REFRESH_WINDOW;
    cache.token().await.unwrap();
    clock.advance(window - Duration::from_millis(500));
    cache.token().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(source.asked(), 1);
    clock.advance(Duration::from_millis(500));
    cache.token().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(
        source.asked(),
        2,
        "though both clocks were looked at half a second ago"
    );
}

#[test]
fn without_a_runtime_it_is_an_error_and_not_a_panic() {
    let cache = Source::new(&ManualClock::new(), HOUR).cache();
    match polled_once(&cache) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Runtime),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_source_that_panics_is_an_error_for_everybody() {
    let source = Source::new(&ManualClock::new(), Answer::Panics);
    let cache = source.cache();
    for _ in 0..100 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime);
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    assert_eq!(source.asked(), 1, "its failure speaks for a second too");
    source.answer(HOUR);
    source.0.clock.advance(SECOND * 2);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn a_source_that_panics_takes_no_valid_token_away() {
    let source = Source::new(&ManualClock::new(), HOUR);
    let cache = source.cache();
    cache.token().await.unwrap();
    source.answer(Answer::Panics);
    source.0.clock.advance(Duration::from_secs(3500));
    for _ in 0..10 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_takes_minutes_is_not_cut_off() {
    let clock = ManualClock::new();
    let its_clock = clock.clone();
    let source = crate::source_fn(move || {
        let clock = its_clock.clone();
        async move {
            // A program that uses its 120 s, and what comes after it.
            for _ in 0..245 {
                tokio::time::sleep(SECOND).await;
                clock.advance(SECOND);
            }
            Ok(named(1))
        }
    });
    let cache = TokenCache::with_clock(source, clock.clock());
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token().await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().secret(), "token-1");
    }
}

#[tokio::test]
async fn a_source_or_closure_whose_answer_was_garbled_once_is_asked_again() {
    #[derive(Debug)]
    struct Vault(Mutex<Vec<&'static str>>);

    impl TokenSource for Vault {
        fn fetch_token(&self) -> TokenFuture<'_> {
            Box::pin(async { AccessToken::new(self.0.lock().unwrap().pop().unwrap()) })
        }
    }

    let answers = || Mutex::new(vec!["good", "garbled\n", ""]);
    let of_closure = answers();
    let closure = crate::source_fn(move || {
        let answer = of_closure.lock().unwrap().pop().unwrap();
        async move { AccessToken::new(answer) }
    });
    let sources: [Arc<dyn TokenSource>; 2] = [Arc::new(Vault(answers())), Arc::new(closure)];
    for source in sources {
        let clock = ManualClock::new();
        let cache = TokenCache::with_clock(source, clock.clock());
        for _ in 0..2 {
            let error = cache.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidResponse);
            clock.advance(SECOND * 3);
        }
        assert_eq!(cache.token().await.unwrap().secret(), "good");
    }
}

#[tokio::test]
async fn what_a_closure_says_of_its_credential_arrives_as_it_was_said() {
    let source = crate::source_fn(|| async {
        Err(Error::new(ErrorKind::InvalidCredential, "no such role")
            .with_principal("robot@example.com")
            .with_remedy(crate::Remedy::new("Make the role.")))
    });
    let error = TokenCache::new(source).token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCredential);
    assert_eq!(error.principal(), Some("robot@example.com"));
    assert_eq!(error.remedy().unwrap().text, "Make the role.");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_up() {
    let source = Source::gated(&ManualClock::new(), HOUR);
    let error = source.cache().token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let cache = Source::new(&ManualClock::new(), HOUR).cache();
    cache.token().await.unwrap();
    assert!(!format!("{cache:?}").contains("token-1"));
}
