//! `eectl asset` with folders and collections: recursive copies, deletions and sizes.

use std::collections::BTreeSet;

use ee_emulator::Fault;
use serde_json::json;

use super::assets::{API, ROOT, machine_with, named, put};
use super::*;

/// Returns the requests to Earth Engine as methods and paths, without the prefix of the assets.
fn calls(machine: &Machine) -> Vec<String> {
    let requests = machine.emulator.requests_to(API);
    requests
        .iter()
        .map(|r| {
            format!(
                "{} {}",
                r.method,
                r.path.trim_start_matches(&format!("/v1/{ROOT}"))
            )
        })
        .collect()
}

#[tokio::test]
async fn folder_is_copied_with_everything_in_it() {
    let machine = machine_with(&["a/", "a/b/", "a/b/x", "a/y", "other"]).await;
    let fields = json!({"type": "IMAGE_COLLECTION", "properties": {"p": 1}, "startTime": "2024-01-01T00:00:00Z"});
    let fields = fields.as_object().unwrap().clone();
    machine.emulator.put_asset_fields(&named("a/c"), fields);
    put(&machine, &["a/c/1", "a/c/2"]);

    let (from, to) = (named("a"), named("new"));
    let copied = machine.ok(&["cp", "-r", &from, &to]).await;
    let order = ["", "/b", "/c", "/b/x", "/c/1", "/c/2", "/y"];
    let lines = order.map(|path| format!("copied {from}{path} to {to}{path}\n"));
    assert_eq!(copied, lines.concat());
    let info = machine
        .json(&["asset", "info", &named("new/c"), "--json"])
        .await;
    assert_eq!(info["properties"], json!({"p": 1}));
    assert_eq!(info["startTime"], "2024-01-01T00:00:00Z");

    // A second copy needs --overwrite.
    let (status, error) = machine.failure(&["cp", "-r", &from, &to]).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    let again = machine
        .json(&["cp", "-r", "-f", &from, &to, "--json"])
        .await;
    assert_eq!(again["copied"].as_array().unwrap().len(), order.len());
    assert_eq!(again["failed"], json!([]));
    // What is not a folder is copied as without the option.
    machine
        .ok(&["cp", "-r", &named("other"), &named("other2")])
        .await;
}

#[tokio::test]
async fn failed_copies_are_summarized_and_the_others_are_made() {
    let machine = machine_with(&["a/", "a/1", "a/2", "a/3", "b/", "b/1", "b/3"]).await;
    let copy = ["cp", "-r", &named("a"), &named("b")];
    let (status, _) = machine.failure(&copy).await;
    assert_eq!(status, 6);
    // One that exists is kept by a server that refuses to replace it.
    let denied = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}});
    machine.emulator.clear_requests();
    machine.emulator.fault(
        API,
        // After the source, the lists and the destination of the folder.
        Fault::status(403).json(&denied).after_requests(3).times(2),
    );
    let result = machine.run(&[&copy[..], &["-f", "--json"]].concat()).await;
    assert_eq!(result.status, 6, "{}", result.stdout);
    let printed: Value = serde_json::from_str(&result.stdout).unwrap();
    assert_eq!(printed["copied"].as_array().unwrap().len(), 2, "{printed}");
    assert_eq!(printed["failed"].as_array().unwrap().len(), 2, "{printed}");
    let error: Value = serde_json::from_str(&result.stderr).unwrap();
    assert_eq!(
        message(&error["error"]),
        "2 of 4 assets could not be copied"
    );
}

#[tokio::test]
async fn recursive_deletion_starts_with_the_innermost() {
    let machine = machine_with(&["a/", "a/b/", "a/b/x", "a/c+", "a/c/1", "a/y", "z"]).await;
    let (a, z) = (named("a"), named("z"));
    let (status, error) = machine.failure(&["rm", &a]).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    assert!(remedy(&error).contains("--recursive"));

    let order = ["a/b/x", "a/c/1", "a/b", "a/c", "a/y", "a", "z"];
    let lines = |verb: &str| {
        order
            .map(|path| format!("{verb} {}\n", named(path)))
            .concat()
    };
    machine.emulator.clear_requests();
    let planned = machine.ok(&["rm", "-r", "--dry-run", &a, &z]).await;
    assert_eq!(planned, lines("would delete"));
    assert!(calls(&machine).iter().all(|call| call.starts_with("GET")));
    let json = machine
        .json(&["rm", "-r", "--dry_run", &a, &z, "--json"])
        .await;
    assert_eq!(json["would_delete"].as_array().unwrap().len(), order.len());

    let deleted = machine.ok(&["asset", "delete", "-r", &a, &z]).await;
    assert_eq!(deleted, lines("deleted"));
    assert_eq!(machine.paths_of_assets(), [""; 0]);
}

