//! Programs whose runtime goes away in the middle of things.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use earthengine::Credentials;
use earthengine::token::{ManualClock, TokenCache};
use ee_emulator::Fault;
use tokio::runtime::Runtime;

use crate::clocks::renewing;
use crate::town::{Host, NO_HANG, Town};

/// Three runtimes: the servers', one that goes away, and the next.
fn runtimes() -> [Runtime; 3] {
    [(); 3].map(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

fn town(servers: &Runtime) -> (Arc<Town>, Credentials) {
    servers.block_on(async {
        let town = Town::new().await;
        let credentials = town.credentials(Host::Token, &town.options()).await;
        (Arc::new(town), credentials)
    })
}

/// One request is not answered as long as anybody lives.
fn never() -> Fault {
    Fault::delay(Duration::from_secs(100 * 24 * 3600))
}

#[test]
fn a_runtime_that_goes_away_in_the_middle_of_a_refresh_leaves_it_to_the_next() {
    let [servers, first, second] = runtimes();
    let (town, credentials) = town(&servers);
    let front = town.front(Host::Token);
    town.emulator.fault(Host::Token.name(), never());
    let asking = credentials.clone();
    first.spawn(async move { asking.token().await });
    servers.block_on(front.wait_for_requests(1));

    // Somebody on another runtime waits for the same refresh, and did before that went away.
    let mut waiting = Box::pin(credentials.token());
    let waits = second.block_on(poll_fn(|cx| {
        Poll::Ready(waiting.as_mut().poll(cx).is_pending())
    }));
    assert!(waits);
    drop(first);
    let soon = async { tokio::time::timeout(NO_HANG, waiting).await };
    let token = second.block_on(soon).unwrap().unwrap();
    // Nobody asked a third time; the runtime that is left has the token too.
    assert_eq!(front.requests(), 2);
    let again = servers.block_on(credentials.token()).unwrap();
    assert!(again.secret_eq(&token));
    assert_eq!(front.requests(), 2);
}

#[test]
fn a_runtime_that_goes_away_behind_a_valid_token_costs_nobody_a_wait() {
    let [servers, first, second] = runtimes();
    let (town, credentials) = town(&servers);
    let front = town.front(Host::Token);
    let clock = ManualClock::new();
    let cache: TokenCache = renewing(credentials, &clock);
    let token = first.block_on(cache.token()).unwrap();
    town.emulator.fault(Host::Token.name(), never());
    clock.advance(Duration::from_secs(3600 - 200));
    assert!(first.block_on(cache.token()).unwrap().secret_eq(&token));
    servers.block_on(front.wait_for_requests(2));
    drop(first);

    assert!(second.block_on(cache.token()).unwrap().secret_eq(&token));
    second.block_on(async {
        let renewed = crate::clocks::renewed(&cache, &clock, &token);
        tokio::time::timeout(NO_HANG, renewed).await.unwrap();
    });
    assert_eq!(front.requests(), 3);
}
