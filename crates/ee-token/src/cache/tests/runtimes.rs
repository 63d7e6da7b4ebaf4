//! Refreshes on runtimes that shut down, are not driven, or are missing.

use super::*;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Calls the cache on a thread and a runtime of its own.
fn spawn_thread(cache: &TokenCache) -> thread::JoinHandle<Result<AccessToken, Error>> {
    let cache = cache.clone();
    thread::spawn(move || runtime().block_on(cache.token()))
}

/// Polls a call once, on the entered runtime if there is one.
fn poll_once(cache: &TokenCache) -> Poll<Result<AccessToken, Error>> {
    let mut context = Context::from_waker(Waker::noop());
    pin!(cache.token()).poll(&mut context)
}

fn assert_runtime_error(poll: Poll<Result<AccessToken, Error>>) {
    match poll {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Runtime),
        other => panic!("{other:?}"),
    }
}

/// Starts a refresh on a runtime that exists but is not driven.
fn undriven_refresh(cache: &TokenCache) -> Runtime {
    let undriven = runtime();
    undriven.block_on(async {
        let start = tokio::time::timeout(Duration::from_millis(20), cache.token());
        let _ = start.await;
        settle().await;
    });
    undriven
}

/// Starts a refresh, abandons it, and replaces it by one with this response.
fn replaced_refresh(source: &Source, cache: &TokenCache, response: Response) -> Runtime {
    let undriven = undriven_refresh(cache);
    source.clock.advance(ABANDON_AFTER);
    source.release();
    source.release();
    source.respond(response);
    let _ = runtime().block_on(cache.token());
    assert_eq!(source.calls(), 2);
    undriven
}

#[test]
fn next_caller_replaces_the_refresh_of_a_dropped_runtime() {
    let (source, cache) = gated(ONE_HOUR);
    let first = undriven_refresh(&cache);
    assert_eq!(source.calls(), 1);

    let waiting = spawn_thread(&cache);
    drop(first);
    while source.calls() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    source.release();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "token-2");
}

#[test]
fn call_on_a_shut_down_runtime_is_an_error() {
    let (source, cache) = setup(ONE_HOUR);
    let shut_down = runtime();
    let handle = shut_down.handle().clone();
    drop(shut_down);
    {
        let _entered = handle.enter();
        assert_runtime_error(poll_once(&cache));
    }
    assert_eq!(source.calls(), 0);
    let token = runtime().block_on(cache.token()).unwrap();
    assert_eq!(token.secret(), "token-1");
}

#[test]
fn stale_token_is_returned_on_a_shut_down_runtime() {
    let (source, cache) = setup(ONE_HOUR);
    let shut_down = runtime();
    shut_down.block_on(cache.token()).unwrap();
    source.clock.advance(Duration::from_secs(3500));
    let handle = shut_down.handle().clone();
    drop(shut_down);
    {
        let _entered = handle.enter();
        assert_eq!(cache.cached().unwrap().secret(), "token-1");
        assert!(matches!(poll_once(&cache), Poll::Ready(Ok(_))));
    }
    source.clock.advance(SECOND * 2);
    runtime().block_on(async {
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        assert_eq!(cache.token().await.unwrap().secret(), "token-2");
    });
}

#[test]
fn call_without_a_runtime_does_not_wait_for_a_refresh() {
    let (source, cache) = gated(ONE_HOUR);
    let first = undriven_refresh(&cache);
    assert_runtime_error(poll_once(&cache));
    source.release();
    let token = first.block_on(cache.token()).unwrap();
    assert_eq!(token.secret(), "token-1");
}

#[test]
fn undriven_refresh_is_abandoned_by_its_age() {
    let (source, cache) = gated(ONE_HOUR);
    let undriven = undriven_refresh(&cache);
    source
        .clock
        .advance(ABANDON_AFTER - Duration::from_millis(50));
    let waiting = spawn_thread(&cache);
    while source.calls() < 2 {
        thread::sleep(Duration::from_millis(1));
        source.clock.advance(Duration::from_millis(1));
    }
    source.release();
    source.release();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "token-2");
    drop(undriven);
}

#[test]
fn undriven_refresh_of_a_stale_token_is_replaced() {
    let (source, cache) = gated(ONE_HOUR);
    source.release();
    runtime().block_on(cache.token()).unwrap();
    source.clock.advance(Duration::from_secs(3400));
    let _undriven = undriven_refresh(&cache);
    assert_eq!(source.calls(), 2);
    runtime().block_on(async {
        source.clock.advance(ABANDON_AFTER - SECOND);
        call_and_settle(&cache).await;
        assert_eq!(source.calls(), 2, "not yet");
        source.clock.advance(SECOND);
        assert_eq!(cache.token().await.unwrap().secret(), "token-1");
        settle().await;
        assert_eq!(source.calls(), 3);
        source.release();
        source.release();
        settle().await;
        assert_eq!(cache.token().await.unwrap().secret(), "token-3");
    });
}

#[test]
fn late_token_replaces_only_tokens_that_expire_earlier() {
    for (late, kept) in [
        (ONE_HOUR, "token-2"),
        (Response::ExpiresIn(Duration::from_secs(9000)), "token-1"),
        (REJECTED, "token-2"),
    ] {
        let (source, cache) = gated(ONE_HOUR);
        let undriven = replaced_refresh(&source, &cache, Response::ExpiresIn(HOUR * 2));
        source.respond(late);
        undriven.block_on(settle());
        assert_eq!(cache.cached().unwrap().secret(), kept);
        assert_eq!(source.calls(), 2);
    }
}

#[test]
fn late_token_clears_the_failure_of_its_replacement() {
    let (source, cache) = gated(ONE_HOUR);
    let undriven = replaced_refresh(&source, &cache, Response::Fails(ErrorKind::Network));
    assert!(runtime().block_on(cache.token()).is_err());
    source.respond(ONE_HOUR);
    undriven.block_on(settle());
    assert_eq!(cache.cached().unwrap().secret(), "token-1");
    let token = runtime().block_on(async {
        let current = cache.cached().unwrap();
        cache.invalidate(&current);
        source.release();
        cache.token().await
    });
    assert_eq!(token.unwrap().secret(), "token-3");
}

#[test]
fn call_without_a_runtime_is_an_error() {
    let (_, cache) = setup(ONE_HOUR);
    assert_runtime_error(poll_once(&cache));
}
