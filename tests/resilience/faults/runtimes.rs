//! Runtimes that are dropped during a refresh.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use earthengine::Credentials;
use earthengine::token::{ManualClock, TokenCache};
use ee_emulator::Fault;
use tokio::runtime::Runtime;

use crate::clocks::{renewed, renewing};
use crate::google_hosts::{GoogleHosts, Host, TEST_TIMEOUT};

/// Returns three runtimes: for the servers, one that is dropped, and the next.
fn runtimes() -> [Runtime; 3] {
    [(); 3].map(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

fn google(servers: &Runtime) -> (Arc<GoogleHosts>, Credentials) {
    servers.block_on(async {
        let google = GoogleHosts::new().await;
        let credentials = google.credentials(Host::Token, &google.options()).await;
        (Arc::new(google), credentials)
    })
}

/// Returns a fault that never responds to one request.
fn never() -> Fault {
    Fault::delay(Duration::from_secs(100 * 24 * 3600))
}

#[test]
fn refresh_of_a_dropped_runtime_is_taken_over() {
    let [servers, first, second] = runtimes();
    let (google, credentials) = google(&servers);
    let server = google.server(Host::Token);
    google.emulator.fault(Host::Token.name(), never());
    let refreshing = credentials.clone();
    first.spawn(async move { refreshing.token().await });
    servers.block_on(server.wait_for_requests(1));

    // Another runtime waits for the same refresh before the first one is dropped.
    let mut waiting = Box::pin(credentials.token());
    let is_waiting = second.block_on(poll_fn(|cx| {
        Poll::Ready(waiting.as_mut().poll(cx).is_pending())
    }));
    assert!(is_waiting);
    drop(first);
    let in_time = async { tokio::time::timeout(TEST_TIMEOUT, waiting).await };
    let token = second.block_on(in_time).unwrap().unwrap();
    // There was no third request, and the remaining runtime has the token too.
    assert_eq!(server.requests(), 2);
    let again = servers.block_on(credentials.token()).unwrap();
    assert!(again.secret_eq(&token));
    assert_eq!(server.requests(), 2);
}

#[test]
fn dropped_runtime_does_not_block_background_refresh() {
    let [servers, first, second] = runtimes();
    let (google, credentials) = google(&servers);
    let server = google.server(Host::Token);
    let clock = ManualClock::new();
    let cache: TokenCache = renewing(credentials, &clock);
    let token = first.block_on(cache.token()).unwrap();
    google.emulator.fault(Host::Token.name(), never());
    clock.advance(Duration::from_secs(3600 - 200));
    assert!(first.block_on(cache.token()).unwrap().secret_eq(&token));
    servers.block_on(server.wait_for_requests(2));
    drop(first);

    assert!(second.block_on(cache.token()).unwrap().secret_eq(&token));
    second.block_on(async {
        let renewal = renewed(&cache, &clock, &token);
        tokio::time::timeout(TEST_TIMEOUT, renewal).await.unwrap();
    });
    assert_eq!(server.requests(), 3);
}
