//! Clients that share the quota of one project, and what happens to their calls.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// The time that a request or a response takes.
pub const LATENCY: Duration = Duration::from_millis(5);

/// What a server accepts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quota {
    /// The number of requests at once.
    pub places: Option<usize>,
    /// The number of requests per second, and the burst.
    pub rate: Option<(f64, f64)>,
    /// The duration of a call. The real one differs by up to a fifth.
    pub call: Duration,
    /// When an outage begins and ends.
    pub outage: Option<(Duration, Duration)>,
}

/// How much of a quota is used.
#[derive(Default)]
pub struct Use {
    /// The requests that are being processed.
    pub in_flight: usize,
    tokens: f64,
    refilled: Duration,
    /// The last random number.
    pub random: u64,
    /// The requests that were rejected with status 429.
    pub rejections: usize,
    /// The requests that failed with status 503.
    pub failures: usize,
}

impl Use {
    /// Accepts a request and returns its duration, or the status that rejects it. `now` is the time
    /// since the first request.
    pub fn admit(&mut self, quota: &Quota, now: Duration) -> Result<Duration, u16> {
        // Knuth's linear congruential generator.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let is_outage = |(from, to): (Duration, Duration)| (from..to).contains(&now);
        if quota.outage.is_some_and(is_outage) {
            self.failures += 1;
            return Err(503);
        }
        if quota.places.is_some_and(|max| self.in_flight >= max) {
            self.rejections += 1;
            return Err(429);
        }
        if let Some((rate, burst)) = quota.rate {
            let refill = (now - self.refilled).as_secs_f64() * rate;
            self.tokens = (self.tokens + refill).min(burst);
            self.refilled = now;
            if self.tokens < 1.0 {
                self.rejections += 1;
                return Err(429);
            }
            self.tokens -= 1.0;
        }
        self.in_flight += 1;
        let part = (self.random >> 40) as f64 / f64::from(1 << 24);
        Ok(quota.call.mul_f64(0.8 + 0.4 * part))
    }
}

/// What happened to the calls.
#[derive(Default)]
pub struct Outcome {
    /// When each call of each client succeeded, and how long it took.
    pub successes: Vec<Vec<(Duration, Duration)>>,
    /// The calls that failed.
    pub lost: usize,
    /// The requests that the server rejected with status 429.
    pub rejections: usize,
    /// The requests that failed in another way.
    pub failures: usize,
}

impl Outcome {
    /// Returns how many calls succeeded.
    pub fn total(&self) -> usize {
        self.successes.iter().map(Vec::len).sum()
    }

    /// Returns how many requests were rejected for each call that succeeded.
    pub fn rejections_per_success(&self) -> f64 {
        self.rejections as f64 / self.total() as f64
    }

    /// Returns the successes per second between two points in time.
    pub fn rate(&self, from: Duration, to: Duration) -> f64 {
        let all = self.successes.iter().flatten();
        let count = all.filter(|(at, _)| (from..to).contains(at)).count();
        count as f64 / (to - from).as_secs_f64()
    }

    /// Returns Jain's index of fairness: 1 if all clients have as many successes, 1/n if one of n
    /// has all.
    pub fn fairness(&self) -> f64 {
        let counts = self.successes.iter().map(|client| client.len() as f64);
        let squares: f64 = counts.clone().map(|n| n * n).sum();
        counts.clone().sum::<f64>().powi(2) / (self.successes.len() as f64 * squares)
    }

    /// Returns the 99th percentile of the durations of calls, divided by the median.
    pub fn spread(&self) -> f64 {
        let all = self.successes.iter().flatten();
        let mut times: Vec<_> = all.map(|(_, took)| took).collect();
        times.sort();
        let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64();
        at(0.99) / at(0.5)
    }
}

/// Runs `tasks` tasks of each client, each of which makes one call after the other, until all have
/// made `items` calls together or the time ends. `call` returns whether it succeeded. The calls that
/// are not finished at the end are neither successful nor lost.
pub async fn run<C, F>(
    clients: impl IntoIterator<Item = C>,
    tasks: usize,
    items: usize,
    end: Duration,
    call: impl Fn(C) -> F + Clone + Send + 'static,
) -> Outcome
where
    C: Clone + Send + 'static,
    F: Future<Output = bool> + Send,
{
    let started = Instant::now();
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let mut running = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        outcome.lock().unwrap().successes.push(Vec::new());
        let left = Arc::new(AtomicUsize::new(items));
        for _ in 0..tasks {
            let (client, call) = (client.clone(), call.clone());
            let (left, outcome) = (left.clone(), outcome.clone());
            running.spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    let begun = Instant::now();
                    let succeeded = call(client.clone()).await;
                    let mut outcome = outcome.lock().unwrap();
                    match succeeded {
                        true => {
                            outcome.successes[index].push((started.elapsed(), begun.elapsed()));
                        }
                        false => outcome.lost += 1,
                    }
                }
            });
        }
    }
    let _ = timeout(end, async { while running.join_next().await.is_some() {} }).await;
    running.shutdown().await;
    std::mem::take(&mut *outcome.lock().unwrap())
}
