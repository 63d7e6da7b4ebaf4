//! The token cache: hot, contended, during a refresh, and empty.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use ee_token::{AccessToken, TokenCache, source_fn};
use futures_util::future::join_all;
use http::{Extensions, HeaderValue};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::contenders::{self, SCOPE};
use crate::harness::{
    Better, Effort, Row, all_cores, contender, interleaved, one_thread, per_await, per_call,
    quantile,
};
use crate::server::Server;

/// A cached authorization header, one thread.
pub fn hot(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let n = effort.pick(100_000, 100);
    let ours = contenders::ours(&server);
    let google = rt.block_on(async { contenders::google() });
    let gcp = contenders::gcp_auth(&server);
    let yup = rt.block_on(contenders::yup(&server));
    let least = Least::new();
    let medians = interleaved(
        effort.pick(41, 1),
        &mut [
            contender("limit", || per_call(n, || drop(black_box(least.header())))),
            contender("ours", || rt.block_on(per_await(n, || ours.header()))),
            contender("google-cloud-auth", || {
                rt.block_on(per_await(n, || google.headers(Extensions::new())))
            }),
            contender("gcp_auth", || {
                rt.block_on(per_await(n, || gcp.token(&[SCOPE])))
            }),
            contender("yup-oauth2", || {
                rt.block_on(per_await(n, || yup.token(&[SCOPE])))
            }),
        ],
    );
    Row::new("token_hot", "ns", Better::Lower, medians[1])
        .limit(medians[0])
        .peer("google-cloud-auth", medians[2])
        .peer("gcp_auth", medians[3])
        .peer("yup-oauth2", medians[4])
        .goal(
            "≤ 1.3 × limit, ≥ 3 × faster than google-cloud-auth",
            |row| {
                row.ratio_limit().is_some_and(|r| r <= 1.3)
                    && row.to_peer("google-cloud-auth") <= 1.0 / 3.0
            },
        )
}

/// The lower bound for a cache: an atomic load, a clock reading, a header's clone.
struct Least(ArcSwapOption<(HeaderValue, SystemTime)>);

impl Least {
    fn new() -> Self {
        let bytes = Bytes::from_owner(vec![b'x'; 231]);
        let mut header = HeaderValue::from_maybe_shared(bytes).expect("a header");
        header.set_sensitive(true);
        let end = SystemTime::now() + Duration::from_secs(3600);
        Self(ArcSwapOption::from_pointee((header, end)))
    }

    fn header(&self) -> Option<HeaderValue> {
        let current = self.0.load();
        let (header, end) = current.as_deref()?;
        (SystemTime::now() < *end).then(|| header.clone())
    }
}

/// Calls per second of 64 tasks on all cores, each with this many calls.
async fn contended<F>(calls: usize, task: impl Fn() -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let started = Instant::now();
    let tasks = (0..64).map(|_| tokio::spawn(task()));
    for ended in join_all(tasks).await {
        ended.expect("no panic");
    }
    (64 * calls) as f64 / started.elapsed().as_secs_f64()
}

/// The same from 64 tasks on all cores, each with its own handle.
pub fn contention(effort: Effort) -> Row {
    let server = Server::start();
    let rt = all_cores();
    let n = effort.pick(10_000, 10);
    let ours = contenders::ours(&server);
    let google = rt.block_on(async { contenders::google() });
    let gcp = contenders::gcp_auth(&server);
    let yup = rt.block_on(contenders::yup(&server));
    let medians = interleaved(
        effort.pick(15, 1),
        &mut [
            contender("ours", || {
                rt.block_on(contended(n, || {
                    let cache = ours.clone();
                    async move {
                        for _ in 0..n {
                            black_box(cache.header().await.expect("a header"));
                        }
                    }
                }))
            }),
            contender("google-cloud-auth", || {
                rt.block_on(contended(n, || {
                    let credentials = google.clone();
                    async move {
                        for _ in 0..n {
                            let headers = credentials.headers(Extensions::new()).await;
                            black_box(headers.expect("a header"));
                        }
                    }
                }))
            }),
            contender("gcp_auth", || {
                rt.block_on(contended(n, || {
                    let provider = gcp.clone();
                    async move {
                        for _ in 0..n {
                            black_box(provider.token(&[SCOPE]).await.expect("a token"));
                        }
                    }
                }))
            }),
            contender("yup-oauth2", || {
                rt.block_on(contended(n, || {
                    let authenticator = yup.clone();
                    async move {
                        for _ in 0..n {
                            let token = authenticator.token(&[SCOPE]).await;
                            black_box(token.expect("a token"));
                        }
                    }
                }))
            }),
        ],
    );
    Row::new("token_contended", "calls/s", Better::Higher, medians[0])
        .peer("google-cloud-auth", medians[1])
        .peer("gcp_auth", medians[2])
        .peer("yup-oauth2", medians[3])
        .goal("≥ 2 × the best peer", |row| {
            row.ratio_best_peer().is_some_and(|r| r >= 2.0)
        })
}

