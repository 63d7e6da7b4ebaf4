//! The cache under a model checker: the same source files, with a scheduling decision at every
//! access to what tasks share. Each rule is tried under thousands of schedules.
//!
//! A schedule that breaks a rule is printed, and `shuttle::replay` runs it again.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::duplicate_mod,
    reason = "a second copy, of which the tests use a part"
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

/// Schedules for each rule: a part drawn at random, a part made to find rare orders (PCT).
const SCHEDULES: usize = 3000;
/// How many changes of order a schedule of the second sort needs at most.
const DEPTH: usize = 3;
const LIFE: Duration = Duration::from_secs(3600);
/// Inside of the refresh window, and nearer to the end than a takeover takes.
const STALE: Duration = Duration::from_secs(3540);

/// Explores a scenario.
fn explore(scenario: fn()) {
    let run = move || {
        sync::new_runtime();
        scenario();
        sync::new_runtime();
    };
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, DEPTH);
}

/// A source that takes several steps for a token, and knows how many ask it at once.
#[derive(Clone)]
struct Source(Arc<Script>);

struct Script {
    clock: ManualClock,
    asked: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    answer: Mutex<Answer>,
    /// Whether the credential's file changed since it was read last.
    changed: AtomicBool,
    /// Holds answers back while it is there.
    gate: Mutex<Option<Arc<Notify>>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Token,
    /// The token with this name, whatever was said of it.
    Same(&'static str),
    Fails(ErrorKind),
}

impl Source {
    fn new() -> Self {
        Self(Arc::new(Script {
            clock: ManualClock::new(),
            asked: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            answer: Mutex::new(Answer::Token),
            changed: AtomicBool::new(false),
            gate: Mutex::new(None),
        }))
    }

    fn cache(&self) -> TokenCache {
        TokenCache::with_clock(self.clone(), self.0.clock.clock())
    }

    /// A cache that holds the first token.
    fn full_cache(&self) -> (TokenCache, AccessToken) {
        let cache = self.cache();
        let first = block_on(cache.token()).unwrap();
        assert_eq!(self.asked(), 1);
        (cache, first)
    }

    fn answer(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }

    fn is_never_asked_twice_at_once(&self) {
        assert!(self.0.most_under_way.load(SeqCst) <= 1);
    }
}

/// Counts down however minting ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl TokenSource for Source {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let script = &self.0;
            let number = script.asked.fetch_add(1, SeqCst) + 1;
            script.changed.store(false, SeqCst);
            let now = script.under_way.fetch_add(1, SeqCst) + 1;
            let _under_way = UnderWay(&script.under_way);
            script.most_under_way.fetch_max(now, SeqCst);
            yield_now().await;
            let gate = script.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            yield_now().await;
            let answer = *script.answer.lock().unwrap();
            let name = match answer {
                Answer::Token => format!("token-{number}"),
                Answer::Same(name) => name.into(),
                Answer::Fails(kind) => return Err(Error::new(kind, format!("failure {number}"))),
            };
            let end = DateTime::<Utc>::from(script.clock.wall()) + LIFE;
            Ok(AccessToken::new(&name)?.with_expiry(end))
        })
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.0.changed.load(SeqCst)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// A caller in a task of its own.
fn caller(cache: &TokenCache) -> JoinHandle<Result<AccessToken, Error>> {
    let cache = cache.clone();
    spawn(async move { cache.token().await })
}

fn outcome<T: 'static>(task: JoinHandle<T>) -> T {
    block_on(task).unwrap()
}

/// Polls a future a few times, and drops it wherever it is then.
async fn cancelled_somewhere<F: Future>(future: F) -> Option<F::Output> {
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
                // Polled again without anything having happened, to come to an end.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn whoever_asks_of_an_empty_cache_waits_for_one_request() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        let callers = [caller(&cache), caller(&cache), caller(&cache)];
        for task in callers {
            assert_eq!(outcome(task).unwrap().secret(), "token-1");
        }
        assert_eq!(source.asked(), 1);
    });
}

