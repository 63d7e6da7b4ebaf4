//! Load and concurrency.

use std::time::Duration;

use ee_emulator::Fault;
use futures_util::future::{BoxFuture, FutureExt as _, join_all, select_all};
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use http::Method;
use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_adapt_to_a_limit_of_forty() {
    const REQUESTS: usize = 10_000;
    const WORKERS: usize = 200;
    let setup = Setup::new().await;
    setup.emulator.limit_concurrency(EARTHENGINE, Some(40));
    // Without a delay there would never be forty concurrent requests.
    setup.fault(Fault::delay(Duration::from_millis(2)).times(usize::MAX));
    let client = setup
        .client()
        .max_concurrent_requests(WORKERS)
        .build()
        .unwrap();

    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let client = client.clone();
        workers.spawn(async move {
            for n in (worker..REQUESTS).step_by(WORKERS) {
                // Each response belongs to its request.
                assert_eq!(client.compute::<usize>(&constant(n)).await.unwrap(), n);
            }
        });
    }
    workers.join_all().await;

    let count = setup.emulator.concurrency(EARTHENGINE);
    assert_eq!(count.in_flight, 0);
    assert!(count.peak > 30, "{count:?}");
    assert_eq!(setup.requests(), REQUESTS + count.rejected);
    // Rejected are the initial burst and occasional probes above the limit.
    assert!(count.rejected < REQUESTS / 10, "{count:?}");
    let limit = client.concurrency_limit().unwrap();
    assert!((10..=60).contains(&limit), "{limit}");
}

#[tokio::test]
async fn concurrent_requests_stay_within_the_limit() {
    let setup = Setup::new().await;
    setup.fault(Fault::delay(Duration::from_millis(5)).times(usize::MAX));
    let client = setup.client().max_concurrent_requests(7).build().unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        // Clients that differ only in their tag share the limit.
        let client = client.with_workload_tag(&format!("tag-{n}")).unwrap();
        tasks.spawn(async move { client.compute::<usize>(&constant(n)).await.unwrap() });
    }
    tasks.join_all().await;
    let count = setup.emulator.concurrency(EARTHENGINE);
    assert_eq!((count.peak, count.rejected), (7, 0));
}

#[tokio::test]
async fn dropped_calls_return_their_permits() {
    let setup = Setup::new().await;
    let client = setup.client().max_concurrent_requests(2).build().unwrap();
    setup.fault(Fault::delay(Duration::from_secs(60)).times(2));
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let client = client.clone();
        calls.spawn(async move { client.compute::<usize>(&constant(n)).await });
    }
    while setup.emulator.faults_left(EARTHENGINE) > 0 {
        tokio::task::yield_now().await;
    }
    calls.shutdown().await;
    for n in 0..4 {
        assert_eq!(client.compute::<usize>(&constant(n)).await.unwrap(), n);
    }
}

#[tokio::test]
async fn stream_keeps_its_permit_until_read_dropped_or_ignored() {
    enum Then {
        Read,
        Drop,
        Ignore,
    }
    let setup = Setup::new().await;
    let client = setup.client().max_concurrent_requests(1).build().unwrap();
    for then in [Then::Read, Then::Drop, Then::Ignore] {
        setup.fault(Fault::respond_stream(200_000));
        let request = client.request(Method::GET, "config");
        let mut stream = request.send_streaming().await.unwrap();
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.compute::<usize>(&constant(1)).await }
        });
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        match then {
            Then::Read => {
                while stream.chunk().await.unwrap().is_some() {}
                assert_eq!(stream.bytes_read(), 200_000);
                waiting.await.unwrap().unwrap();
            }
            Then::Drop => {
                drop(stream);
                waiting.await.unwrap().unwrap();
            }
            Then::Ignore => {
                waiting.await.unwrap().unwrap();
                while stream.chunk().await.unwrap().is_some() {}
                assert_eq!(stream.bytes_read(), 200_000);
            }
        }
    }
}

#[tokio::test]
async fn request_starts_stay_within_the_rate_limit() {
    let setup = Setup::new().await;
    let client = setup.client().rate_limit(100.0).build().unwrap();
    let started = std::time::Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..50 {
        let client = client.clone();
        tasks.spawn(async move { client.compute::<usize>(&constant(n)).await.unwrap() });
    }
    tasks.join_all().await;
    assert!(started.elapsed() >= Duration::from_millis(480));
}