/// The latency of calls during a background refresh.
///
/// Each source takes 300 ms for its second token. The lifetime of the first one makes its cache
/// refresh it about a second later.
pub fn refresh(effort: Effort) -> Vec<Row> {
    let rt = all_cores();
    let mut quiet = Vec::new();
    let mut busy = Vec::new();
    let [mut google, mut gcp, mut yup] = [const { Vec::new() }; 3];
    for _ in 0..effort.pick(5, 1) {
        let (q, b) = rt.block_on(ours_during_refresh(&rt));
        quiet.extend(q);
        busy.extend(b);
        let server = Server::start();
        // It refreshes 240 s before the expiry.
        server.set(241, 0, 300);
        google.push(rt.block_on(async {
            let credentials = contenders::google_mds(&server);
            worst(&server, || credentials.headers(Extensions::new())).await
        }));
        // 20 s before the expiry.
        server.set(21, 0, 300);
        gcp.push(rt.block_on(async {
            let provider = contenders::gcp_auth(&server);
            worst(&server, || provider.token(&[SCOPE])).await
        }));
        // 60 s before the expiry.
        server.set(61, 0, 300);
        yup.push(rt.block_on(async {
            let authenticator = contenders::yup(&server).await;
            worst(&server, || authenticator.token(&[SCOPE])).await
        }));
    }
    let worst_of_ours = busy.iter().copied().fold(0.0, f64::max);
    let tail = |samples: &mut [f64]| quantile(samples, 0.999);
    let fold = |all: &[f64]| all.iter().copied().fold(0.0, f64::max) / 1e6;
    let (quiet, busy) = (tail(&mut quiet), tail(&mut busy));
    vec![
        Row::new("token_refresh", "ns, p99.9", Better::Lower, busy)
            .limit(quiet)
            .goal("≤ 3 × the quiet hot path", |row| {
                row.ratio_limit().is_some_and(|r| r <= 3.0)
            }),
        Row::new(
            "token_refresh_worst",
            "ms",
            Better::Lower,
            worst_of_ours / 1e6,
        )
        .peer("google-cloud-auth", fold(&google))
        .peer("gcp_auth", fold(&gcp))
        .peer("yup-oauth2", fold(&yup))
        .more("refresh_takes_ms", 300)
        .goal("no caller waits for the refresh", |row| row.ours < 300.0),
    ]
}

