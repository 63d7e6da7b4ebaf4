//! Batches of calls.

use earthengine::rest::{Client, ErrorKind};
use earthengine::{BatchResponse, Operation};
use ee_emulator::Fault;
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, constant, quick};

fn compute(value: i64) -> Value {
    json!({"expression": constant(value)})
}

async fn two(client: &Client) -> Result<BatchResponse, earthengine::rest::Error> {
    let batch = client.batch().post("a", "value:compute", &compute(1));
    batch.post("b", "value:compute", &compute(2)).send().await
}

#[tokio::test]
async fn batch_responses_match_ids_and_fail_separately() {
    let (emulator, ee) = connected().await;
    emulator.clear_requests();
    let response = ee
        .client()
        .batch()
        .post("three", "value:compute", &compute(3))
        .get("config", "config")
        .get("gone", "operations/GONE")
        .post("wrong", "value:compute", &json!({}))
        .delete("denied", "projects/earthengine-public/assets/X")
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.json::<Value>("three").unwrap(),
        json!({"result": 3})
    );
    let config: Value = response.json("config").unwrap();
    assert_eq!(config["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
    let failed: Vec<(&str, u16)> = response
        .failures()
        .map(|(id, error)| (id, error.api().unwrap().status.as_u16()))
        .collect();
    assert_eq!(failed, [("denied", 403), ("gone", 404), ("wrong", 400)]);
    let error = response.json::<Operation>("gone").unwrap_err();
    assert!(error.to_string().contains("operations/GONE"), "{error}");
    assert!(response.get("unknown").is_none());
    assert_eq!(emulator.requests_to(EARTHENGINE).len(), 1);
}

#[tokio::test]
async fn batch_is_retried_only_if_all_calls_are_idempotent() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.fault(EARTHENGINE, Fault::status(503));
    assert_eq!(
        two(&client).await.unwrap().json::<Value>("b").unwrap(),
        json!({"result": 2})
    );
    emulator.fault(EARTHENGINE, Fault::status(503));
    let copy = json!({"destinationName": "projects/ee-demo-project/assets/b"});
    let batch = client.batch().get("a", "config");
    let batch = batch.post("b", "projects/ee-demo-project/assets/a:copy", &copy);
    assert_eq!(batch.send().await.unwrap_err().attempts(), 1);
}

#[tokio::test]
async fn exports_in_a_batch_start_one_task_each() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let export = json!({
        "expression": constant(1),
        "assetExportOptions": {"earthEngineDestination": {"name": "projects/ee-demo-project/assets/x"}},
    });
    // The tasks are started, and the response is lost.
    emulator.fault(EARTHENGINE, Fault::truncate_body(10));
    let batch = client.batch().post("1", "image:export", &export);
    let response = batch
        .post("2", "image:export", &export)
        .send()
        .await
        .unwrap();
    assert_eq!(response.failures().count(), 0);
    assert_eq!(emulator.operations().len(), 2);
}

#[tokio::test]
async fn batch_with_an_expired_token_is_retried_with_a_new_one() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.expire_tokens();
    emulator.clear_requests();
    let response = two(&client).await.unwrap();
    assert_eq!(response.failures().count(), 0);
    assert_eq!(emulator.requests_to(EARTHENGINE).len(), 2);
    two(&client).await.unwrap();
    assert_eq!(emulator.requests_to(EARTHENGINE).len(), 3);
}

#[tokio::test]
async fn malformed_batch_response_fails_the_affected_calls() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let part = |id: &str, http: &str| {
        format!(
            "--x\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n{http}\r\n"
        )
    };
    let ok = "HTTP/1.1 200 OK\r\n\r\n{\"result\": 1}";
    for (body, failed) in [
        (part("a", ok) + "--x--", &["b"][..]),
        (part("a", ok) + &part("a", ok) + "--x--", &["a", "b"]),
        (part("a", ok) + &part("c", ok) + "--x--", &["b"]),
        (
            part("a", ok)
                + &part(
                    "b",
                    "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{}",
                )
                + "--x--",
            &["b"],
        ),
        (part("a", ok) + &part("b", "nonsense") + "--x--", &["b"]),
        (part("a", ok) + &part("b", ok), &["b"]),
        ("--x--".to_owned(), &["a", "b"]),
    ] {
        emulator.fault(
            EARTHENGINE,
            Fault::respond(200, "multipart/mixed; boundary=x", body.clone()),
        );
        let response = two(&client).await.unwrap();
        let found: Vec<&str> = response.failures().map(|(id, _)| id).collect();
        assert_eq!(found, failed, "{body}");
        for (_, error) in response.failures() {
            assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}");
        }
    }
    for (content_type, body) in [
        ("text/html", "<html>".to_owned()),
        ("multipart/mixed; boundary=x", String::new()),
        ("multipart/mixed", part("a", ok)),
        (
            "multipart/mixed; boundary=x",
            part("a", ok).repeat(3) + "--x--",
        ),
    ] {
        emulator.fault(EARTHENGINE, Fault::respond(200, content_type, body));
        assert_eq!(
            two(&client).await.unwrap_err().kind(),
            ErrorKind::InvalidResponse
        );
    }
}

#[tokio::test]
async fn invalid_batch_is_not_sent() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.clear_requests();
    let start = || client.batch().get("a", "config");
    for batch in [
        start().get("a", "algorithms"),
        start().get("", "config"),
        start().get("x>\r\nEvil: 1", "config"),
        start().get("b", "config?x=y"),
        start().get("b", "../config"),
        start().get("b", "$batch"),
        (0..1000).fold(start(), |batch, n| batch.get(n.to_string(), "config")),
    ] {
        let error = batch.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
    assert_eq!(client.batch().send().await.unwrap().iter().count(), 0);
    assert!(emulator.requests_to(EARTHENGINE).is_empty());
}
