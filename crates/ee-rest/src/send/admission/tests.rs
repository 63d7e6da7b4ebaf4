//! Tests of the limits: single rules, and a simulation of processes that share a server.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

const FOREVER: Duration = Duration::MAX;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A server with quotas, in memory.
#[derive(Default)]
struct Server {
    /// The number of requests that it accepts at once.
    concurrent: Option<usize>,
    /// The rate and the burst of requests that it accepts.
    rate: Option<(f64, f64)>,
    /// The duration of a call. The real one differs by up to a fifth.
    call: Duration,
    /// The time between the begin and the end of its outage.
    outage: Option<(Duration, Duration)>,
    state: Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    in_flight: usize,
    tokens: f64,
    refilled: Duration,
    random: u64,
}

const LATENCY: Duration = Duration::from_millis(5);

impl Server {
    async fn respond(&self, started: Instant) -> u16 {
        sleep(LATENCY).await;
        let (status, call) = self.admit(started.elapsed());
        if status == 200 {
            sleep(call).await;
            self.state.lock().unwrap().in_flight -= 1;
        }
        sleep(LATENCY).await;
        status
    }

    fn admit(&self, now: Duration) -> (u16, Duration) {
        let mut state = self.state.lock().unwrap();
        state.random = state
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let jitter = (state.random >> 40) as f64 / (1 << 24) as f64 * 0.4 + 0.8;
        if self
            .outage
            .is_some_and(|(from, to)| (from..to).contains(&now))
        {
            return (503, Duration::ZERO);
        }
        if self.concurrent.is_some_and(|max| state.in_flight >= max) {
            return (429, Duration::ZERO);
        }
        if let Some((rate, burst)) = self.rate {
            let refill = (now - state.refilled).as_secs_f64() * rate;
            state.tokens = (state.tokens + refill).min(burst);
            state.refilled = now;
            if state.tokens < 1.0 {
                return (429, Duration::ZERO);
            }
            state.tokens -= 1.0;
        }
        state.in_flight += 1;
        (200, self.call.mul_f64(jitter))
    }
}

/// What a simulation counts.
#[derive(Default)]
struct Counts {
    /// The times of the successes of each client, and how long each call took.
    successes: Vec<Vec<(Duration, Duration)>>,
    rejections: usize,
    failures: usize,
    lost: usize,
}

impl Counts {
    fn total(&self) -> usize {
        self.successes.iter().map(Vec::len).sum()
    }

    /// Returns the successes per second from `from` to `to`.
    fn rate(&self, from: Duration, to: Duration) -> f64 {
        let all = self.successes.iter().flatten();
        let count = all.filter(|(at, _)| (from..to).contains(at)).count();
        count as f64 / (to - from).as_secs_f64()
    }

    /// Returns Jain's index of fairness: 1 if all clients have as many successes, 1/n if one of n
    /// has all.
    fn fairness(&self) -> f64 {
        let counts = self.successes.iter().map(|client| client.len() as f64);
        let squares: f64 = counts.clone().map(|n| n * n).sum();
        counts.clone().sum::<f64>().powi(2) / (self.successes.len() as f64 * squares)
    }

    /// Returns the 99th percentile of the durations of calls, divided by the median.
    fn spread(&self) -> f64 {
        let mut times: Vec<_> = self
            .successes
            .iter()
            .flatten()
            .map(|(_, took)| took)
            .collect();
        times.sort();
        let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64();
        at(0.99) / at(0.5)
    }
}

/// Runs `tasks` tasks of each client, each of which makes one call after the other.
async fn simulate(
    clients: usize,
    tasks: usize,
    items: usize,
    until: f64,
    server: Server,
) -> Counts {
    let started = Instant::now();
    let server = Arc::new(server);
    let counts = Arc::new(Mutex::new(Counts::default()));
    counts.lock().unwrap().successes.resize(clients, Vec::new());
    let mut running = JoinSet::new();
    for client in 0..clients {
        let admission = Admission::with_seed(Some(40), None, client as u64);
        let left = Arc::new(AtomicU64::new(items as u64));
        for _ in 0..tasks {
            let (admission, left) = (admission.clone(), left.clone());
            let (server, counts) = (server.clone(), counts.clone());
            running.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    let begun = Instant::now();
                    let done = call(&admission, &server, started, &counts).await;
                    let mut counts = counts.lock().unwrap();
                    match done {
                        true => counts.successes[client].push((started.elapsed(), begun.elapsed())),
                        false => counts.lost += 1,
                    }
                }
            });
        }
    }
    let _ = timeout(seconds(until), async {
        while running.join_next().await.is_some() {}
    })
    .await;
    running.shutdown().await;
    Arc::into_inner(counts).unwrap().into_inner().unwrap()
}

/// Makes a call like `Call::run`. Returns whether it succeeded.
async fn call(
    admission: &Arc<Admission>,
    server: &Server,
    started: Instant,
    counts: &Mutex<Counts>,
) -> bool {
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
                counts.lock().unwrap().rejections += 1;
                permit.rejected(Duration::ZERO, now);
            }
            _ => {
                counts.lock().unwrap().failures += 1;
                permit.failed(now);
                retries += u32::from(!admission.control().is_failing());
                if retries > 5 {
                    return false;
                }
            }
        }
        let bound = f64::from(1 << retries);
        let jitter = server.state.lock().unwrap().random >> 40;
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
        ("40 at once", 20, at_once(40), 120.0, [0.95, 0.1, 0.94, 4.0]),
        ("10 at once", 20, at_once(10), 300.0, [0.95, 0.15, 0.9, 5.0]),
        (
            "100 per second",
            20,
            per_second,
            120.0,
            [0.95, 0.2, 0.95, 4.0],
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
            [0.8, 0.03, 1.0, 1.5],
        ),
        ("no quota, alone", 1, unlimited, 60.0, [0.98, 0.0, 1.0, 1.5]),
    ] {
        let (concurrent, rate, call, capacity) = quota;
        let server = Server {
            concurrent,
            rate,
            call: seconds(call),
            ..Server::default()
        };
        let counts = simulate(clients, 40, usize::MAX, end, server).await;
        let [goodput, rejections, fairness, spread] = [
            counts.total() as f64 / end / capacity,
            counts.rejections as f64 / counts.total() as f64,
            counts.fairness(),
            counts.spread(),
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
    for (name, clients, outage, items, concurrent, failures) in [
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
        let server = Server {
            concurrent,
            call: seconds(0.4),
            outage: Some((seconds(from), seconds(to))),
            ..Server::default()
        };
        let counts = simulate(clients, 40, items, 100.0, server).await;
        let recovered = counts.rate(seconds(to + 2.0), seconds(to + 4.0))
            / counts.rate(seconds(from / 2.0), seconds(from));
        let seen = format!(
            "{name}: {} successes, {} lost, {} failing requests, {recovered:.3} of the goodput after 2 s",
            counts.total(),
            counts.lost,
            counts.failures
        );
        println!("{seen}");
        assert_eq!(counts.lost, 0, "{seen}");
        assert!(counts.failures <= failures, "{seen}");
        assert!(recovered >= 0.9, "{seen}");
        assert!(items != BATCH || counts.total() == BATCH, "{seen}");
    }
}