#[test]
fn a_refresh_behind_a_valid_token_makes_nobody_wait_and_is_one() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        let gate = Arc::new(Notify::new());
        *source.0.gate.lock().unwrap() = Some(gate.clone());
        source.0.clock.advance(STALE);
        // The refresh cannot end: who waited for it would wait for ever, which is an error here.
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        *source.0.gate.lock().unwrap() = None;
        gate.notify_one();
        while source.asked() < 2 || source.0.under_way.load(SeqCst) > 0 {
            block_on(yield_now());
        }
        source.0.clock.advance(LIFE - STALE);
        let next = caller(&cache);
        assert!(!outcome(next).unwrap().secret_eq(&first));
        assert_eq!(
            source.asked(),
            2,
            "one refresh, and none for the expired token"
        );
        source.is_never_asked_twice_at_once();
    });
}

#[test]
fn who_saw_the_old_token_and_comes_late_starts_no_second_refresh() {
    explore(|| {
        let source = Source::new();
        let (cache, _) = source.full_cache();
        source.0.clock.advance(STALE);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            outcome(task).unwrap();
        }
        while source.asked() < 2 || source.0.under_way.load(SeqCst) > 0 {
            block_on(yield_now());
        }
        outcome(caller(&cache)).unwrap();
        assert_eq!(source.asked(), 2);
    });
}

#[test]
fn a_starter_that_is_cancelled_anywhere_leaves_the_others_served() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        let impatient = {
            let cache = cache.clone();
            spawn(async move { cancelled_somewhere(cache.token()).await })
        };
        let others = [caller(&cache), caller(&cache)];
        for task in others {
            assert_eq!(outcome(task).unwrap().secret(), "token-1");
        }
        if let Some(result) = outcome(impatient) {
            assert_eq!(result.unwrap().secret(), "token-1");
        }
        assert_eq!(source.asked(), 1);
    });
}

#[test]
fn a_runtime_that_goes_away_at_any_moment_leaves_room_for_another_refresh() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        let callers = [caller(&cache), caller(&cache)];
        let end = shuttle::thread::spawn(sync::drop_runtime);
        for task in callers {
            outcome(task).unwrap();
        }
        end.join().unwrap();
        outcome(caller(&cache)).unwrap();
        assert!(
            source.asked() <= 2,
            "once, and once more for the runtime's end"
        );
        source.is_never_asked_twice_at_once();
    });
}

#[test]
fn a_runtime_that_goes_away_behind_a_stale_token_leaves_room_before_that_expires() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        source.0.clock.advance(STALE);
        let stale = caller(&cache);
        let end = shuttle::thread::spawn(sync::drop_runtime);
        outcome(stale).unwrap();
        end.join().unwrap();
        // Far less than what is left of its life.
        for _ in 0..500 {
            if !block_on(cache.token()).unwrap().secret_eq(&first) {
                source.is_never_asked_twice_at_once();
                return;
            }
            source.0.clock.advance(Duration::from_millis(100));
            block_on(yield_now());
        }
        panic!("nobody refreshed it any more");
    });
}

#[test]
fn a_runtime_that_has_shut_down_or_is_missing_hangs_nobody_and_the_next_one_serves() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        let callers = [caller(&cache), caller(&cache)];
        let changes = shuttle::thread::spawn(|| {
            for runtime in [Runtime::ShutDown, Runtime::Missing, Runtime::Running] {
                sync::become_runtime(runtime);
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
        assert_eq!(source.asked(), 1);
    });
}

