//! Lists, which can be resumed at any position.

use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::tests::client;
use crate::{Client, ItemStream, ListRequest, PageCursor, Pages};

/// Serves a list, given the number of items on each page. The items are consecutive numbers; a
/// page's token is its index.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Vec<usize>>>);

impl Respond for List {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let tokens = request.url.query_pairs().filter(|(n, _)| n == "pageToken");
        let mut tokens: Vec<usize> = tokens.map(|(_, t)| t.parse().unwrap()).collect();
        if let Ok(body) = request.body_json::<serde_json::Value>() {
            tokens.extend(
                body["pageToken"]
                    .as_str()
                    .map(|t| t.parse::<usize>().unwrap()),
            );
        }
        assert!(tokens.len() < 2, "{tokens:?}");
        let page = tokens.pop().unwrap_or(0);
        let sizes = self.0.lock().unwrap();
        let before: usize = sizes[..page].iter().sum();
        let items: Vec<usize> = (before..before + sizes[page]).collect();
        let next = (page + 1 < sizes.len()).then(|| (page + 1).to_string());
        ResponseTemplate::new(200)
            .set_body_json(json!({"operations": items, "features": items, "nextPageToken": next}))
    }
}

fn list_request(client: &Client, posted: bool) -> ListRequest<usize> {
    if posted {
        client.compute_features(&json!({})).unwrap().0
    } else {
        ListRequest::get(client, "operations".into(), "operations")
    }
}

async fn remaining(pages: Pages<usize>, from: Option<PageCursor>) -> Vec<usize> {
    match from {
        Some(at) => pages.resume(at).items().all().await.unwrap(),
        None => Vec::new(),
    }
}

async fn take(items: &mut ItemStream<usize>, max: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while taken.len() < max
        && let Some(item) = items.next().await
    {
        taken.push(item.unwrap());
    }
    taken
}

#[test]
fn resumed_list_yields_exactly_the_remaining_items() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let list = List::default();
    let server = runtime.block_on(MockServer::start());
    runtime.block_on(Mock::given(any()).respond_with(list.clone()).mount(&server));
    let client = client(&server);
    let sizes = vec(0..4_usize, 1..6);
    let mut runner = TestRunner::new(Config::with_cases(40));
    let drawn = (sizes, 0..20_usize, 0..20_usize, proptest::bool::ANY);
    let result = runner.run(&drawn, |(sizes, first, second, posted)| {
        let all: Vec<usize> = (0..sizes.iter().sum()).collect();
        let pages_in_all = sizes.len();
        *list.0.lock().unwrap() = sizes;
        runtime.block_on(async {
            let pages = || list_request(&client, posted).pages();
            // Items, interrupted twice.
            let mut items = pages().items();
            let mut seen = take(&mut items, first).await;
            if let Some(at) = items.position().cloned() {
                let mut items = pages().resume(at).items();
                seen.extend(take(&mut items, second).await);
                seen.extend(remaining(pages(), items.position().cloned()).await);
            }
            assert_eq!(seen, all);
            // Pages, and then the items of the remaining pages.
            let mut some = pages();
            let mut seen = Vec::new();
            for _ in 0..first.min(pages_in_all) {
                seen.extend(some.next_page().await.unwrap().unwrap().items);
            }
            let items = some.items();
            let at = items.position().cloned();
            assert_eq!(at.is_none(), first >= pages_in_all);
            let left = items.all().await.unwrap();
            assert_eq!(remaining(pages(), at).await, left);
            seen.extend(left);
            assert_eq!(seen, all);
        });
        Ok(())
    });
    result.unwrap();
}

#[tokio::test]
async fn list_can_start_at_a_page_token() {
    let list = List(Arc::new(Mutex::new([2, 2, 2].into())));
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(list).mount(&server).await;
    for posted in [false, true] {
        let from = list_request(&client(&server), posted).option("pageToken", "1");
        assert_eq!(from.items().all().await.unwrap(), [2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn items_are_parsed_one_by_one_and_pages_within_a_bound() {
    let server = MockServer::start().await;
    let page = r#" {"nextPageToken": "x", "features": [] , "features": [ 0,1 ,2, "three",4 ]}"#;
    let page = ResponseTemplate::new(200).set_body_string(page);
    Mock::given(any()).respond_with(page).mount(&server).await;
    let mut items = list_request(&client(&server), true).items();
    assert_eq!(take(&mut items, 3).await, [0, 1, 2]);
    let error = items.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("features[3]"), "{error}");
    assert_eq!(items.position().unwrap().skip, 3);
    assert!(items.next().await.is_none());

    let page = format!(r#"{{"features": [0{}]}}"#, ",0".repeat(9_000_000));
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_string(page);
    Mock::given(any()).respond_with(page).mount(&server).await;
    let mut pages = list_request(&client(&server), true).pages();
    let error = pages.next_page().await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("more than 8388608 items"),
        "{error}"
    );
    assert!(error.remedy().text.contains("page size"));
    assert_eq!(pages.position(), Some(&PageCursor::default()));
    let mut items = list_request(&client(&server), true).items();
    let mut count = 0;
    while let Some(item) = items.next().await {
        count += 1 + item.unwrap();
    }
    assert_eq!(count, 9_000_001);
}

#[tokio::test]
async fn null_removes_a_list_option() {
    let list = List(Arc::new(Mutex::new([2, 2].into())));
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(list).mount(&server).await;
    for posted in [false, true] {
        let list = list_request(&client(&server), posted).option("pageToken", "1");
        let list = list.option("pageToken", ()).option("filter", ());
        assert_eq!(list.items().all().await.unwrap(), [0, 1, 2, 3]);
    }
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent[0].url.query(), None);
}
