//! The limit under every kind of use.

use std::sync::Arc;

use super::*;

async fn take(limiter: &Arc<Limiter>, n: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for _ in 0..n {
        places.push(limiter.place().await.unwrap());
    }
    places
}

/// How many places can be had at this moment.
fn free(limiter: &Limiter) -> usize {
    limiter.places.available_permits()
}

#[tokio::test]
async fn a_burst_of_refusals_halves_the_limit_once() {
    let limiter = Limiter::new(40);
    let places = take(&limiter, 40).await;
    assert_eq!(places[0].turned_away(), Some(20));
    for place in &places[1..] {
        assert_eq!(place.turned_away(), None);
    }
    drop(places);
    assert_eq!((limiter.limit(), free(&limiter)), (20, 20));
    // What began under the new limit is news.
    assert_eq!(take(&limiter, 1).await[0].turned_away(), Some(10));
    assert_eq!(free(&limiter), 10);
}

#[tokio::test]
async fn the_limit_never_falls_below_one() {
    let limiter = Limiter::new(3);
    for expected in [Some(1), None, None] {
        assert_eq!(take(&limiter, 1).await[0].turned_away(), expected);
        assert_eq!((limiter.limit(), free(&limiter)), (1, 1));
    }
}

#[tokio::test]
async fn it_grows_by_one_a_round_while_it_is_fully_used_and_no_further_than_it_was() {
    let limiter = Limiter::new(8);
    take(&limiter, 1).await[0].turned_away();
    assert_eq!(limiter.limit(), 4);
    // Not fully used: there is nothing to learn.
    for _ in 0..100 {
        take(&limiter, 1).await[0].succeeded();
    }
    assert_eq!(limiter.limit(), 4);
    let round = async || {
        let places = take(&limiter, limiter.limit()).await;
        for place in &places {
            place.succeeded();
        }
    };
    round().await;
    round().await;
    assert!((5..=6).contains(&limiter.limit()), "{}", limiter.limit());
    for _ in 0..20 {
        round().await;
    }
    assert_eq!((limiter.limit(), free(&limiter)), (8, 8));
}

#[tokio::test]
async fn waiters_are_served_in_order_and_one_that_gives_up_holds_nobody_up() {
    let limiter = Limiter::new(1);
    let first = limiter.place().await.unwrap();
    let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for n in 0..5 {
        let (limiter, done) = (limiter.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let _place = limiter.place().await;
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
    assert_eq!(free(&limiter), 1);
}

#[tokio::test]
async fn restricted_mode_lowers_the_ceiling_and_its_end_lets_the_limit_grow_back() {
    let limiter = Limiter::new(40);
    assert_eq!(limiter.restrict(true), Some(RESTRICTED));
    assert_eq!(limiter.restrict(true), None);
    assert_eq!(free(&limiter), RESTRICTED);
    let round = async || {
        let places = take(&limiter, limiter.limit()).await;
        for place in &places {
            place.succeeded();
        }
    };
    round().await;
    assert_eq!(limiter.limit(), RESTRICTED);
    assert_eq!(limiter.restrict(false), None);
    for _ in 0..100 {
        round().await;
    }
    assert_eq!((limiter.limit(), free(&limiter)), (40, 40));
}

#[test]
fn nonsense_limits_are_brought_into_range() {
    assert_eq!(Limiter::new(0).limit(), 1);
    assert!(Limiter::new(usize::MAX).limit() > 1_000_000);
}