#[tokio::test]
async fn folder_is_kept_if_something_in_it_cannot_be_deleted() {
    let machine = machine_with(&["a/", "a/b/", "a/b/x", "a/y", "z"]).await;
    let denied = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}});
    // After both assets and the two lists.
    let fault = Fault::status(403).json(&denied).after_requests(4);
    machine.emulator.fault(API, fault);
    let result = machine.run(&["rm", "-r", &named("a"), &named("z")]).await;
    assert_eq!(result.status, 6, "{}", result.stderr);
    assert_eq!(
        result.stdout,
        format!("deleted {0}/a/y\ndeleted {0}/z\n", ROOT)
    );
    assert_eq!(machine.paths_of_assets(), ["a", "a/b", "a/b/x"]);
    let errors: Vec<&str> = result.stderr.lines().collect();
    assert!(
        errors[0].starts_with(&format!("cannot delete {ROOT}/a/b/x: ")),
        "{errors:?}"
    );
    assert!(errors[1].contains("it still contains assets"), "{errors:?}");
    assert_eq!(errors[3], "error: 3 of 5 assets could not be deleted");
    assert!(errors[4].starts_with("hint: "), "{errors:?}");
}

#[tokio::test]
async fn nothing_is_deleted_if_a_list_fails() {
    let machine = machine_with(&["a/", "a/b/", "a/b/x"]).await;
    let denied = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}});
    let fault = Fault::status(403).json(&denied).after_requests(2);
    machine.emulator.fault(API, fault);
    let (status, error) = machine.failure(&["rm", "-r", &named("a")]).await;
    assert_eq!((status, code(&error)), (6, "permission_denied"));
    assert_eq!(machine.paths_of_assets().len(), 3);
}

#[tokio::test]
async fn recursive_deletion_is_confirmed_on_a_terminal() {
    let machine = machine_with(&["a/", "a/x"]).await;
    let a = named("a");
    let delete = ["rm", "-r", a.as_str()];
    let question = "and 1 asset in it? [y/N]";
    for typed in ["n\r", "\r", "\u{4}"] {
        let (status, shown) = machine.on_terminal(&delete, &[(question, typed)]).await;
        assert_eq!(status, 2, "{shown}");
        assert!(shown.contains("nothing was deleted"), "{shown}");
    }
    assert_eq!(machine.paths_of_assets().len(), 2);
    let (status, shown) = machine.on_terminal(&delete, &[(question, "y\r")]).await;
    assert_eq!(status, 0, "{shown}");
    put(&machine, &["a/", "a/x"]);
    let yes = ["rm", "-r", "--yes", a.as_str()];
    let (status, shown) = machine.on_terminal(&yes, &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("[y/N]"), "{shown}");
    assert_eq!(machine.paths_of_assets(), [""; 0]);
}

#[tokio::test]
async fn sizes_are_added_up_and_requested_where_a_list_has_none() {
    let machine = machine_with(&["a/", "a/c+", "unsized"]).await;
    for (path, size) in [("a/1", 1000), ("a/c/2", 24), ("a/c/3", 2000), ("b", 7)] {
        let fields = json!({"type": "IMAGE", "sizeBytes": size.to_string()});
        let fields = fields.as_object().unwrap().clone();
        machine.emulator.put_asset_fields(&named(path), fields);
    }
    let sizes = machine.ok(&["du", "--bytes"]).await;
    let lines: Vec<Vec<&str>> = sizes
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (a, b, unsized_one) = (named("a"), named("b"), named("unsized"));
    assert_eq!(lines, [["3024", &a], ["7", &b], ["0", &unsized_one]]);
    // Only the asset without a size is requested.
    let gets: BTreeSet<String> = calls(&machine)
        .into_iter()
        .filter(|call| !call.contains(":list"))
        .collect();
    assert_eq!(
        gets,
        BTreeSet::from(["GET /".to_owned(), "GET /unsized".to_owned()])
    );
    let total = machine
        .json(&["asset", "du", "-s", "--json", ROOT, &b])
        .await;
    assert_eq!(
        total,
        json!([
            {"name": ROOT, "size_bytes": 3031, "assets": 5},
            {"name": b, "size_bytes": 7, "assets": 1},
        ])
    );
    assert!(machine.ok(&["du", "-s", &a]).await.contains("3.0 KiB  "));
    let csv = machine.ok(&["du", "--format", "csv", &b]).await;
    assert_eq!(csv, format!("name,size_bytes,assets\n{b},7,1\n"));
    // The others are printed if one is missing.
    let result = machine.run(&["du", "-s", &named("gone"), &b]).await;
    assert_eq!(result.status, 6);
    result.assert_stdout(&b);
}
