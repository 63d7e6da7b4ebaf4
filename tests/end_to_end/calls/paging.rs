//! Paged lists: complete, interrupted, resumed.

use earthengine::PageCursor;
use earthengine::rest::{Client, ErrorKind, ItemStream, Pages};
use ee_emulator::{Emulator, Fault};
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, constant, quick};

fn features(count: usize) -> Value {
    let feature = |n| json!({"type": "Feature", "geometry": null, "properties": {"n": n}});
    constant((0..count).map(feature).collect::<Vec<Value>>())
}

fn pages(client: &Client, count: usize) -> Pages<Value> {
    let listing = client.compute_features(&features(count)).unwrap();
    listing.page_size(3).pages()
}

fn items(client: &Client, count: usize) -> ItemStream<Value> {
    pages(client, count).items()
}

fn numbers(features: &[Value]) -> Vec<u64> {
    let number = |feature: &Value| feature["properties"]["n"].as_u64().unwrap();
    features.iter().map(number).collect()
}

fn pages_asked(emulator: &Emulator) -> usize {
    let requests = emulator.requests_to(EARTHENGINE);
    requests
        .iter()
        .filter(|r| r.path.ends_with("computeFeatures"))
        .count()
}

#[tokio::test]
async fn items_arrive_in_order_across_pages() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let all = items(&client, 8).all().await.unwrap();
    assert_eq!(numbers(&all), (0..8).collect::<Vec<_>>());
    assert_eq!(pages_asked(&emulator), 3);
    assert!(items(&client, 0).all().await.unwrap().is_empty());
    let mut pages = pages(&client, 4);
    assert_eq!(pages.next_page().await.unwrap().unwrap().items.len(), 3);
    assert_eq!(
        pages.next_page().await.unwrap().unwrap().next_page_token,
        None
    );
    assert!(pages.next_page().await.is_none());
    assert_eq!(pages.position(), None);
}

#[tokio::test]
async fn token_rejected_during_paging_is_renewed() {
    let (emulator, ee) = connected().await;
    let mut items = items(&quick(&ee), 8);
    let mut seen = Vec::new();
    while let Some(item) = items.next().await {
        seen.push(item.unwrap());
        if seen.len() == 2 {
            emulator
                .clock()
                .advance(std::time::Duration::from_secs(2 * 3600));
        }
    }
    assert_eq!(numbers(&seen), (0..8).collect::<Vec<_>>());
    let refused = emulator.requests_to(EARTHENGINE);
    assert_eq!(refused.iter().filter(|r| r.status == Some(401)).count(), 1);
}

#[tokio::test]
async fn truncated_page_is_fetched_again_without_duplicates() {
    let (emulator, ee) = connected().await;
    emulator.fault(EARTHENGINE, Fault::truncate_body(40));
    emulator.fault(EARTHENGINE, Fault::disconnect());
    let all = items(&quick(&ee), 8).all().await.unwrap();
    assert_eq!(numbers(&all), (0..8).collect::<Vec<_>>());
    assert_eq!(emulator.faults_left(EARTHENGINE), 0);
}

#[tokio::test]
async fn failed_list_resumes_at_its_position() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let mut first = items(&client, 8);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(first.next().await.unwrap().unwrap());
    }
    emulator.fault(EARTHENGINE, Fault::status(400));
    let error = first.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(first.next().await.is_none());
    // Possibly in another process.
    let kept = serde_json::to_string(first.position().unwrap()).unwrap();
    let at: PageCursor = serde_json::from_str(&kept).unwrap();
    let pages = pages(&client, 8);
    seen.extend(pages.resume(at).items().all().await.unwrap());
    assert_eq!(numbers(&seen), (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn list_resumes_from_every_cursor() {
    let (_emulator, ee) = connected().await;
    let client = quick(&ee);
    for stop in 0..=8 {
        let mut first = items(&client, 8);
        let mut seen = Vec::new();
        for _ in 0..stop {
            seen.push(first.next().await.unwrap().unwrap());
        }
        if let Some(at) = first.position().cloned() {
            let pages = pages(&client, 8);
            seen.extend(pages.resume(at).items().all().await.unwrap());
        }
        assert_eq!(
            numbers(&seen),
            (0..8).collect::<Vec<_>>(),
            "stopped after {stop}"
        );
    }
}

#[tokio::test]
async fn malformed_page_is_an_error_and_ends_the_list() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    for body in [
        r#"{"features": {}}"#,
        r#"{"features": [], "nextPageToken": 7}"#,
        "[]",
        "<html>",
        "",
    ] {
        emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", body));
        let mut items = items(&client, 8);
        let error = items.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}");
        assert!(items.next().await.is_none(), "{body}");
    }
    // Pages that name each other would never end.
    for length in [1, 2, 5] {
        emulator.clear_faults();
        for page in 0..=length {
            let token = page % length;
            let page = format!(r#"{{"features": [{{}}], "nextPageToken": "{token}"}}"#);
            emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", page));
        }
        let error = items(&client, 8).all().await.unwrap_err();
        assert!(error.to_string().contains("an earlier page"), "{error}");
        assert_eq!(emulator.faults_left(EARTHENGINE), 0);
    }
}

#[tokio::test]
async fn unreachable_locations_are_reported() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let respond = |body: serde_json::Value| {
        let fault = Fault::respond(200, "application/json", body.to_string());
        emulator.fault(EARTHENGINE, fault);
    };
    let pages = [
        json!({"unreachable": ["us"], "nextPageToken": "t"}),
        json!({"operations": [{}], "unreachable": ["us", "eu"]}),
    ];
    pages.clone().into_iter().for_each(respond);
    let mut items = client.operations().list().items();
    assert!(items.unreachable().is_empty());
    assert!(items.next().await.unwrap().is_ok());
    assert!(items.next().await.is_none());
    assert_eq!(items.unreachable(), ["us", "eu"]);
    pages.into_iter().for_each(respond);
    let mut pages = client.operations().list().pages();
    assert_eq!(
        pages.next_page().await.unwrap().unwrap().unreachable,
        ["us"]
    );
    assert_eq!(
        pages.next_page().await.unwrap().unwrap().unreachable.len(),
        2
    );
    // A value of another type fails nothing.
    respond(json!({"unreachable": "us"}));
    let page = client.operations().list().pages().next_page().await;
    assert!(page.unwrap().unwrap().unreachable.is_empty());
}