#[test]
fn behind_a_stale_token_a_runtime_that_has_shut_down_takes_nothing_from_anybody() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        source.0.clock.advance(STALE);
        sync::become_runtime(Runtime::ShutDown);
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        assert_eq!(source.asked(), 1);
        sync::become_runtime(Runtime::Running);
        source.0.clock.advance(Duration::from_secs(2));
        outcome(caller(&cache)).unwrap();
        while source.asked() < 2 || source.0.under_way.load(SeqCst) > 0 {
            block_on(yield_now());
        }
        source.is_never_asked_twice_at_once();
    });
}

#[test]
fn any_number_of_complaints_about_the_only_token_there_is_cost_one_refresh() {
    explore(|| {
        let source = Source::new();
        source.answer(Answer::Same("the-only-one"));
        let (cache, first) = source.full_cache();
        let complain = || {
            let (cache, first) = (cache.clone(), first.clone());
            spawn(async move {
                cache.invalidate(&first);
                cache.token().await
            })
        };
        for task in [complain(), complain(), complain()] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        assert_eq!(source.asked(), 2);
        source.0.clock.advance(Duration::from_secs(11));
        assert!(outcome(complain()).unwrap().secret_eq(&first));
        assert_eq!(source.asked(), 3);
    });
}

#[test]
fn a_rejection_whose_file_changed_is_asked_for_once_more_by_all_together() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        block_on(cache.token()).unwrap_err();
        source.0.changed.store(true, SeqCst);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.asked(), 2);
    });
}

#[test]
fn behind_a_stale_token_a_file_that_changed_once_is_asked_for_once_more() {
    explore(|| {
        let source = Source::new();
        let (cache, _) = source.full_cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        source.0.clock.advance(LIFE - Duration::from_secs(200));
        outcome(caller(&cache)).unwrap();
        while source.asked() < 2 || source.0.under_way.load(SeqCst) > 0 {
            block_on(yield_now());
        }
        source.0.clock.advance(Duration::from_secs(31));
        source.0.changed.store(true, SeqCst);
        let time = {
            let clock = source.0.clock.clone();
            spawn(async move { clock.advance(Duration::from_secs(31)) })
        };
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            outcome(task).unwrap();
        }
        outcome(time);
        // Whatever they started comes to its end.
        for _ in 0..50 {
            block_on(yield_now());
        }
        assert!(source.asked() <= 3);
    });
}

#[test]
fn a_clock_that_is_set_or_a_sleep_while_people_ask_keeps_no_dead_token() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        let sleeps = thread_rng().gen_range(0..2) == 0;
        let time = {
            let clock = source.0.clock.clone();
            spawn(async move {
                if sleeps {
                    clock.sleep(LIFE);
                } else {
                    clock.set_back(Duration::from_secs(86_400));
                    yield_now().await;
                    clock.advance(LIFE);
                }
            })
        };
        let asking = [caller(&cache), caller(&cache)];
        outcome(time);
        assert!(!outcome(caller(&cache)).unwrap().secret_eq(&first));
        for task in asking {
            outcome(task).unwrap();
        }
    });
}

#[test]
fn any_number_of_complaints_about_a_token_cost_one_refresh_and_it_is_not_seen_again() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        let complain = || {
            let (cache, first) = (cache.clone(), first.clone());
            spawn(async move {
                cache.invalidate(&first);
                cache.token().await
            })
        };
        for task in [complain(), complain(), complain()] {
            assert_eq!(outcome(task).unwrap().secret(), "token-2");
        }
        assert_eq!(source.asked(), 2);
    });
}

#[test]
fn a_complaint_during_a_refresh_drops_the_old_token_and_never_the_new_one() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        source.0.clock.advance(STALE);
        let others = [caller(&cache), caller(&cache)];
        let complaint = {
            let (cache, first) = (cache.clone(), first.clone());
            spawn(async move {
                cache.invalidate(&first);
                cache.token().await
            })
        };
        assert!(!outcome(complaint).unwrap().secret_eq(&first));
        for task in others {
            outcome(task).unwrap();
        }
        assert_eq!(block_on(cache.token()).unwrap().secret(), "token-2");
        assert_eq!(source.asked(), 2);
    });
}

