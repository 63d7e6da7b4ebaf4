use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Returns tokens that live for these numbers of seconds, and an error afterwards.
fn credentials(lifetimes: &'static [i64]) -> (Credentials, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let credentials = Credentials::from_fn(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let seconds = lifetimes.get(n as usize).ok_or_else(|| {
                Error::new(ee_token::ErrorKind::Network, "the network is unreachable")
            })?;
            let token = AccessToken::new(&format!("token-{n}"))?;
            Ok(token.with_expiry(Utc::now() + TimeDelta::seconds(*seconds)))
        }
    });
    (credentials, calls)
}

fn expires_in(served: &ServedToken) -> i64 {
    let body: serde_json::Value = serde_json::from_slice(&served.body).unwrap();
    assert_eq!(body["access_token"], served.token.secret());
    assert_eq!(body["token_type"], "Bearer");
    body["expires_in"].as_i64().unwrap()
}

#[tokio::test]
async fn body_is_prepared_once_for_a_token_and_a_second() {
    let (credentials, calls) = credentials(&[3600]);
    let tokens = Tokens::new(&credentials, None).unwrap();
    let first = tokens.serve().await.unwrap();
    assert!((3598..=3600).contains(&expires_in(&first)), "{first:?}");
    for _ in 0..1000 {
        tokens.serve().await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let now = Utc::now();
    let again = tokens.prepare(first.token.clone(), now);
    let same = tokens.prepare(first.token.clone(), now);
    assert_eq!(again.body.as_ptr(), same.body.as_ptr());
    let later = tokens.prepare(first.token, now + TimeDelta::seconds(100));
    assert!(expires_in(&later) < expires_in(&same) - 98);
}

#[tokio::test]
async fn no_client_sees_a_token_with_less_than_four_minutes() {
    // The first is the credentials' own, refreshed too late for clients.
    let (credentials, calls) = credentials(&[290, 3600]);
    credentials.token().await.unwrap();
    let tokens = Tokens::new(&credentials, None).unwrap();
    let served = tokens.serve().await.unwrap();
    assert_eq!(served.token.secret(), "token-1");
    assert!(expires_in(&served) > 3590);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn short_tokens_are_served_if_the_source_has_no_others() {
    let (credentials, _) = credentials(&[200, 200]);
    let tokens = Tokens::new(&credentials, None).unwrap();
    let served = tokens.serve().await.unwrap();
    assert!((198..=200).contains(&expires_in(&served)));
}

#[tokio::test]
async fn a_token_that_cannot_be_replaced_is_served_until_it_expires() {
    let (credentials, _) = credentials(&[3600]);
    let tokens = Tokens::new(&credentials, None).unwrap();
    let served = tokens.serve().await.unwrap();
    // The cache asks for another, and there is no network.
    let cached = tokens.cache.cached().unwrap();
    tokens.cache.invalidate(&cached);
    let again = tokens.serve().await.unwrap();
    assert!(again.token.secret_eq(&served.token));
    let error = tokens.cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ee_token::ErrorKind::Network);
}

#[tokio::test]
async fn sleep_costs_one_token_and_a_clock_set_back_none() {
    let (credentials, calls) = credentials(&[3600, 3600]);
    let clock = ee_token::ManualClock::new();
    let mut tokens = Tokens::new(&credentials, None).unwrap();
    tokens.cache = TokenCache::with_clock(EarlySource(tokens.issued.clone()), &clock);
    let first = tokens.serve().await.unwrap();
    clock.set_back(Duration::from_secs(24 * 3600));
    let same = tokens.serve().await.unwrap();
    assert!(same.token.secret_eq(&first.token));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    clock.sleep(Duration::from_secs(26 * 3600));
    let second = tokens.serve().await.unwrap();
    assert_eq!(second.token.secret(), "token-1");
    assert!(expires_in(&second) > 3590);
}

#[tokio::test]
async fn deadline_shortens_tokens() {
    let (credentials, _) = credentials(&[3600]);
    let deadline = Deadline::after(Duration::from_secs(90));
    let tokens = Tokens::new(&credentials, Some(deadline)).unwrap();
    let served = tokens.serve().await.unwrap();
    assert!((88..=90).contains(&expires_in(&served)));
    assert!(served.expires_at <= deadline.time());
}

#[test]
fn cache_replaces_tokens_before_clients_would_see_four_minutes() {
    let now = Utc::now();
    let used = |seconds| {
        let end = now + TimeDelta::seconds(seconds);
        (cached_until(end, now) - now).num_seconds()
    };
    assert_eq!(used(3600), 3600 - 245);
    assert_eq!(used(600), 600 - 245);
    // A source of short tokens is not asked all the time.
    assert_eq!(used(300), 60);
    assert_eq!(used(250), 60);
    assert_eq!(used(100), 50);
}

#[test]
fn secrets_are_escaped_and_never_shown() {
    let token = AccessToken::new(r#"a"b\c"#).unwrap();
    let served = body(&token, 7);
    let value: serde_json::Value = serde_json::from_slice(&served).unwrap();
    assert_eq!(value["access_token"], r#"a"b\c"#);
    let (credentials, _) = credentials(&[3600]);
    let tokens = Tokens::new(&credentials, None).unwrap();
    tokens.prepare(AccessToken::new("ya29.canary").unwrap(), Utc::now());
    assert!(!format!("{tokens:?}").contains("canary"));
}

#[test]
fn issued_token_expires_by_the_clock_that_is_ahead() {
    let now = Utc::now();
    let issued = Issued {
        token: AccessToken::new("t").unwrap(),
        expires_at: Some(now + TimeDelta::seconds(1000)),
        received_at: now,
        received: Instant::now(),
    };
    // The wall clock was set back by an hour, then forward.
    assert!(issued.remaining(now - TimeDelta::hours(1)) <= TimeDelta::seconds(1000));
    assert_eq!(
        issued.remaining(now + TimeDelta::hours(1)),
        TimeDelta::seconds(-2600)
    );
}
