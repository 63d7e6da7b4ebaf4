//! Tests of the limits: single rules, and a simulation of processes that share a server.

use ee_test_support::fleet::{self, LATENCY, Outcome, Quota, Use};
use tokio::time::{sleep, timeout};

use super::*;

const FOREVER: Duration = Duration::MAX;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Acquires permits until one is not available.
fn all_permits(admission: &Arc<Admission>) -> Vec<Permit> {
    std::iter::from_fn(|| admission.try_acquire(Instant::now())).collect()
}

/// A client whose places are all open, after a success.
async fn opened(places: usize) -> Arc<Admission> {
    let admission = Admission::with_seed(Some(places), None, 1);
    let permit = admission.acquire(FOREVER).await.unwrap();
    sleep(seconds(1.0)).await;
    permit.succeeded(Instant::now());
    admission
}

#[tokio::test(start_paused = true)]
async fn places_open_within_a_fraction_of_a_second() {
    let admission = Admission::new(Some(40), None);
    let mut permits = all_permits(&admission);
    assert_eq!(permits.len(), 1);
    sleep(seconds(0.031)).await;
    permits.extend(all_permits(&admission));
    assert_eq!(permits.len(), 2);
    sleep(seconds(0.16)).await;
    permits.extend(all_permits(&admission));
    assert_eq!(permits.len(), 40);
    for (max, places) in [(Some(0), 1), (Some(1), 1), (Some(3), 3)] {
        let admission = Admission::new(max, None);
        let _first = admission.try_acquire(Instant::now());
        sleep(seconds(1.0)).await;
        assert_eq!(all_permits(&admission).len() + 1, places);
        assert_eq!(admission.control().limit(), Some(places));
    }
    let unlimited = Admission::new(None, None);
    let permits: Vec<_> = (0..1000)
        .map(|_| unlimited.try_acquire(Instant::now()))
        .collect();
    assert!(permits.iter().all(Option::is_some) && unlimited.control().limit().is_none());
}

