//! Lists in pages: whole, broken, resumed.

use earthengine::PageCursor;
use earthengine::rest::{Client, ErrorKind, ItemStream};
use ee_emulator::{Emulator, Fault};
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, constant, quick};

fn features(count: usize) -> Value {
    let feature = |n| json!({"type": "Feature", "geometry": null, "properties": {"n": n}});
    constant((0..count).map(feature).collect::<Vec<Value>>())
}

fn items(client: &Client, count: usize) -> ItemStream<Value> {
    let listing = client.compute_features(&features(count)).unwrap();
    listing.page_size(3).items()
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
async fn items_come_in_order_over_all_pages() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let all = items(&client, 8).all().await.unwrap();
    assert_eq!(numbers(&all), (0..8).collect::<Vec<_>>());
    assert_eq!(pages_asked(&emulator), 3);
    assert!(items(&client, 0).all().await.unwrap().is_empty());
    let mut pages = client
        .compute_features::<Value>(&features(4))
        .unwrap()
        .page_size(3)
        .pages();
    assert_eq!(pages.next_page().await.unwrap().unwrap().items.len(), 3);
    assert_eq!(
        pages.next_page().await.unwrap().unwrap().next_page_token,
        None
    );
    assert!(pages.next_page().await.is_none());
    assert_eq!(pages.position(), None);
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_of_paging_is_renewed() {
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
async fn half_a_page_is_asked_for_again_and_nothing_comes_twice() {
    let (emulator, ee) = connected().await;
    emulator.fault(EARTHENGINE, Fault::truncate_body(40));
    emulator.fault(EARTHENGINE, Fault::disconnect());
    let all = items(&quick(&ee), 8).all().await.unwrap();
    assert_eq!(numbers(&all), (0..8).collect::<Vec<_>>());
    assert_eq!(emulator.faults_left(EARTHENGINE), 0);
}

#[tokio::test]
async fn a_list_that_failed_goes_on_where_it_was() {
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
    // In another process, perhaps.
    let kept = serde_json::to_string(first.position().unwrap()).unwrap();
    let at: PageCursor = serde_json::from_str(&kept).unwrap();
    let pages = client
        .compute_features::<Value>(&features(8))
        .unwrap()
        .page_size(3)
        .pages();
    seen.extend(pages.resume(at).items().all().await.unwrap());
    assert_eq!(numbers(&seen), (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_place_in_a_list_is_one_to_go_on_from() {
    let (_emulator, ee) = connected().await;
    let client = quick(&ee);
    for stop in 0..=8 {
        let mut first = items(&client, 8);
        let mut seen = Vec::new();
        for _ in 0..stop {
            seen.push(first.next().await.unwrap().unwrap());
        }
        if let Some(at) = first.position().cloned() {
            let pages = client
                .compute_features::<Value>(&features(8))
                .unwrap()
                .page_size(3)
                .pages();
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
async fn a_page_that_makes_no_sense_is_an_error_and_the_end() {
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
    // A page that leads to itself would never end.
    let circle = r#"{"features": [{}], "nextPageToken": "again"}"#;
    emulator.fault(
        EARTHENGINE,
        Fault::respond(200, "application/json", circle).times(2),
    );
    let error = items(&client, 8).all().await.unwrap_err();
    assert!(error.to_string().contains("the same page"), "{error}");
}
