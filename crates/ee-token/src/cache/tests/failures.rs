//! The backoff after failed refreshes.

use super::*;

#[tokio::test]
async fn failed_refresh_keeps_the_valid_token() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.respond(Response::Fails(ErrorKind::Network));
    source.clock.advance(Duration::from_secs(3500));
    for _ in 0..10 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
    }
    assert_eq!(source.calls(), 2, "the second attempt is not due");
}

#[tokio::test]
async fn background_failures_back_off_from_1_to_30_s() {
    let (source, cache) = cached(Response::ExpiresIn(Duration::from_secs(100_000))).await;
    source.respond(Response::Fails(ErrorKind::InvalidResponse));
    source.clock.advance(Duration::from_secs(100_000 - 225));
    let mut calls = 1;
    for wait in [0, 1, 2, 4, 8, 16, 30, 30] {
        // No attempt just before the wait ends, and one after its jitter of a fifth.
        source
            .clock
            .advance((SECOND * wait).saturating_sub(Duration::from_millis(1)));
        if wait > 0 {
            call_and_settle(&cache).await;
            assert_eq!(source.calls(), calls, "before {wait} s");
        }
        source
            .clock
            .advance((SECOND * wait).mul_f64(0.2) + Duration::from_millis(2));
        call_and_settle(&cache).await;
        calls += 1;
        assert_eq!(source.calls(), calls, "after {wait} s");
    }
    source.respond(ONE_HOUR);
    source.clock.advance(Duration::from_secs(36));
    call_and_settle(&cache).await;
    assert_eq!(
        cache.token().await.unwrap().secret(),
        format!("token-{}", calls + 1)
    );
}

#[tokio::test]
async fn requested_delay_of_up_to_a_minute_is_respected() {
    for (asked, wait) in [(0, 1), (10, 10), (60, 60), (3600, 60)] {
        let (source, cache) = setup(Response::Busy(SECOND * asked));
        cache.token().await.unwrap_err();
        source
            .clock
            .advance(SECOND * wait - Duration::from_millis(1));
        cache.token().await.unwrap_err();
        assert_eq!(source.calls(), 1, "{asked} s");
        source
            .clock
            .advance(SECOND * wait / 5 + Duration::from_millis(2));
        cache.token().await.unwrap_err();
        assert_eq!(source.calls(), 2, "{asked} s");
    }
}

