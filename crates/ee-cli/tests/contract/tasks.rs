//! `eectl task` and `eectl upload`.

use ee_emulator::Fault;
use serde_json::json;

use super::*;

const API: &str = "earthengine.googleapis.com";
const MANIFEST: &str = r#"{"name": "projects/ee-demo-project/assets/up", "tilesets": [{"sources": [{"uris": ["gs://b/a.tif"]}]}]}"#;

impl Machine {
    /// Starts an import and returns the ID of its task.
    pub(super) async fn start_import(&self) -> String {
        let manifest = self.file("manifest.json", MANIFEST);
        let id = self
            .ok(&["upload", "image", "--manifest", &manifest, "-q", "-f"])
            .await;
        id.trim().to_owned()
    }

    fn states(&self) -> Vec<String> {
        let operations = self.emulator.operations();
        operations
            .into_iter()
            .map(|operation| operation.state)
            .collect()
    }
}

#[tokio::test]
async fn tasks_are_listed_with_their_states() {
    let machine = Machine::with_key(|b| b).await;
    let empty = machine.run(&["task", "ls"]).await;
    assert_eq!((&*empty.stdout, &*empty.stderr), ("", "no tasks found\n"));
    let (first, second) = (machine.start_import().await, machine.start_import().await);
    machine.ok(&["task", "info", &first]).await;
    let list = machine.ok(&["task", "list"]).await;
    let at = |text: &str| list.find(text).unwrap_or_else(|| panic!("{text}: {list}"));
    assert!(at(&second) < at(&first), "newest first: {list}");
    assert!(
        list.contains("Upload") && list.contains("PENDING"),
        "{list}"
    );
    for (status, expected) in [
        (&["--status", "RUNNING"][..], &[&first][..]),
        (&["-s", "ready"], &[&second]),
        (&["-s", "PENDING", "RUNNING"], &[&second, &first]),
        (&["-s", "PENDING,RUNNING", "--max", "1"], &[&second]),
        (&["-s", "FAILED"], &[]),
    ] {
        let tasks = machine
            .json(&[&["task", "list", "--json"], status].concat())
            .await;
        let names = tasks.as_array().unwrap().iter();
        let names: Vec<&str> = names.map(|task| task["name"].as_str().unwrap()).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|id| format!("projects/{PROJECT}/operations/{id}"))
            .collect();
        assert_eq!(names, expected, "{status:?}");
    }
    let long = machine.ok(&["task", "list", "-l", "-s", "PENDING"]).await;
    assert!(long.contains("  100"), "the priority: {long}");
    let (status, error) = machine.failure(&["task", "list", "-s", "DONE"]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
}