/// A future that is not polled must not keep others waiting: each program runs more calls at once
/// than the limit permits, and makes another call while it does not poll them.
#[tokio::test]
async fn calls_that_are_not_polled_hold_up_no_other_call() {
    const CALLS: usize = 30;
    type Program = fn(Client) -> BoxFuture<'static, usize>;
    let buffered: Program = |client| {
        let other = client.clone();
        let calls = stream::iter(0..CALLS).map(move |_| call(client.clone()));
        Box::pin(calls.buffered(20).fold(0, move |n, _| {
            let other = other.clone();
            async move { n + call(other).await }
        }))
    };
    let buffer_unordered: Program = |client| {
        Box::pin(async move {
            let calls = stream::iter(0..CALLS).map(|_| call(client.clone()));
            let mut calls = std::pin::pin!(calls.buffer_unordered(20));
            let mut done = 0;
            while let Some(n) = calls.next().await {
                done += n * call(client.clone()).await;
            }
            done
        })
    };
    let buffered_streams: Program = |client| {
        Box::pin(async move {
            let calls = stream::iter(0..CALLS).map(|_| streamed(client.clone()));
            let mut calls = std::pin::pin!(calls.buffer_unordered(20));
            let mut done = 0;
            while let Some(n) = calls.next().await {
                done += n * call(client.clone()).await;
            }
            done
        })
    };
    let futures_unordered: Program = |client| {
        Box::pin(async move {
            let calls = (0..CALLS).map(|_| call(client.clone()));
            let mut calls: FuturesUnordered<_> = calls.collect();
            let mut done = 0;
            while let Some(n) = calls.next().await {
                done += n * call(client.clone()).await;
            }
            done
        })
    };
    let selected: Program = |client| {
        Box::pin(async move {
            // The futures that `select_all` returns are not polled during the next call.
            let mut calls: Vec<_> = (0..CALLS).map(|_| call(client.clone())).collect();
            let mut done = 0;
            while !calls.is_empty() {
                let (n, _, rest) = select_all(calls).await;
                done += n * call(client.clone()).await;
                calls = rest;
            }
            done
        })
    };
    let joined: Program = |client| {
        Box::pin(async move {
            // Started, and not polled while the others are joined.
            let mut started: Vec<_> = (0..10).map(|_| call(client.clone())).collect();
            for call in &mut started {
                assert!(call.now_or_never().is_none());
            }
            let mut done = 0;
            for _ in 0..2 {
                done += join_all((0..10).map(|_| call(client.clone()))).await.len();
            }
            done + join_all(started).await.len()
        })
    };
    let open_streams: Program = |client| {
        Box::pin(async move {
            // Responses that are not read.
            let mut open = Vec::new();
            for _ in 0..5 {
                let request = client.request(Method::GET, "config");
                open.push(request.send_streaming().await.unwrap());
            }
            25 + open.len()
        })
    };
    let setup = Setup::new().await;
    for (name, program) in [
        ("buffered", buffered),
        ("buffer_unordered", buffer_unordered),
        ("buffered streams", buffered_streams),
        ("FuturesUnordered", futures_unordered),
        ("select_all", selected),
        ("join_all", joined),
        ("open streams", open_streams),
    ] {
        for rate in [None, Some(1000.0)] {
            let client = setup.client().max_concurrent_requests(4);
            let client = match rate {
                Some(rate) => client.rate_limit(rate),
                None => client,
            };
            let done = program(client.build().unwrap());
            let done = tokio::time::timeout(Duration::from_secs(30), done).await;
            assert_eq!(done, Ok(CALLS), "{name}, {rate:?}");
        }
    }
}

fn call(client: Client) -> BoxFuture<'static, usize> {
    Box::pin(async move { client.compute(&constant(1)).await.unwrap() })
}

/// Reads a streamed response and returns 1.
fn streamed(client: Client) -> BoxFuture<'static, usize> {
    Box::pin(async move {
        let request = client.request(Method::GET, "config");
        let mut stream = request.send_streaming().await.unwrap();
        while stream.chunk().await.unwrap().is_some() {
            // As if the chunk was processed by another call.
            call(client.clone()).await;
        }
        1
    })
}
