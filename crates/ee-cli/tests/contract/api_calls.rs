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
    let text = machine
        .file("text.txt", "from a file")
        .display()
        .to_string();
    let from_file = format!("expression[values][1][constantValue]=@{text}");
    let ended = machine
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
    assert_eq!(ended.json(), json!({"result": 7}));
    assert_eq!(
        last(&machine).json(),
        json!({"expression": {"result": "0", "values": {
            "0": {"constantValue": 7}, "1": {"constantValue": "from a file"}}}})
    );
}

#[tokio::test]
async fn fields_of_both_kinds_keep_their_order() {
    let machine = Machine::with_key(|b| b).await;
    let fields = ["-f", "l[]=1", "-F", "l[]=2", "-f", "l[]=3", "-F", "l[]=4"];
    machine
        .run(&[&["api", "value:compute"], &fields[..]].concat())
        .await;
    assert_eq!(last(&machine).json(), json!({"l": ["1", 2, "3", 4]}));
}

#[tokio::test]
async fn fields_of_a_get_or_beside_an_input_are_query_parameters() {
    let machine = Machine::with_key(|b| b).await;
    let ended = machine
        .run(&[
            "api",
            "-X",
            "GET",
            "algorithms",
            "-f",
            "pageSize=1",
            "-F",
            "x=true",
        ])
        .await;
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let sent = last(&machine);
    assert_eq!(
        (sent.method.as_str(), sent.query.as_str()),
        ("GET", "pageSize=1&x=true")
    );
    let body = r#"{"expression":{"result":"0","values":{"0":{"constantValue":1}}}}"#;
    let ended = machine
        .run_with_input(&["api", "value:compute", "--input", "-", "-f", "k=v"], body)
        .await;
    assert_eq!(ended.json(), json!({"result": 1}));
    assert_eq!(last(&machine).query, "k=v");
}

#[tokio::test]
async fn include_shows_the_status_and_the_headers_first() {
    let machine = Machine::with_key(|b| b).await;
    let ended = machine.run(&["api", "-i", "config"]).await;
    let (head, body) = ended.stdout.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP 200 OK\n"), "{head}");
    assert!(head.contains("\ncontent-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
}

#[tokio::test]
async fn headers_are_sent_and_those_that_authenticate_are_refused() {
    let machine = Machine::with_key(|b| b).await;
    let ended = machine.run(&["api", "config", "-H", "X-Mine: a b"]).await;
    assert_eq!(ended.status, 0, "{}", ended.stderr);
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
    let ended = machine
        .run(&["api", "operations", "--paginate", "--query", "pageSize=1"])
        .await;
    assert_eq!(
        ended.json(),
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
async fn paginate_goes_on_in_the_body_where_a_method_takes_it_there() {
    let machine = Machine::with_key(|b| b).await;
    for page in [
        json!({"features": [1], "nextPageToken": "p2"}),
        json!({"features": [2]}),
    ] {
        machine.emulator.fault(API, Fault::status(200).json(&page));
    }
    let ended = machine
        .run(&[
            "api",
            "table:computeFeatures",
            "-F",
            "pageSize=1",
            "--paginate",
        ])
        .await;
    assert_eq!(ended.json(), json!({"features": [1, 2]}));
    assert_eq!(
        last(&machine).json(),
        json!({"pageSize": 1, "pageToken": "p2"})
    );
    assert_eq!(last(&machine).query, "");
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_pages_prints_nothing_but_the_error() {
    let machine = Machine::with_key(|b| b).await;
    let first = json!({"operations": [], "nextPageToken": "p2"});
    machine.emulator.fault(API, Fault::status(200).json(&first));
    let (status, error) = machine
        .failure(&["api", "nowhere-at-all", "--paginate"])
        .await;
    assert_eq!((status, code(&error)), (6, "not_found"));
}

#[tokio::test]
async fn a_line_that_contradicts_itself_is_exit_2_before_any_request() {
    let machine = Machine::with_key(|b| b).await;
    for arguments in [
        &["api", "GET", "config", "-X", "GET"][..],
        &["api", "-X", "FLY", "config"],
        &["api", "config", "-f", "novalue"],
        &["api", "-i", "--paginate", "config"],
        &["api", "value:compute", "-f", "a=1", "-f", "a[b]=2"],
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
    }
    assert!(machine.paths().is_empty());
}
