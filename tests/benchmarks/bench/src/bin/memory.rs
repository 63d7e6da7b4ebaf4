//! Counts allocations, in a program of its own, because counting costs every allocation some time.
//! Prints JSON lines of rows.

use std::alloc::System;
use std::time::Duration;

use bench::contenders;
use bench::harness::{Better, Effort, Row, one_thread};
use bench::requests::Pair;
use bench::scale;
use bench::server::Server;
use ee_credentials::Credentials;
use futures_util::stream::{self, StreamExt};
use http::Extensions;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let effort = Effort {
        smoke: arguments.next().is_some(),
    };
    let row = match name.as_str() {
        "allocs" => allocs(effort),
        "at_rest" => at_rest(effort),
        "identities" => identities(effort),
        _ => scale_identities(effort),
    };
    println!("{}", row.json());
}

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// Allocations per request beyond bare reqwest's. The server allocates nothing.
fn allocs(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let pair = Pair::new(&server);
    let n = effort.pick(1_000, 10);
    rt.block_on(async {
        for _ in 0..5 {
            pair.call_ours().await;
            pair.call_bare().await;
        }
        let before = allocations();
        for _ in 0..n {
            pair.call_bare().await;
        }
        let bare = (allocations() - before) as f64 / n as f64;
        let before = allocations();
        for _ in 0..n {
            pair.call_ours().await;
        }
        let ours = (allocations() - before) as f64 / n as f64;
        Row::new("allocs", "allocations added", Better::Lower, ours - bare)
            .more("of_ours", ours)
            .more("of_reqwest", bare)
            // The HTTP client copies a connector with a layer six times, in two boxes each.
            .goal("≤ 12", |row| row.ours <= 12.0)
    })
}

/// Bytes of a client at rest with one connection, and of each further one that shares it. The
/// server's side of the connection is counted, too.
fn at_rest(effort: Effort) -> Row {
    let server = Server::start();
    let further = effort.pick(200, 4);
    one_thread().block_on(async {
        let called = async || {
            let pair = Pair::new(&server);
            pair.call_ours().await;
            pair.ours
        };
        // A second after its last call, a client ends its task.
        let at_rest = async || {
            tokio::time::sleep(Duration::from_secs(2)).await;
            live_bytes() as f64
        };
        let before = live_bytes() as f64;
        let mut clients = vec![called().await];
        let with_first = at_rest().await;
        for _ in 0..further {
            clients.push(called().await);
        }
        let each_further = (at_rest().await - with_first) / further as f64;
        Row::new("at_rest", "bytes", Better::Lower, with_first - before)
            .more("each_further", each_further)
            .goal("≤ 88,000, and 3,400 for each further client", |row| {
                row.ours <= 88_000.0 && each_further <= 3_400.0
            })
    })
}

/// Bytes of each of this many cached identities: users of one server.
fn bytes_each(identities: usize) -> f64 {
    let server = Server::start();
    let options = contenders::options(&server);
    let rt = one_thread();
    rt.block_on(async {
        let identity = |n: usize| {
            let login = contenders::login_json(n).to_string();
            let credentials = Credentials::from_json(&login, &options).expect("a login");
            async move {
                credentials.token().await.expect("a token");
                credentials
            }
        };
        // Connections and their buffers exist before.
        let warm: Vec<_> = stream::iter(0..64)
            .map(identity)
            .buffer_unordered(64)
            .collect()
            .await;
        let mut all = Vec::with_capacity(identities);
        let before = live_bytes();
        let mut more = stream::iter(0..identities)
            .map(identity)
            .buffer_unordered(64);
        while let Some(credentials) = more.next().await {
            all.push(credentials);
        }
        drop(more);
        let bytes = live_bytes().wrapping_sub(before) as f64 / identities as f64;
        drop((warm, all));
        bytes
    })
}

/// Bytes of each of this many identities of google-cloud-auth, with a task each.
fn google_bytes_each(identities: usize) -> f64 {
    let server = Server::start();
    one_thread().block_on(async {
        let one = |n| {
            let credentials = contenders::google_login(&server, n);
            async move {
                credentials
                    .headers(Extensions::new())
                    .await
                    .expect("a token");
                credentials
            }
        };
        let _warm = one(0).await;
        let mut all = Vec::with_capacity(identities);
        let before = live_bytes();
        for n in 0..identities {
            all.push(one(n).await);
        }
        live_bytes().wrapping_sub(before) as f64 / identities as f64
    })
}

/// The bytes of a login's own strings: its client, secret, refresh token and account.
fn key_bytes() -> f64 {
    let login = contenders::login_json(0);
    let texts = login.as_object().expect("an object").iter();
    let bytes: usize = texts
        .filter(|(name, _)| *name != "type")
        .filter_map(|(_, text)| text.as_str())
        .map(str::len)
        .sum();
    bytes as f64
}

fn identities(effort: Effort) -> Row {
    let count = effort.pick(100_000, 200);
    let of_peers = effort.pick(200, 2);
    let key = key_bytes();
    let ours = bytes_each(count) - key;
    let google = google_bytes_each(of_peers) - key;
    Row::new("identities", "bytes beyond the key", Better::Lower, ours)
        .peer("google-cloud-auth", google)
        .more("key", key)
        .more("identities", count)
        .more("identities_of_peers", of_peers)
        .goal("≤ 1024", |row| row.ours <= 1024.0)
}

fn scale_identities(effort: Effort) -> Row {
    let least = effort.pick(1_000, 100);
    let point = |n: usize| (n, bytes_each(n) * n as f64);
    scale::row(
        "scale_identities",
        "bytes",
        &[point(least), point(least * 10), point(least * 100)],
    )
}
