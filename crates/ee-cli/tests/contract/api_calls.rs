//! `eectl api`: fields, headers, pages.

use ee_emulator::Fault;
use serde_json::json;

use super::*;

const API: &str = "earthengine.googleapis.com";

fn last(machine: &Machine) -> ee_emulator::RecordedRequest {
    machine.emulator.requests_to(API).pop().unwrap()
}

#[tokio::test]
async fn fields_make_a_json_body_and_a_post() {
    let machine = Machine::with_key(|b| b).await;
    let text = machine.file("text.txt", "from a file");
    let from_file = format!("expression[values][1][constantValue]=@{text}");
    let result = machine
        .run(&[
            "api",
            "value:compute",
            "-f",
            "expression[result]=0",
            "-F",
            "expression[values][0][constantValue]=7",
            "-F",
            &from_file,
        ])
        .await;
    assert_eq!(result.json(), json!({"result": 7}));
    assert_eq!(
        last(&machine).json(),
        json!({"expression": {"result": "0", "values": {
            "0": {"constantValue": 7}, "1": {"constantValue": "from a file"}}}})
    );
}

#[tokio::test]
async fn typed_and_raw_fields_keep_their_order() {
    let machine = Machine::with_key(|b| b).await;
    let fields = ["-f", "l[]=1", "-F", "l[]=2", "-f", "l[]=3", "-F", "l[]=4"];
    machine
        .run(&[&["api", "value:compute"], &fields[..]].concat())
        .await;
    assert_eq!(last(&machine).json(), json!({"l": ["1", 2, "3", 4]}));
}

#[tokio::test]
async fn fields_with_get_or_input_are_query_parameters() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine
        .run(&[
            "api",
            "-X",
            "GET",
            "operations",
            "-f",
            "pageSize=1",
            "-F",
            "prettyPrint=true",
        ])
        .await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    let sent = last(&machine);
    assert_eq!(
        (sent.method.as_str(), sent.query.as_str()),
        ("GET", "pageSize=1&prettyPrint=true")
    );
    let body = r#"{"expression":{"result":"0","values":{"0":{"constantValue":1}}}}"#;
    let result = machine
        .run_with_input(
            &["api", "value:compute", "--input", "-", "-f", "quotaUser=v"],
            body,
        )
        .await;
    assert_eq!(result.json(), json!({"result": 1}));
    assert_eq!(last(&machine).query, "quotaUser=v");
}

#[tokio::test]
async fn include_prints_status_and_headers_first() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine.run(&["api", "-i", "config"]).await;
    let (head, body) = result.stdout.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP 200 OK\n"), "{head}");
    assert!(head.contains("\ncontent-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
}

#[tokio::test]
async fn headers_are_sent_except_authentication_headers() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine.run(&["api", "config", "-H", "X-Mine: a b"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert_eq!(last(&machine).header("x-mine"), Some("a b"));
    for header in ["Authorization: Bearer x", "X Bad: x", "nothing"] {
        let (status, _) = machine.failure(&["api", "config", "-H", header]).await;
        assert_ne!(status, 0, "{header}");
    }
}

#[tokio::test]
async fn paginate_joins_the_lists_of_all_pages() {
    let machine = Machine::with_key(|b| b).await;
    for page in [
        json!({"operations": [{"name": "a"}], "nextPageToken": "p2"}),
        json!({"operations": [{"name": "b"}], "nextPageToken": "p3"}),
        json!({"operations": [{"name": "c"}]}),
    ] {
        machine.emulator.fault(API, Fault::status(200).json(&page));
    }
    let result = machine
        .run(&["api", "operations", "--paginate", "--query", "pageSize=1"])
        .await;
    assert_eq!(
        result.json(),
        json!({"operations": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    );
    let queries: Vec<_> = machine
        .emulator
        .requests_to(API)
        .into_iter()
        .map(|request| request.query)
        .collect();
    assert_eq!(
        queries,
        [
            "pageSize=1",
            "pageSize=1&pageToken=p2",
            "pageSize=1&pageToken=p3"
        ]
    );
}

#[tokio::test]
async fn paginate_sets_the_page_token_in_a_post_body() {
    let machine = Machine::with_key(|b| b).await;
    for page in [
        json!({"features": [1], "nextPageToken": "p2"}),
        json!({"features": [2]}),
    ] {
        machine.emulator.fault(API, Fault::status(200).json(&page));
    }
    let result = machine
        .run(&[
            "api",
            "table:computeFeatures",
            "-F",
            "pageSize=1",
            "--paginate",
        ])
        .await;
    assert_eq!(result.json(), json!({"features": [1, 2]}));
    assert_eq!(
        last(&machine).json(),
        json!({"pageSize": 1, "pageToken": "p2"})
    );
    assert_eq!(last(&machine).query, "");
}

#[tokio::test]
async fn error_while_paginating_prints_only_the_error() {
    let machine = Machine::with_key(|b| b).await;
    let first = json!({"operations": [], "nextPageToken": "p2"});
    machine.emulator.fault(API, Fault::status(200).json(&first));
    let (status, error) = machine
        .failure(&["api", "nowhere-at-all", "--paginate"])
        .await;
    assert_eq!((status, code(&error)), (6, "not_found"));
}

#[tokio::test]
async fn conflicting_api_arguments_exit_2_without_requests() {
    let machine = Machine::with_key(|b| b).await;
    for arguments in [
        &["api", "GET", "config", "-X", "GET"][..],
        &["api", "-X", "FLY", "config"],
        &["api", "config", "-f", "novalue"],
        &["api", "-i", "--paginate", "config"],
        &["api", "-o", "file", "--paginate", "config"],
        &["api", "-o", "file", "--jq", ".name", "config"],
        &["api", "value:compute", "-f", "a=1", "-f", "a[b]=2"],
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
    }
    assert!(machine.paths().is_empty());
}
