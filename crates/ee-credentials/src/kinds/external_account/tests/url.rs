use super::*;

#[tokio::test]
async fn retry_after_beyond_the_limit_prevents_a_retry() {
    let machine = Machine::new().await;
    machine.serve(Fault::status(503).header("Retry-After", "3600").times(5));
    let error = machine
        .token_error(json!({"url": "https://tokens.example.com/"}))
        .await;
    assert!(error.is_transient(), "{error}");
    assert_eq!(machine.emulator.requests().len(), 1);
}

#[tokio::test]
async fn url_without_a_token_is_named() {
    use Token::{InvalidCredential, InvalidResponse, UnconfirmedRejection as Unconfirmed};
    let machine = Machine::new().await;
    let source = json!({"url": "https://tokens.example.com/x?secret=canary", "headers": {"Authorization": "canary"}});
    let long = "x".repeat((1 << 20) + 1);
    let text = |body: &[u8]| Fault::respond(200, "text/plain", body.to_vec());
    for (fault, kind, named) in [
        (
            Fault::status(302).header("Location", "https://evil.example/"),
            Unconfirmed,
            "redirect",
        ),
        (
            Fault::respond(200, "text/html", "<p>canary"),
            Unconfirmed,
            "HTML",
        ),
        (text(b"<p>canary"), Unconfirmed, "HTML"),
        (text(b""), InvalidCredential, "empty"),
        (text(&[0xff, 0xfe]), InvalidCredential, "not text"),
        (text(long.as_bytes()), InvalidResponse, "longer than"),
        (Fault::status(403).body("canary"), Unconfirmed, "403"),
    ] {
        machine.serve(fault);
        let error = machine.token_error(source.clone()).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains("tokens.example.com"), "{error}");
    }
    assert!(machine.emulator.requests_to("evil.example").is_empty());
    machine.serve(Fault::status(503));
    machine.serve(text(machine.token.as_bytes()));
    machine.check_source(source).await;
}
