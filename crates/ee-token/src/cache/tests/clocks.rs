//! Suspension, clock changes, and expiry.

use super::*;

#[tokio::test]
async fn token_expired_on_one_clock_is_not_stored_again() {
    let (source, cache) = single_token(HOUR);
    cache.token().await.unwrap();
    source.clock.set_back(DAY);
    source.clock.advance(OVER_AN_HOUR);
    for _ in 0..100 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        assert!(!error.remedy().text.is_empty());
    }
    assert_eq!(source.calls(), 2, "the failure is shared for a second");
    source.respond(ONE_HOUR);
    source.clock.advance(SECOND * 2);
    assert_eq!(cache.token().await.unwrap().secret(), "token-3");
}

#[tokio::test]
async fn token_without_an_expiry_is_refreshed() {
    let (source, cache) = cached(Response::NoExpiry).await;
    source.clock.advance(Duration::from_secs(3400));
    assert_eq!(cache.token().await.unwrap().secret(), "token-1");
    settle().await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn token_that_arrives_expired_is_an_error() {
    let (source, _) = setup(ONE_HOUR);
    for expiry in [source.now() - SECOND, DateTime::<Utc>::MIN_UTC] {
        let (_, cache) = setup(Response::ExpiresAt(expiry));
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
    // The latest possible time neither fails nor overflows.
    let (_, cache) = setup(Response::ExpiresAt(DateTime::<Utc>::MAX_UTC));
    cache.token().await.unwrap();
}

#[tokio::test]
async fn suspended_machine_sends_no_expired_token() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.clock.sleep(OVER_AN_HOUR);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn clock_set_back_keeps_no_expired_token() {
    let (source, cache) = cached(Response::SameToken(HOUR)).await;
    source.clock.set_back(DAY);
    source.clock.advance(OVER_AN_HOUR);
    cache.token().await.unwrap();
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn clock_check_ends_with_a_suspension_or_clock_change() {
    type Change = fn(&ManualClock);
    let changes: [Change; 4] = [
        |clock| clock.sleep(OVER_AN_HOUR),
        |clock| clock.advance(OVER_AN_HOUR),
        |clock| {
            clock.advance(OVER_AN_HOUR);
            clock.set_back(OVER_AN_HOUR + SECOND);
        },
        |clock| {
            clock.set_back(DAY);
            clock.advance(OVER_AN_HOUR);
        },
    ];
    for change in changes {
        let (source, cache) = setup(ONE_HOUR);
        for _ in 0..3 {
            assert_eq!(cache.token().await.unwrap().secret(), "token-1");
            source.clock.advance(Duration::from_millis(100));
        }
        change(&source.clock);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
}

#[tokio::test]
async fn clock_check_does_not_delay_the_refresh() {
    let (source, cache) = setup(ONE_HOUR);
    let window = HOUR - REFRESH_WINDOW;
    cache.token().await.unwrap();
    source.clock.advance(window - Duration::from_millis(500));
    cache.token().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(source.calls(), 1);
    source.clock.advance(Duration::from_millis(500));
    cache.token().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(source.calls(), 2, "half a second after a clock check");
}
