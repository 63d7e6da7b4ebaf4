//! The layer around a service that records its requests.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use ee_token::{ManualClock, TokenCache, source_fn};

use super::*;
use crate::tests::counting_source;

/// Responds with these statuses, and then with 200. Enforces `tower`'s contract: calling it before
/// it is ready panics.
#[derive(Default)]
struct Fake {
    ready: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    statuses: Mutex<VecDeque<u16>>,
    requests: Mutex<Vec<Request<&'static str>>>,
}

impl Clone for Fake {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            shared: self.shared.clone(),
        }
    }
}

impl Service<Request<&'static str>> for Fake {
    type Response = Response<()>;
    type Error = std::io::Error;
    type Future = Ready<Result<Response<()>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before ready");
        self.shared.requests.lock().unwrap().push(request);
        let status = self.shared.statuses.lock().unwrap().pop_front();
        let response = Response::builder().status(status.unwrap_or(200));
        ready(Ok(response.body(()).unwrap()))
    }
}

fn fake(statuses: &[u16]) -> Fake {
    let fake = Fake::default();
    fake.shared.statuses.lock().unwrap().extend(statuses);
    fake
}

async fn call(layer: &AuthLayer, fake: &Fake, uri: &str) -> Result<u16, BoxError> {
    let mut service = layer.layer(fake.clone());
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    let request = Request::post(uri).body("the body").unwrap();
    Ok(service.call(request).await?.status().as_u16())
}

const URI: &str = "https://earthengine.googleapis.com/v1/projects/p/value:compute";

#[tokio::test]
async fn request_gets_token_project_and_client_version() {
    let (source, _) = counting_source();
    let auth = Auth::token_cache(TokenCache::new(source)).with_api_key("AIza-key".into());
    let layer = AuthLayer::new(auth)
        .unwrap()
        .quota_project("p-12345")
        .unwrap();
    let fake = fake(&[]);
    assert_eq!(call(&layer, &fake, URI).await.unwrap(), 200);
    let requests = fake.shared.requests.lock().unwrap();
    let headers = requests[0].headers();
    assert_eq!(headers["authorization"], "Bearer token-1");
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers["x-goog-api-key"], "AIza-key");
    assert_eq!(headers["x-goog-user-project"], "p-12345");
    assert_eq!(headers["x-goog-api-client"], CLIENT_VERSION);
    assert!(!format!("{layer:?}").contains("AIza"));
}

#[tokio::test]
async fn rejected_token_is_renewed_and_the_request_resent_once() {
    for (statuses, seen, requests, fetched) in [
        (&[401][..], 200, 2, 2),
        (&[401, 401], 401, 2, 2),
        (&[403], 403, 1, 1),
        (&[503], 503, 1, 1),
    ] {
        let (source, count) = counting_source();
        let layer = AuthLayer::new(Auth::token_cache(TokenCache::new(source))).unwrap();
        let fake = fake(statuses);
        assert_eq!(call(&layer, &fake, URI).await.unwrap(), seen);
        let sent = fake.shared.requests.lock().unwrap();
        assert_eq!(
            (sent.len(), count.load(Ordering::SeqCst)),
            (requests, fetched)
        );
        assert!(sent.iter().all(|request| *request.body() == "the body"));
        if requests == 2 {
            assert_eq!(sent[1].headers()["authorization"], "Bearer token-2");
        }
    }
}

#[tokio::test]
async fn service_that_rejects_every_token_is_sent_few() {
    let clock = ManualClock::new();
    let (source, count) = counting_source();
    let tokens = TokenCache::with_clock(source, &clock);
    let layer = AuthLayer::new(Auth::token_cache(tokens.clone())).unwrap();
    let rejecting = fake(&[401; 1000]);
    for (minted, seconds) in (2..).zip([1, 2, 4]) {
        for _ in 0..50 {
            assert_eq!(call(&layer, &rejecting, URI).await.unwrap(), 401);
        }
        assert_eq!(count.load(Ordering::SeqCst), minted);
        clock.advance(std::time::Duration::from_secs(seconds));
    }
    // A renewed token that is accepted ends the backoff, whatever else the status says.
    assert_eq!(call(&layer, &fake(&[401, 403]), URI).await.unwrap(), 403);
    let current = tokens.cached().unwrap();
    assert!(tokens.renew(&current).await.unwrap().is_some());
}

#[tokio::test]
async fn unchanged_token_is_not_sent_twice() {
    let source = source_fn(|| async { AccessToken::new("always-the-same") });
    let layer = AuthLayer::new(Auth::token_cache(TokenCache::new(source))).unwrap();
    let fake = fake(&[401]);
    assert_eq!(call(&layer, &fake, URI).await.unwrap(), 401);
    assert_eq!(fake.shared.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn token_failure_is_reported_as_a_token_error() {
    let source = source_fn(|| async {
        Err(ee_token::Error::new(
            ee_token::ErrorKind::Rejected,
            "revoked",
        ))
    });
    let layer = AuthLayer::new(Auth::token_cache(TokenCache::new(source))).unwrap();
    let fake = fake(&[]);
    let error = call(&layer, &fake, URI).await.unwrap_err();
    let error: &Error = error.downcast_ref().unwrap();
    assert_eq!(error.kind(), ErrorKind::CredentialsRejected);
    assert!(error.token_error().is_some());
    assert!(fake.shared.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn credentials_go_only_to_google_loopback_and_allowed_hosts() {
    let (source, count) = counting_source();
    let layer = AuthLayer::new(Auth::token_cache(TokenCache::new(source))).unwrap();
    let layer = layer.allow_host("Proxy.Example");
    for (uri, trusted) in [
        ("https://earthengine-highvolume.googleapis.com/v1/x", true),
        ("https://EARTHENGINE.GOOGLEAPIS.COM/v1/x", true),
        ("http://127.0.0.1:8080/x", true),
        ("http://[::1]:8080/x", true),
        ("https://localhost:8080/x", true),
        ("https://proxy.example/x", true),
        ("http://proxy.example/x", false),
        ("http://earthengine.googleapis.com/x", false),
        ("https://googleapis.com.evil.example/x", false),
        ("https://evilgoogleapis.com/x", false),
        ("https://localhost.evil.example/x", false),
        ("http://foo.localhost/x", false),
        ("http://localhost.localdomain/x", false),
        ("http://0x7f.1/x", false),
        ("/only/a/path", false),
    ] {
        let fake = fake(&[]);
        let response = call(&layer, &fake, uri).await;
        assert_eq!(response.is_ok(), trusted, "{uri}");
        assert_eq!(
            fake.shared.requests.lock().unwrap().len(),
            usize::from(trusted)
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn plain_request_to_localhost_goes_to_an_address() {
    let layer = AuthLayer::new(Auth::api_key("AIza-mine".into())).unwrap();
    for (uri, sent) in [
        ("http://localhost:8080/x?y=z", "http://127.0.0.1:8080/x?y=z"),
        ("http://LOCALHOST/x", "http://127.0.0.1/x"),
        ("http://localhost.:8080/x", "http://127.0.0.1:8080/x"),
        ("http://127.0.0.2:8080/x", "http://127.0.0.2:8080/x"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        // Its certificate is for the name.
        ("https://localhost:8080/x", "https://localhost:8080/x"),
    ] {
        let fake = fake(&[]);
        call(&layer, &fake, uri).await.unwrap();
        let requests = fake.shared.requests.lock().unwrap();
        assert_eq!(requests[0].uri().to_string(), sent);
    }
}