#[tokio::test(start_paused = true)]
async fn rejected_request_gives_up_its_place_and_others_keep_theirs() {
    let admission = opened(8).await;
    let mut permits = all_permits(&admission);
    assert_eq!(permits.len(), 8);
    let now = Instant::now();
    assert_eq!(permits[0].rejected(Duration::ZERO, now), Some(6));
    // Of those that were in flight together, only the first is reported.
    assert_eq!(permits[1].rejected(Duration::ZERO, now), None);
    assert_eq!(admission.control().limit(), Some(5));
    drop(permits);
    assert_eq!(all_permits(&admission).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn places_return_when_the_rejections_end() {
    let admission = opened(8).await;
    let mut permits = all_permits(&admission);
    for permit in &mut permits {
        permit.rejected(Duration::ZERO, Instant::now());
    }
    drop(permits);
    let started = Instant::now();
    while admission.control().is_reduced() {
        let permit = admission.acquire(FOREVER).await.unwrap();
        tokio::spawn(async move {
            sleep(seconds(0.1)).await;
            permit.succeeded(Instant::now());
        });
        assert!(started.elapsed() < seconds(60.0));
    }
}

#[tokio::test(start_paused = true)]
async fn call_keeps_its_place_during_its_backoff() {
    let admission = opened(1).await;
    let mut failed = admission.try_acquire(Instant::now()).unwrap();
    failed.failed(Instant::now());
    assert!(admission.try_acquire(Instant::now()).is_none());
    failed.renew(FOREVER).await.unwrap();
    drop(failed);
    assert!(admission.try_acquire(Instant::now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_and_cancelled_ones_skipped() {
    let admission = opened(1).await;
    let first = admission.acquire(FOREVER).await.unwrap();
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for n in 0..5 {
        let (admission, done) = (admission.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = admission.acquire(FOREVER).await;
            done.send(n).unwrap();
        }));
        tokio::task::yield_now().await;
    }
    tasks[1].abort();
    tasks[3].abort();
    drop((first, done));
    let mut served = Vec::new();
    while let Some(n) = order.recv().await {
        served.push(n);
    }
    assert_eq!(served, [0, 2, 4]);
    assert_eq!(all_permits(&admission).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn restricted_mode_lowers_the_limit_and_its_end_restores_it() {
    let admission = opened(40).await;
    assert_eq!(admission.set_restricted(true), Some(8));
    assert_eq!(admission.set_restricted(true), None);
    assert_eq!(all_permits(&admission).len(), 8);
    assert_eq!(admission.set_restricted(false), None);
    let mut permits = Vec::new();
    while permits.len() < 40 {
        permits.push(admission.acquire(FOREVER).await.unwrap());
    }
    assert_eq!(admission.control().limit(), Some(40));
}

#[tokio::test(start_paused = true)]
async fn starts_are_spaced_after_a_burst_of_a_tenth_of_a_second() {
    let admission = Admission::new(None, Some(seconds(0.01)));
    let started = Instant::now();
    for _ in 0..100 {
        // Cancelled at once.
        let _ = timeout(Duration::ZERO, admission.acquire(FOREVER)).await;
    }
    for _ in 0..100 {
        admission.acquire(FOREVER).await.unwrap();
    }
    let elapsed = started.elapsed().as_secs_f64();
    assert!((0.99..1.03).contains(&elapsed), "{elapsed}");
    sleep(seconds(60.0)).await;
    assert_eq!(all_permits(&admission).len(), 11);
}

#[tokio::test(start_paused = true)]
async fn calls_are_held_in_an_outage_within_their_patience() {
    let admission = opened(4).await;
    let fail = async || {
        let mut permit = admission.acquire(FOREVER).await.unwrap();
        permit.failed(Instant::now());
    };
    let mut failures = 0;
    while admission.control().outage().is_none() {
        fail().await;
        failures += 1;
    }
    assert_eq!(failures, 5);
    let started = Instant::now();
    for _ in 0..10 {
        fail().await;
    }
    let elapsed = started.elapsed().as_secs_f64();
    assert!((6.0..18.0).contains(&elapsed), "{elapsed}");
    // The next probe is not due, and other calls have the places.
    let holders: Vec<_> = [(); 4].map(|()| admission.clone()).into();
    let mut held = Vec::new();
    for holder in &holders {
        let mut permit = holder.acquire(FOREVER).await.unwrap();
        permit.failed(Instant::now());
        held.push(permit);
    }
    let waiting = Instant::now();
    assert!(admission.acquire(Duration::ZERO).await.is_err());
    let waited = waiting.elapsed().as_secs_f64();
    assert!((5.0..5.1).contains(&waited), "{waited}");
    // A probe that succeeds opens the places again.
    held[0].renew(FOREVER).await.unwrap();
    held[0].succeeded(Instant::now());
    assert!(admission.control().outage().is_none());
}

#[tokio::test(start_paused = true)]
async fn client_that_has_never_worked_holds_no_call() {
    let admission = Admission::new(Some(40), None);
    for _ in 0..100 {
        let mut permit = admission.acquire(FOREVER).await.unwrap();
        assert!(!permit.failed(Instant::now()));
    }
    assert!(admission.control().outage().is_none() && !admission.control().blames_server());
}

/// A server with a quota, in memory.
struct Server {
    quota: Quota,
    used: Mutex<Use>,
}

impl Server {
    async fn respond(&self, started: Instant) -> u16 {
        sleep(LATENCY).await;
        let admitted = self
            .used
            .lock()
            .unwrap()
            .admit(&self.quota, started.elapsed());
        if let Ok(call) = admitted {
            sleep(call).await;
            self.used.lock().unwrap().in_flight -= 1;
        }
        sleep(LATENCY).await;
        admitted.err().unwrap_or(200)
    }
}

/// Runs `tasks` tasks of each client, each of which makes one call after the other.
async fn simulate(clients: usize, tasks: usize, items: usize, until: f64, quota: Quota) -> Outcome {
    let started = Instant::now();
    let used = Mutex::default();
    let server = Arc::new(Server { quota, used });
    let admissions = (0..clients).map(|n| Admission::with_seed(Some(40), None, n as u64));
    let simulated = server.clone();
    let call = move |admission: Arc<Admission>| {
        let server = simulated.clone();
        async move { call(&admission, &server, started).await }
    };
    let outcome = fleet::run(admissions, tasks, items, seconds(until), call).await;
    let used = server.used.lock().unwrap();
    Outcome {
        rejections: used.rejections,
        failures: used.failures,
        ..outcome
    }
}

/// Makes a call like `Call::run`. Returns whether it succeeded.
async fn call(admission: &Arc<Admission>, server: &Server, started: Instant) -> bool {
    let mut permit = admission.acquire(FOREVER).await.unwrap();
    let mut retries = 0;
    loop {
        let status = server.respond(started).await;
        let now = Instant::now();
        match status {
            200 => {
                permit.succeeded(now);
                return true;
            }
            429 => {
                permit.rejected(Duration::ZERO, now);
            }
            _ => {
                permit.failed(now);
                retries += u32::from(!admission.control().blames_server());
                if retries > 5 {
                    return false;
                }
            }
        }
        let bound = f64::from(1 << retries);
        let jitter = server.used.lock().unwrap().random >> 40;
        sleep(seconds(bound * jitter as f64 / (1 << 24) as f64)).await;
        permit.renew(FOREVER).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn processes_share_a_quota_fairly_and_with_few_rejections() {
    // The quota: requests at once, or per second. The duration of a call and the number of calls
    // per second that are possible.
    let at_once = |places| (Some(places), None, 0.4, places as f64 / 0.41);
    let per_second = (None, Some((100.0, 100.0)), 0.05, 100.0);
    let unlimited = (None, None, 0.4, 40.0 / 0.41);
    // The goals: goodput, rejections per success, fairness, 99th percentile divided by the median.
    for (name, clients, quota, end, goals) in [
        (
            "40 at once",
            20,
            at_once(40),
            300.0,
            [0.955, 0.05, 0.95, 3.0],
        ),
        ("10 at once", 20, at_once(10), 300.0, [0.95, 0.1, 0.9, 4.0]),
        (
            "100 per second",
            20,
            per_second,
            300.0,
            [0.99, 0.08, 0.95, 4.0],
        ),
        (
            "40 at once, alone",
            1,
            at_once(40),
            60.0,
            [0.98, 0.0, 1.0, 1.5],
        ),
        (
            "20 at once, alone",
            1,
            at_once(20),
            60.0,
            [0.84, 0.02, 1.0, 1.5],
        ),
        ("no quota, alone", 1, unlimited, 60.0, [0.98, 0.0, 1.0, 1.5]),
    ] {
        let (places, rate, call, capacity) = quota;
        let quota = Quota {
            places,
            rate,
            call: seconds(call),
            outage: None,
        };
        let outcome = simulate(clients, 40, usize::MAX, end, quota).await;
        let [goodput, rejections, fairness, spread] = [
            outcome.total() as f64 / end / capacity,
            outcome.rejections_per_success(),
            outcome.fairness(),
            outcome.spread(),
        ];
        let seen = format!(
            "{name}: goodput {goodput:.3}, 429s per success {rejections:.3}, fairness {fairness:.3}, p99/p50 {spread:.2}"
        );
        println!("{seen}");
        assert!(goodput >= goals[0], "{seen}");
        assert!(rejections <= goals[1], "{seen}");
        assert!(fairness >= goals[2] - 1e-9, "{seen}");
        assert!(spread <= goals[3], "{seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_survive_an_outage_without_many_failing_requests() {
    const BATCH: usize = 6000;
    for (name, clients, outage, items, places, failures) in [
        ("a batch", 1, (5.0, 15.0), BATCH, None, 70),
        (
            "20 processes that share 40 places",
            20,
            (10.0, 40.0),
            usize::MAX,
            Some(40),
            1000,
        ),
        (
            "20 processes without a quota",
            20,
            (10.0, 40.0),
            usize::MAX,
            None,
            1085,
        ),
    ] {
        let (from, to) = outage;
        let quota = Quota {
            places,
            rate: None,
            call: seconds(0.4),
            outage: Some((seconds(from), seconds(to))),
        };
        let outcome = simulate(clients, 40, items, 100.0, quota).await;
        let recovered = outcome.rate(seconds(to + 2.0), seconds(to + 4.0))
            / outcome.rate(seconds(from / 2.0), seconds(from));
        let seen = format!(
            "{name}: {} successes, {} lost, {} failing requests, {recovered:.3} of the goodput after 2 s",
            outcome.total(),
            outcome.lost,
            outcome.failures
        );
        println!("{seen}");
        assert_eq!(outcome.lost, 0, "{seen}");
        assert!(outcome.failures <= failures, "{seen}");
        assert!(recovered >= 0.9, "{seen}");
        assert!(items != BATCH || outcome.total() == BATCH, "{seen}");
    }
}
