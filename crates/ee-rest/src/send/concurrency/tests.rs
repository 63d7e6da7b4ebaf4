//! Tests of the concurrency limit.

use std::sync::Arc;

use super::*;

async fn acquire_many(limiter: &Arc<ConcurrencyLimiter>, n: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..n {
        permits.push(limiter.acquire().await.unwrap());
    }
    permits
}

fn available(limiter: &ConcurrencyLimiter) -> usize {
    limiter.permits.available_permits()
}

#[tokio::test]
async fn burst_of_rate_limits_halves_the_limit_once() {
    let limiter = ConcurrencyLimiter::new(40);
    let permits = acquire_many(&limiter, 40).await;
    assert_eq!(permits[0].record_rate_limit(), Some(20));
    for permit in &permits[1..] {
        assert_eq!(permit.record_rate_limit(), None);
    }
    drop(permits);
    assert_eq!((limiter.limit(), available(&limiter)), (20, 20));
    // A request that started under the new limit lowers it again.
    let permits = acquire_many(&limiter, 1).await;
    assert_eq!(permits[0].record_rate_limit(), Some(10));
    drop(permits);
    assert_eq!(available(&limiter), 10);
}

#[tokio::test]
async fn limit_never_falls_below_one() {
    let limiter = ConcurrencyLimiter::new(3);
    for expected in [Some(1), None, None] {
        let permits = acquire_many(&limiter, 1).await;
        assert_eq!(permits[0].record_rate_limit(), expected);
        drop(permits);
        assert_eq!((limiter.limit(), available(&limiter)), (1, 1));
    }
}

#[tokio::test]
async fn fully_used_limit_grows_by_one_per_round_up_to_its_maximum() {
    let limiter = ConcurrencyLimiter::new(8);
    acquire_many(&limiter, 1).await[0].record_rate_limit();
    assert_eq!(limiter.limit(), 4);
    // Without waiting requests, a success says nothing about the limit.
    for _ in 0..100 {
        acquire_many(&limiter, 1).await[0].record_success();
    }
    assert_eq!(limiter.limit(), 4);
    let round = async || {
        let permits = acquire_many(&limiter, limiter.limit()).await;
        for permit in &permits {
            permit.record_success();
        }
    };
    round().await;
    round().await;
    assert!((5..=6).contains(&limiter.limit()), "{}", limiter.limit());
    for _ in 0..20 {
        round().await;
    }
    assert_eq!((limiter.limit(), available(&limiter)), (8, 8));
}

#[tokio::test]
async fn waiters_are_served_in_order_and_cancelled_ones_skipped() {
    let limiter = ConcurrencyLimiter::new(1);
    let first = limiter.acquire().await.unwrap();
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for n in 0..5 {
        let (limiter, done) = (limiter.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = limiter.acquire().await;
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
    assert_eq!(available(&limiter), 1);
}

#[tokio::test]
async fn restricted_mode_lowers_the_limit_and_its_end_restores_it() {
    let limiter = ConcurrencyLimiter::new(40);
    assert_eq!(limiter.set_restricted(true), Some(RESTRICTED));
    assert_eq!(limiter.set_restricted(true), None);
    assert_eq!(available(&limiter), RESTRICTED);
    let round = async || {
        let permits = acquire_many(&limiter, limiter.limit()).await;
        for permit in &permits {
            permit.record_success();
        }
    };
    round().await;
    assert_eq!(limiter.limit(), RESTRICTED);
    assert_eq!(limiter.set_restricted(false), None);
    for _ in 0..100 {
        round().await;
    }
    assert_eq!((limiter.limit(), available(&limiter)), (40, 40));
}

#[test]
fn out_of_range_limits_are_clamped() {
    assert_eq!(ConcurrencyLimiter::new(0).limit(), 1);
    assert!(ConcurrencyLimiter::new(usize::MAX).limit() > 1_000_000);
}