#[test]
fn a_failure_is_shared_by_all_who_waited_and_forgotten_when_its_time_is_over() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        source.answer(Answer::Fails(ErrorKind::Server));
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 1");
        }
        assert_eq!(source.asked(), 1);
        source.answer(Answer::Token);
        source.0.clock.advance(Duration::from_secs(2));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-2");
        }
    });
}

#[test]
fn a_rejection_is_asked_for_once_however_many_want_to_know() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        let early = [caller(&cache), caller(&cache)];
        source.0.clock.advance(Duration::from_secs(59));
        for task in early.into_iter().chain([caller(&cache)]) {
            assert_eq!(outcome(task).unwrap_err().kind(), ErrorKind::Rejected);
        }
        assert_eq!(source.asked(), 1);
    });
}

#[test]
fn rejection_that_is_due_costs_all_callers_one_request() {
    explore(|| {
        let source = Source::new();
        let cache = source.cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        block_on(cache.token()).unwrap_err();
        source.0.clock.advance(Duration::from_secs(60));
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.asked(), 2);
        // The next one is due after 2 minutes.
        source.answer(Answer::Token);
        source.0.clock.advance(Duration::from_secs(119));
        outcome(caller(&cache)).unwrap_err();
        source.0.clock.advance(Duration::from_secs(1));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-3");
        }
    });
}

#[test]
fn rejected_refresh_leaves_the_valid_token_until_it_expires() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        source.0.clock.advance(LIFE - Duration::from_secs(50));
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        while source.asked() < 2 || source.0.under_way.load(SeqCst) > 0 {
            block_on(yield_now());
        }
        source.0.clock.advance(Duration::from_secs(40));
        for task in [caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
        source.0.clock.advance(Duration::from_secs(10));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 2");
        }
        assert_eq!(source.asked(), 2);
        source.0.clock.advance(Duration::from_secs(10));
        for task in [caller(&cache), caller(&cache)] {
            assert_eq!(outcome(task).unwrap_err().to_string(), "failure 3");
        }
        assert_eq!(source.asked(), 3);
    });
}

#[test]
fn renewals_of_a_rejected_token_cost_one_refresh_and_back_off() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
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
        assert_eq!(source.asked(), 2);
        source.0.clock.advance(Duration::from_secs(1));
        for task in [renew(&second), renew(&second), renew(&second)] {
            assert_eq!(outcome(task).unwrap().secret(), "token-3");
        }
        assert_eq!(source.asked(), 3);
    });
}

#[test]
fn a_refresh_that_fails_takes_no_valid_token_away() {
    explore(|| {
        let source = Source::new();
        let (cache, first) = source.full_cache();
        source.answer(Answer::Fails(ErrorKind::Rejected));
        source.0.clock.advance(STALE);
        for task in [caller(&cache), caller(&cache), caller(&cache)] {
            assert!(outcome(task).unwrap().secret_eq(&first));
        }
    });
}

#[test]
fn a_token_that_expires_while_people_ask_is_not_handed_out_after_its_end() {
    explore(|| {
        let source = Source::new();
        let (cache, _) = source.full_cache();
        let time = {
            let clock = source.0.clock.clone();
            spawn(async move {
                for step in [STALE, LIFE - STALE] {
                    clock.advance(step);
                    yield_now().await;
                }
            })
        };
        let ask = || {
            let (cache, clock) = (cache.clone(), source.0.clock.clone());
            spawn(async move {
                let asked_at = DateTime::<Utc>::from(clock.wall());
                let token = cache.token().await.unwrap();
                assert!(token.expires_at().unwrap() > asked_at);
            })
        };
        for task in [ask(), ask(), ask()] {
            outcome(task);
        }
        outcome(time);
        // An hour in one step may pass while a refresh is under way, which then is taken over.
        assert!(source.0.most_under_way.load(SeqCst) <= 2);
    });
}
