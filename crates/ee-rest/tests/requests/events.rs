//! Client events.

use std::sync::{Arc, Mutex};

use ee_emulator::Fault;
use ee_rest::{ClientEvent, ErrorKind};
use http::Method;
use serde_json::{Value, json};

use super::*;

/// Returns a client that records its events.
fn recording_client(setup: &Setup) -> (Client, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let client = setup.client().on_event(move |event| {
        log.lock().unwrap().push(match event {
            ClientEvent::QuotaStatus { restricted, .. } => format!("restricted: {restricted}"),
            ClientEvent::InitMessage(text) => format!("message: {text}"),
            ClientEvent::Profile { id, path, .. } => format!("profile {id} of {path}"),
            ClientEvent::Retry { error, .. } => format!("retry after {:?}", error.kind()),
            ClientEvent::Outage { error, .. } => format!("outage after {:?}", error.kind()),
            ClientEvent::ConcurrencyReduced { limit, .. } => format!("limit {limit}"),
            other => format!("{other:?}"),
        });
    });
    (client.build().unwrap(), events)
}

fn response_with(header: &str, value: &str) -> Fault {
    Fault::status(200)
        .json(&json!({"result": 1}))
        .header(header, value)
}

#[tokio::test]
async fn restricted_mode_is_reported_once_and_lowers_the_limit() {
    let setup = Setup::new().await;
    let (client, events) = recording_client(&setup);
    assert_eq!(client.is_in_restricted_mode(), None);
    let header = "x-earth-engine-quota-status";
    setup.fault(response_with(header, "tier=community;parallelism_restricted=true").times(3));
    setup.fault(response_with(
        header,
        "tier=community;parallelism_restricted=false",
    ));
    for _ in 0..3 {
        client.compute::<usize>(&constant(1)).await.unwrap();
    }
    assert_eq!(client.is_in_restricted_mode(), Some(true));
    let restricted = client.concurrency_limit().unwrap();
    assert!(restricted < 40, "{restricted}");
    client.compute::<usize>(&constant(1)).await.unwrap();
    assert_eq!(client.is_in_restricted_mode(), Some(false));
    assert_eq!(
        *events.lock().unwrap(),
        [
            "restricted: true".to_owned(),
            format!("limit {restricted}"),
            "restricted: false".to_owned(),
        ]
    );
}

#[tokio::test]
async fn profile_ids_are_reported_even_for_failures() {
    let setup = Setup::new().await;
    let (client, events) = recording_client(&setup);
    let header = "x-earth-engine-computation-profile";
    setup.fault(response_with(header, "abc"));
    let profiled = client.with_profiling(true);
    let request = profiled.request(Method::POST, "value:compute");
    let response = request.json(&json!({})).send().await.unwrap();
    assert_eq!(response.profile_id().as_deref(), Some("abc"));
    setup.fault(Fault::status(400).header(header, "def"));
    let request = client.request(Method::POST, "value:compute");
    request.profiling(true).send().await.unwrap_err();
    let request = profiled.request(Method::POST, "value:compute");
    let plain = request.json(&json!({"expression": constant(1)}));
    plain.profiling(false).send().await.unwrap();
    let path = format!("v1/projects/{PROJECT}/value:compute");
    let expected = [
        format!("profile abc of {path}"),
        format!("profile def of {path}"),
    ];
    assert_eq!(*events.lock().unwrap(), expected);
    let profiled: Vec<bool> = setup
        .emulator
        .requests_to(EARTHENGINE)
        .iter()
        .map(|request| {
            request
                .headers
                .contains_key("x-earth-engine-computation-profiling")
        })
        .collect();
    assert_eq!(profiled, [true, true, false]);
}

#[tokio::test]
async fn server_message_is_reported_once() {
    let setup = Setup::new().await;
    let (client, events) = recording_client(&setup);
    setup.fault(response_with("x-earth-engine-init-message", "Welcome back.").times(2));
    for _ in 0..2 {
        let response = client.request(Method::GET, "config").send().await.unwrap();
        assert_eq!(response.init_message().as_deref(), Some("Welcome back."));
    }
    assert_eq!(*events.lock().unwrap(), ["message: Welcome back."]);
}

#[tokio::test]
async fn retries_and_limit_reductions_are_reported() {
    let setup = Setup::new().await;
    let (client, events) = recording_client(&setup);
    setup.fault(Fault::status(503));
    setup.fault(Fault::status(429));
    client.compute::<usize>(&constant(1)).await.unwrap();
    let limit = client.concurrency_limit().unwrap();
    assert!(limit < 40, "{limit}");
    let expected = [
        "retry after ServerError".to_owned(),
        format!("limit {limit}"),
        "retry after QuotaExceeded".to_owned(),
    ];
    assert_eq!(*events.lock().unwrap(), expected);
}

#[tokio::test]
async fn workload_tag_is_sent_where_each_method_expects_it() {
    let setup = Setup::new().await;
    let client = setup.client().workload_tag("default-tag").build().unwrap();
    setup.fault(Fault::status(200).json(&json!({})).times(usize::MAX));
    let sent = async |client: &Client, path: &str, tag: Option<&str>, body: Value| {
        setup.emulator.clear_requests();
        let mut request = client.request(Method::POST, path).json(&body);
        if let Some(tag) = tag {
            request = request.workload_tag(tag);
        }
        request.send().await.unwrap();
        let sent = setup.emulator.requests().pop().unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let in_body = body["workloadTag"].as_str().unwrap_or("-").to_owned();
        (in_body, sent.query)
    };
    let scoped = client.with_workload_tag("scoped").unwrap();
    let none = client.with_workload_tag("").unwrap();
    let own = json!({"workloadTag": "own"});
    for (client, path, tag, body, in_body, query) in [
        (&client, "value:compute", None, json!({}), "default-tag", ""),
        (
            &client,
            "value:compute",
            Some("mine"),
            json!({}),
            "mine",
            "",
        ),
        (&client, "value:compute", Some(""), json!({}), "-", ""),
        (&client, "value:compute", Some("mine"), own, "own", ""),
        (&scoped, "image:export", None, json!({"a": 1}), "scoped", ""),
        (&scoped, "maps", None, json!({}), "-", "workloadTag=scoped"),
        (&none, "value:compute", None, json!({}), "-", ""),
        (&scoped, "assets/a:getIamPolicy", None, json!({}), "-", ""),
    ] {
        let (in_sent_body, sent_query) = sent(client, path, tag, body).await;
        assert_eq!(
            (in_sent_body.as_str(), sent_query.as_str()),
            (in_body, query),
            "{path}"
        );
    }
    let invalid = client.request(Method::POST, "maps").workload_tag("No Tag");
    assert_eq!(
        invalid.send().await.unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
    assert!(setup.client().workload_tag("No Tag").build().is_err());
    assert!(client.with_workload_tag("-x").is_err());
}
