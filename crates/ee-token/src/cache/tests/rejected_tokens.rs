//! Tokens that a server rejects, and sources that return the same token again.

use super::*;

#[tokio::test]
async fn hundred_renewals_of_one_token_cost_one_refresh() {
    let (source, cache) = gated(ONE_HOUR);
    source.release();
    let rejected = cache.token().await.unwrap();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (cache, rejected) = (cache.clone(), rejected.clone());
            tokio::spawn(async move { cache.renew(&rejected).await })
        })
        .collect();
    settle().await;
    source.release();
    for caller in callers {
        let renewed = caller.await.unwrap().unwrap().unwrap();
        assert_eq!(renewed.secret(), "token-2");
    }
    // After the next token is in use.
    let renewed = cache.renew(&rejected).await.unwrap().unwrap();
    assert_eq!(renewed.secret(), "token-2");
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn renewals_back_off_if_every_token_is_rejected() {
    let (source, cache) = setup(ONE_HOUR);
    let mut token = cache.token().await.unwrap();
    for (renewals, seconds) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 120, 120]) {
        token = cache.renew(&token).await.unwrap().unwrap();
        assert_eq!(source.calls(), 1 + renewals);
        source
            .clock
            .advance(SECOND * seconds - Duration::from_millis(1));
        for _ in 0..100 {
            assert!(cache.renew(&token).await.unwrap().is_none());
            assert!(cache.token().await.unwrap().secret_eq(&token));
        }
        assert_eq!(source.calls(), 1 + renewals, "before {seconds} s");
        source.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn accepted_token_ends_the_backoff_of_renewals() {
    let (source, cache) = setup(ONE_HOUR);
    let first = cache.token().await.unwrap();
    let second = cache.renew(&first).await.unwrap().unwrap();
    // A late acceptance of an old token says nothing about the current one.
    cache.accepted(&first);
    assert!(cache.renew(&second).await.unwrap().is_none());
    cache.accepted(&second);
    let third = cache.renew(&second).await.unwrap().unwrap();
    assert_eq!(third.secret(), "token-3");
    assert!(cache.renew(&third).await.unwrap().is_none());
    // A backoff that ended long ago starts again.
    source.clock.advance(MINUTE * 10);
    let fourth = cache.renew(&third).await.unwrap().unwrap();
    source.clock.advance(SECOND);
    assert!(cache.renew(&fourth).await.unwrap().is_some());
}

#[tokio::test]
async fn expired_token_is_refreshed_despite_a_recent_renewal() {
    let (source, cache) = setup(Response::ExpiresIn(Duration::from_millis(100)));
    let first = cache.token().await.unwrap();
    let second = cache.renew(&first).await.unwrap().unwrap();
    source.clock.advance(Duration::from_millis(100));
    let third = cache.renew(&second).await.unwrap().unwrap();
    assert_eq!(third.secret(), "token-3");
}

#[tokio::test]
async fn renewal_without_another_token_returns_none() {
    let (source, cache) = single_token(Duration::from_secs(3000));
    let token = cache.token().await.unwrap();
    for _ in 0..100 {
        assert!(cache.renew(&token).await.unwrap().is_none());
        assert!(cache.token().await.unwrap().secret_eq(&token));
    }
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn same_token_delays_the_next_refresh_by_10_s() {
    let (source, cache) = single_token(HOUR);
    cache.token().await.unwrap();
    source.clock.advance(Duration::from_secs(3400));
    call_and_settle(&cache).await;
    assert_eq!(source.calls(), 2);
    source.clock.advance(Duration::from_millis(9_990));
    call_and_settle(&cache).await;
    assert_eq!(source.calls(), 2, "not yet");
    source.clock.advance(Duration::from_millis(20));
    call_and_settle(&cache).await;
    assert_eq!(source.calls(), 3);
}

#[tokio::test]
async fn same_token_is_recognized_despite_expiry_jitter() {
    let (source, cache) = single_token(HOUR);
    let expiry = cache.token().await.unwrap().expires_at().unwrap();
    source.clock.advance(Duration::from_secs(3400));
    for (jitter, calls) in [(900, 2), (-1100, 3), (1900, 4)] {
        source.respond(Response::ExpiresAt(
            expiry + TimeDelta::milliseconds(jitter),
        ));
        call_and_settle(&cache).await;
        assert_eq!(source.calls(), calls);
        let kept = cache.token().await.unwrap();
        assert_eq!(kept.expires_at(), Some(expiry));
        source.clock.advance(Duration::from_secs(11));
    }
    // A later expiry is stored.
    let later = expiry + Duration::from_secs(300);
    source.respond(Response::ExpiresAt(later));
    call_and_settle(&cache).await;
    assert_eq!(cache.token().await.unwrap().expires_at(), Some(later));
}

#[tokio::test]
async fn invalidating_the_only_token_costs_one_refresh_in_10_s() {
    let (source, cache) = single_token(Duration::from_secs(3000));
    let token = cache.token().await.unwrap();
    for round in 1..=3 {
        for _ in 0..100 {
            cache.invalidate(&token);
            assert!(cache.token().await.unwrap().secret_eq(&token));
            source.clock.advance(Duration::from_millis(90));
        }
        assert_eq!(source.calls(), 1 + round);
        source.clock.advance(Duration::from_secs(2));
    }
    // Another token is dropped when it is first invalidated.
    source.respond(ONE_HOUR);
    for name in ["token-5", "token-6", "token-7"] {
        let current = cache.token().await.unwrap();
        cache.invalidate(&current);
        assert_eq!(cache.token().await.unwrap().secret(), name);
    }
}

#[tokio::test]
async fn hundred_invalidations_of_one_token_cost_one_refresh() {
    let (source, cache) = setup(ONE_HOUR);
    let old = cache.token().await.unwrap();
    for _ in 0..100 {
        cache.invalidate(&old);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
    assert_eq!(source.calls(), 2);
}