#[tokio::test]
async fn failure_without_a_valid_token_is_shared_for_1_s() {
    let (source, cache) = setup(Response::Fails(ErrorKind::InvalidResponse));
    for _ in 0..20 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.to_string(), "failure 1");
    }
    assert_eq!(source.calls(), 1);
    source.respond(ONE_HOUR);
    source.clock.advance(Duration::from_millis(1201));
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn transient_failures_are_retried_after_seconds() {
    for kind in [
        ErrorKind::UnconfirmedRejection,
        ErrorKind::Server,
        ErrorKind::Network,
        ErrorKind::Timeout,
        ErrorKind::InvalidResponse,
        ErrorKind::ClockSkew,
    ] {
        let (source, cache) = setup(Response::Fails(kind));
        cache.token().await.unwrap_err();
        source.clock.advance(SECOND * 2);
        cache.token().await.unwrap_err();
        assert_eq!(source.calls(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn rejection_is_confirmed_after_1_minute_doubling_to_30() {
    for kind in [
        ErrorKind::Rejected,
        ErrorKind::InvalidScope,
        ErrorKind::InvalidCredential,
        ErrorKind::ReauthenticationRequired,
        ErrorKind::Expired,
    ] {
        let (source, cache) = setup(Response::Fails(kind));
        cache.token().await.unwrap_err();
        for (requests, minutes) in (1..).zip([1, 2, 4, 8, 16, 30, 30]) {
            source.clock.advance(MINUTE * minutes - SECOND);
            for _ in 0..10 {
                let error = cache.token().await.unwrap_err();
                assert_eq!(error.kind(), kind);
                assert_eq!(error.to_string(), format!("failure {requests}"));
            }
            assert_eq!(source.calls(), requests, "before {minutes} min");
            source.clock.advance(SECOND);
            for _ in 0..10 {
                cache.token().await.unwrap_err();
            }
            assert_eq!(source.calls(), requests + 1, "after {minutes} min");
        }
    }
}

#[tokio::test]
async fn key_that_propagates_within_a_minute_works() {
    let (source, cache) = rejected().await;
    source.respond(ONE_HOUR);
    cache.token().await.unwrap_err();
    source.clock.advance(MINUTE);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn success_or_a_new_file_resets_the_rejection_backoff() {
    for by_file in [false, true] {
        let (source, cache) = rejected().await;
        for minutes in [1, 2, 4] {
            source.clock.advance(MINUTE * minutes);
            cache.token().await.unwrap_err();
        }
        assert_eq!(source.calls(), 4);
        if by_file {
            source.set_changed(true);
            cache.token().await.unwrap_err();
            source.set_changed(false);
        } else {
            source.respond(ONE_HOUR);
            source.clock.advance(MINUTE * 8);
            let token = cache.token().await.unwrap();
            source.respond(REJECTED);
            cache.invalidate(&token);
            cache.token().await.unwrap_err();
        }
        let calls = source.calls();
        source.clock.advance(MINUTE - SECOND);
        cache.token().await.unwrap_err();
        assert_eq!(source.calls(), calls);
        source.clock.advance(SECOND);
        cache.token().await.unwrap_err();
        assert_eq!(source.calls(), calls + 1);
    }
}

#[tokio::test]
async fn transient_failure_keeps_the_rejection_backoff() {
    let (source, cache) = rejected().await;
    source.clock.advance(MINUTE);
    source.respond(Response::Fails(ErrorKind::Network));
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    source.clock.advance(Duration::from_millis(1201));
    source.respond(REJECTED);
    cache.token().await.unwrap_err();
    assert_eq!(source.calls(), 3);
    source.clock.advance(MINUTE * 2 - SECOND);
    cache.token().await.unwrap_err();
    assert_eq!(source.calls(), 3);
    source.clock.advance(SECOND);
    cache.token().await.unwrap_err();
    assert_eq!(source.calls(), 4);
}

#[tokio::test]
async fn either_clock_ends_a_rejection() {
    let changes: [fn(&ManualClock); 2] = [
        |clock| clock.sleep(MINUTE),
        |clock| {
            clock.set_back(MINUTE * 60);
            clock.advance(MINUTE);
        },
    ];
    for change in changes {
        let (source, cache) = rejected().await;
        source.respond(ONE_HOUR);
        change(&source.clock);
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    }
}

#[tokio::test]
async fn callers_share_the_request_after_a_rejection() {
    let (source, cache) = gated(REJECTED);
    source.release();
    cache.token().await.unwrap_err();
    source.clock.advance(MINUTE);
    let callers = spawn_callers(100, &cache);
    settle().await;
    assert_eq!(source.calls(), 2);
    source.release();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "failure 2");
    }
    assert_eq!(source.calls(), 2);
}

#[tokio::test]
async fn rejected_refresh_leaves_the_valid_token_until_it_expires() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.respond(REJECTED);
    source.clock.advance(HOUR - REFRESH_WINDOW);
    // Background attempts are at 0, 60 and 180 s.
    for second in 0..225 {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        let attempts = 1 + usize::from(second >= 60) + usize::from(second >= 180);
        assert_eq!(source.calls(), 1 + attempts, "{second} s");
        source.clock.advance(SECOND);
    }
    for _ in 0..10 {
        let error = cache.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
    assert_eq!(source.calls(), 4);
    source.respond(ONE_HOUR);
    source.clock.advance(MINUTE * 4);
    assert_eq!(cache.token().await.unwrap().secret(), "token-5");
}

#[tokio::test]
async fn changed_file_is_noticed_while_a_token_is_valid() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.respond(REJECTED);
    source.clock.advance(HOUR - REFRESH_WINDOW);
    call_and_settle(&cache).await;
    source.respond(ONE_HOUR);
    source.set_changed(true);
    source.clock.advance(SECOND * 30);
    call_and_settle(&cache).await;
    assert_eq!(cache.token().await.unwrap().secret(), "token-3");
}

#[tokio::test]
async fn changed_credential_is_retried_after_a_rejection() {
    let (source, cache) = rejected().await;
    source.respond(ONE_HOUR);
    cache.token().await.unwrap_err();
    source.set_changed(true);
    assert_eq!(cache.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn slow_file_check_blocks_no_other_caller() {
    let (source, cache) = cached(ONE_HOUR).await;
    source.respond(REJECTED);
    source.clock.advance(Duration::from_secs(3500));
    call_and_settle(&cache).await;
    source.clock.advance(Duration::from_secs(31));

    let (sender, served) = std::sync::mpsc::channel();
    let check = source.script.has_changed.lock().unwrap();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, sender) = (cache.clone(), sender.clone());
            let handle = tokio::runtime::Handle::current();
            thread::spawn(move || {
                let _entered = handle.enter();
                sender.send(cache.cached().is_some()).unwrap();
            })
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(served.recv_timeout(SECOND * 10), Ok(true));
    }
    drop(check);
    for caller in callers {
        caller.join().unwrap();
    }
}

#[tokio::test]
async fn refresh_after_a_slow_file_check_is_not_abandoned() {
    for is_valid in [true, false] {
        let (source, cache) = gated(ONE_HOUR);
        let mut calls = 1;
        if is_valid {
            source.release();
            cache.token().await.unwrap();
            source.clock.advance(Duration::from_secs(3400));
            cache.cached().unwrap();
            calls += 1;
        }
        source.respond(REJECTED);
        source.release();
        if !is_valid {
            cache.token().await.unwrap_err();
        }
        settle().await;
        source.clock.advance(Duration::from_secs(31));

        source.set_changed(true);
        *source.script.check_time.lock().unwrap() = ABANDON_AFTER + SECOND;
        for _ in 0..3 {
            spawn_caller(&cache);
            settle().await;
        }
        assert_eq!(source.calls(), calls + 1, "{is_valid}");
    }
}
