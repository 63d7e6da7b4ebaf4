//! Load and concurrency.

use std::time::Duration;

use ee_emulator::Fault;
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
async fn stream_holds_its_permit_until_read_or_dropped() {
    let setup = Setup::new().await;
    let client = setup.client().max_concurrent_requests(1).build().unwrap();
    for read in [true, false] {
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
        if read {
            while stream.chunk().await.unwrap().is_some() {}
            assert_eq!(stream.bytes_read(), 200_000);
            waiting.await.unwrap().unwrap();
        } else {
            drop(stream);
            waiting.await.unwrap().unwrap();
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