#[tokio::test]
async fn info_shows_each_task_and_reports_missing_ones() {
    let machine = Machine::with_key(|b| b).await;
    let id = machine.start_import().await;
    let name = format!("projects/{PROJECT}/operations/{id}");
    let text = machine.ok(&["task", "info", &name]).await;
    for part in [
        &id,
        "  state         RUNNING\n",
        "  type          Upload\n",
        "  progress      50 %\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = machine.json(&["task", "info", &id, "--json"]).await;
    assert_eq!(json[0]["metadata"]["state"], "SUCCEEDED");
    let result = machine.run(&["task", "info", "NONE", &id]).await;
    assert_eq!(result.status, 6);
    result.assert_stdout(&id);
    result.assert_stderr("cannot read the task NONE");
    result.assert_stderr("eectl task list");
    let (status, error) = machine.failure(&["task", "info", "a/b"]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
}

#[tokio::test]
async fn tasks_are_cancelled_by_id_or_state() {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.hang_operations(true);
    let (first, second, third) = (
        machine.start_import().await,
        machine.start_import().await,
        machine.start_import().await,
    );
    machine.ok(&["task", "info", &first]).await;
    assert_eq!(machine.states(), ["RUNNING", "PENDING", "PENDING"]);
    let cancelled = machine.ok(&["task", "cancel", "running"]).await;
    assert_eq!(cancelled, format!("canceling {first}\n"));
    // The states of the others advance when they are read.
    let cancelled = machine.json(&["task", "cancel", &second, "--json"]).await;
    assert_eq!(cancelled, json!([{"id": second, "cancelled": true}]));
    let cancelled = machine.ok(&["task", "cancel", "all"]).await;
    assert_eq!(cancelled, format!("canceling {third}\n"));
    let none = machine.run(&["task", "cancel", "pending"]).await;
    assert_eq!((none.status, none.stdout.as_str()), (0, ""));
    assert_eq!(none.stderr, "no tasks to cancel\n");

    let again = machine.run(&["task", "cancel", &first]).await;
    assert_eq!((again.status, again.stdout.as_str()), (0, ""));
    assert_eq!(again.stderr, format!("{first} is CANCELLED already\n"));
    let (status, error) = machine.failure(&["task", "cancel", "all", &first]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
    let (status, error) = machine.failure(&["task", "cancel", "NONE"]).await;
    assert_eq!((status, code(&error)), (6, "not_found"));
}

#[tokio::test]
async fn wait_ends_with_the_tasks_and_reports_failures() {
    let machine = Machine::with_key(|b| b).await;
    let nothing = machine.run(&["task", "wait", "all"]).await;
    assert_eq!(
        (nothing.status, nothing.stderr.as_str()),
        (0, "no tasks to wait for\n")
    );

    let id = machine.start_import().await;
    let waited = machine.ok(&["task", "wait", &id]).await;
    assert!(
        waited.starts_with(&format!("{id} SUCCEEDED after ")),
        "{waited}"
    );

    machine.emulator.fail_operation("Image.select: no band");
    let failing = machine.start_import().await;
    let result = machine.run(&["task", "wait", &failing]).await;
    assert_eq!(result.status, 8, "{}", result.stderr);
    assert!(
        result
            .stdout
            .starts_with(&format!("{failing} FAILED after ")),
        "{}",
        result.stdout
    );
    result.assert_stderr("failed: Image.select: no band\nhint: ");

    machine.emulator.fail_operation("first");
    machine.emulator.fail_operation("second");
    let ids = [
        machine.start_import().await,
        machine.start_import().await,
        machine.start_import().await,
    ];
    let result = machine.run(&["task", "wait", "all", "--json"]).await;
    assert_eq!(result.status, 8, "{}", result.stderr);
    let tasks: Value = serde_json::from_str(&result.stdout).unwrap();
    let states: Vec<_> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["metadata"]["state"].as_str().unwrap())
        .collect();
    // Newest first.
    assert_eq!(states, ["SUCCEEDED", "FAILED", "FAILED"], "{ids:?}");
    let error: Value = serde_json::from_str(result.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(code(&error["error"]), "task_failed");
    assert_eq!(message(&error["error"]), "2 of 3 tasks did not succeed");
}

#[tokio::test]
async fn wait_stops_after_its_timeout() {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.hang_operations(true);
    let id = machine.start_import().await;
    let result = machine.run(&["task", "wait", "--timeout", "1", &id]).await;
    assert_eq!(result.status, 7, "{}", result.stderr);
    result.assert_stderr("keeps running");
    machine.ok(&["task", "cancel", &id]).await;
    let (status, error) = machine.failure(&["task", "wait", "NONE"]).await;
    assert_eq!((status, code(&error)), (6, "not_found"));
}

#[tokio::test]
async fn upload_sends_the_manifest_with_a_request_id() {
    let machine = Machine::with_key(|b| b).await;
    let manifest = machine.file("manifest.json", MANIFEST);
    let upload = ["upload", "image", "--manifest", &manifest];
    let result = machine.run(&upload).await;
    assert!(
        result.stdout.starts_with("started the task "),
        "{}",
        result.stdout
    );
    result.assert_stderr("eectl task wait ");
    let request = machine.emulator.requests_to(API).pop().unwrap();
    assert_eq!(request.path, format!("/v1/projects/{PROJECT}/image:import"));
    let body = request.json();
    assert_eq!(
        body["imageManifest"],
        serde_json::from_str::<Value>(MANIFEST).unwrap()
    );
    assert_eq!(body["overwrite"], false);
    assert_eq!(body["requestId"].as_str().unwrap().len(), 36);

    // The same ID starts one import, also in another process.
    let chosen = [
        &upload[..],
        &["--request-id", "import-1", "--description", "d", "--json"],
    ]
    .concat();
    let (first, second) = (machine.json(&chosen).await, machine.json(&chosen).await);
    assert_eq!(first["name"], second["name"]);
    assert_eq!(first["metadata"]["description"], "d");
    assert_eq!(machine.emulator.operations().len(), 2);

    let table = r#"{"name": "users/me/t", "sources": [{"uris": ["gs://b/a.csv"]}]}"#;
    machine
        .emulator
        .put_asset("projects/earthengine-legacy/assets/users/me", "FOLDER");
    let upload = [
        "upload",
        "table",
        "--manifest",
        "-",
        "--force",
        "-w",
        "--json",
    ];
    let waited = machine.run_with_input(&upload, table).await.json();
    assert_eq!(waited[0]["metadata"]["state"], "SUCCEEDED");
    assert!(
        machine
            .emulator
            .assets()
            .contains(&"projects/earthengine-legacy/assets/users/me/t".to_owned())
    );
}

#[tokio::test]
async fn lost_response_of_an_upload_is_retried_with_the_same_id() {
    let machine = Machine::with_key(|b| b).await;
    let manifest = machine.file("manifest.json", MANIFEST);
    let upload = ["upload", "image", "--manifest", &manifest];
    machine.emulator.fault(API, Fault::status(503));
    machine.ok(&upload).await;
    let requests = machine.emulator.requests_to(API);
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.json()["requestId"].clone())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);

    // If all retries fail, the hint has the ID for the next run.
    machine.emulator.fault(API, Fault::status(503).times(100));
    let (status, error) = machine.failure(&upload).await;
    assert_eq!((status, code(&error)), (6, "server_error"));
    let last = machine.emulator.requests_to(API).pop().unwrap();
    let id = last.json()["requestId"].as_str().unwrap().to_owned();
    let remedy = remedy(&error);
    assert!(remedy.contains(&format!("--request-id {id},")), "{remedy}");
}

#[tokio::test]
async fn failed_upload_ends_with_the_status_of_a_failed_task() {
    let machine = Machine::with_key(|b| b).await;
    let manifest = machine.file("manifest.json", MANIFEST);
    let upload = ["upload", "image", "--manifest", &manifest, "--wait"];
    machine.emulator.fail_operation("No such object.");
    let result = machine.run(&upload).await;
    assert_eq!(result.status, 8, "{}", result.stderr);
    result.assert_stderr("No such object.");
    machine.emulator.hang_operations(true);
    let result = machine.run(&[&upload[..], &["1"]].concat()).await;
    assert_eq!(result.status, 7, "{}", result.stderr);
}

#[tokio::test]
async fn invalid_manifest_is_a_usage_error() {
    let machine = Machine::with_key(|b| b).await;
    for (contents, part) in [
        ("", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "names no asset"),
        (r#"{"name": "a b"}"#, "whitespace"),
        (r#"{"name": 7}"#, "names no asset"),
    ] {
        let file = machine.file("manifest.json", contents);
        let (status, error) = machine
            .failure(&["upload", "table", "--manifest", &file])
            .await;
        assert_eq!((status, code(&error)), (2, "usage"), "{contents}");
        assert!(message(&error).contains(part), "{error}");
    }
    let (status, error) = machine
        .failure(&["upload", "image", "--manifest", "missing.json"])
        .await;
    assert_eq!((status, code(&error)), (1, "io"));
    let requests = machine.emulator.requests_to(API);
    assert!(requests.is_empty(), "{requests:?}");
    let (status, error) = machine
        .failure(&["upload", "image", "--manifest", "-----BEGIN"])
        .await;
    assert_eq!((status, code(&error)), (4, "invalid_credentials"));
}

#[tokio::test]
async fn manifest_is_made_of_the_command_line() {
    let machine = Machine::with_key(|b| b).await;
    machine
        .emulator
        .put_asset("projects/earthengine-legacy/assets/users/me", "FOLDER");
    let upload = [
        "upload",
        "image",
        "--asset_id",
        "users/me/image",
        "gs://b/1.tif",
        "gs://b/2.tif",
        "-p",
        "season=dry",
        "-p",
        "none=null",
        "--time-start",
        "2024-01-01",
        "-w",
        "60",
    ];
    machine.ok(&upload).await;
    let sent = |index: usize| machine.emulator.requests_to(API)[index].json();
    assert_eq!(
        sent(0)["imageManifest"],
        json!({
            "name": "projects/earthengine-legacy/assets/users/me/image",
            "tilesets": [{"id": "ts", "sources": [{"uris": ["gs://b/1.tif"]}, {"uris": ["gs://b/2.tif"]}]}],
            "properties": {"season": "dry"},
            "startTime": "2024-01-01T00:00:00Z",
        })
    );
    machine.emulator.clear_requests();
    machine
        .ok(&[
            "upload",
            "table",
            "--asset-id",
            "users/me/t",
            "gs://b/t.csv",
        ])
        .await;
    assert_eq!(
        sent(0)["tableManifest"]["sources"],
        json!([{"uris": ["gs://b/t.csv"]}])
    );
    for (arguments, part) in [
        (&["image", "--asset-id", "users/me/x"][..], "URI"),
        (&["image", "gs://b/1.tif"], "--asset-id"),
        (
            &["image", "--asset-id", "users/me/x", "local.tif"],
            "Cloud Storage",
        ),
        (
            &["table", "--asset-id", "users/me/x", "gs://b/1", "gs://b/2"],
            "one file",
        ),
        (
            &["image", "--manifest", "m.json", "-p", "a=1"],
            "cannot be used",
        ),
        (&["image"], "--manifest"),
    ] {
        let (status, error) = machine.failure(&[&["upload"], arguments].concat()).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
        assert!(message(&error).contains(part), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn each_failure_is_reported_in_json() {
    let machine = Machine::with_key(|b| b).await;
    let result = machine
        .run(&["task", "cancel", "ONE", "TWO", "--json"])
        .await;
    assert_eq!((result.status, result.stdout.as_str()), (6, ""));
    let lines: Vec<Value> = result
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    for (line, id) in lines.iter().zip(["ONE", "TWO"]) {
        assert_eq!(line["failed"]["name"], id);
        assert_eq!(line["failed"]["code"], "not_found");
    }
    assert_eq!(
        message(&lines[2]["error"]),
        "2 of 2 tasks could not be canceled"
    );
}

#[tokio::test]
async fn external_image_is_created_at_once() {
    let machine = Machine::with_key(|b| b).await;
    let manifest = machine.file("manifest.json", MANIFEST);
    let upload = ["upload", "external-image", "--manifest", &manifest];
    let created = machine.ok(&upload).await;
    assert_eq!(created, "created projects/ee-demo-project/assets/up\n");
    let (status, error) = machine.failure(&upload).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    let remedy = remedy(&error);
    assert!(remedy.contains("--force"), "{error}");
    let forced = machine
        .run(&[&upload[..], &["-f", "--json"]].concat())
        .await;
    assert_eq!(forced.json()["name"], "projects/ee-demo-project/assets/up");
    assert!(machine.states().is_empty(), "no task");
}