/// Latencies in nanoseconds: of calls without a refresh, and during one.
async fn ours_during_refresh(rt: &Runtime) -> (Vec<f64>, Vec<f64>) {
    let refreshing = Arc::new(AtomicBool::new(false));
    let flag = refreshing.clone();
    let cache = TokenCache::new(source_fn(move || {
        let flag = flag.clone();
        async move {
            // The refresh window is the last quarter of the lifetime of 4 s.
            let token = AccessToken::new(&"x".repeat(224))?
                .with_expiry((SystemTime::now() + Duration::from_secs(4)).into());
            if flag.swap(true, Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            flag.store(false, Ordering::SeqCst);
            Ok(token)
        }
    }));
    cache.token().await.expect("a token");
    // The next request is not the first.
    refreshing.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let sample = |until: Duration| {
        let cache = cache.clone();
        rt.spawn(async move {
            let mut samples = Vec::with_capacity(1 << 20);
            while started.elapsed() < until {
                for _ in 0..256 {
                    let before = Instant::now();
                    let header = cache.header().await.expect("a token");
                    samples.push(before.elapsed().as_nanos() as f64);
                    black_box(header);
                }
                tokio::task::yield_now().await;
            }
            samples
        })
    };
    let quiet = sample(Duration::from_millis(300)).await.expect("no panic");
    tokio::time::sleep_until((started + Duration::from_millis(3000)).into()).await;
    let busy = sample(Duration::from_millis(3300)).await.expect("no panic");
    (quiet, busy)
}

/// Returns the longest latency in nanoseconds until a second token was returned.
async fn worst<F: Future>(server: &Server, mut call: impl FnMut() -> F) -> f64 {
    call().await;
    let mut worst = 0.0_f64;
    let until = Instant::now() + Duration::from_millis(2500);
    let mut asked = None;
    while Instant::now() < until {
        let before = Instant::now();
        black_box(call().await);
        worst = worst.max(before.elapsed().as_nanos() as f64);
        if server.token_requests() > 1 {
            let asked = asked.get_or_insert_with(Instant::now);
            if asked.elapsed() > Duration::from_millis(350) {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    worst
}

/// The number of callers whose connections fit into one process, with both ends.
const CONNECTIONS: usize = 2_000;

/// Token requests of this many concurrent callers, and how long they take.
pub fn herd_of(callers: usize, who: &str) -> (f64, f64) {
    let server = Server::start();
    // Created once, outside of the measurement.
    contenders::key_json("");
    // The first takes long enough for all callers to start.
    server.set(3600, 200, 0);
    let rt = all_cores();
    rt.block_on(async {
        let started = Instant::now();
        let all: Vec<tokio::task::JoinHandle<bool>> = match who {
            "ours" => {
                let cache = contenders::ours(&server);
                spawn(callers, move || {
                    let cache = cache.clone();
                    async move { cache.header().await.is_ok() }
                })
            }
            "google-cloud-auth" => {
                let credentials = contenders::google_mds(&server);
                spawn(callers, move || {
                    let credentials = credentials.clone();
                    async move { credentials.headers(Extensions::new()).await.is_ok() }
                })
            }
            "gcp_auth" => {
                let provider = contenders::gcp_auth(&server);
                spawn(callers, move || {
                    let provider = provider.clone();
                    async move { provider.token(&[SCOPE]).await.is_ok() }
                })
            }
            _ => {
                let authenticator = contenders::yup(&server).await;
                spawn(callers, move || {
                    let authenticator = authenticator.clone();
                    async move { authenticator.token(&[SCOPE]).await.is_ok() }
                })
            }
        };
        let served = join_all(all).await;
        assert!(
            served.into_iter().all(|ok| ok.unwrap_or(false)),
            "{who}: a caller got no token"
        );
        let elapsed = started.elapsed().as_secs_f64() * 1000.0;
        (server.token_requests() as f64, elapsed)
    })
}

fn spawn<F: Future<Output = bool> + Send + 'static>(
    callers: usize,
    call: impl Fn() -> F,
) -> Vec<tokio::task::JoinHandle<bool>> {
    (0..callers).map(|_| tokio::spawn(call())).collect()
}

/// An empty cache, and 10,000 callers.
pub fn herd(effort: Effort) -> Row {
    let callers = effort.pick(10_000, 50);
    let of_yup = callers.min(CONNECTIONS);
    let (ours, ms) = herd_of(callers, "ours");
    let (google, google_ms) = herd_of(callers, "google-cloud-auth");
    let (gcp, gcp_ms) = herd_of(callers, "gcp_auth");
    let (yup, yup_ms) = herd_of(of_yup, "yup-oauth2");
    Row::new("herd", "token requests", Better::Lower, ours)
        .peer("google-cloud-auth", google)
        .peer("gcp_auth", gcp)
        .peer("yup-oauth2", yup)
        .more("callers", json!({"all": callers, "yup-oauth2": of_yup}))
        .more(
            "ms",
            json!({"ours": ms, "google-cloud-auth": google_ms, "gcp_auth": gcp_ms, "yup-oauth2": yup_ms}),
        )
        .goal("1", |row| row.ours == 1.0)
}
