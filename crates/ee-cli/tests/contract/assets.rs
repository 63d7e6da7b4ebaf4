//! `eectl asset`: lists and changes, and what they send.

use ee_emulator::{Fault, RecordedRequest};
use serde_json::json;

use super::*;

pub(super) const API: &str = "earthengine.googleapis.com";
pub(super) const ROOT: &str = "projects/ee-demo-project/assets";

pub(super) fn named(path: &str) -> String {
    format!("{ROOT}/{path}")
}

/// Adds assets: those that end with a slash are folders, those with a plus collections.
pub(super) fn put(machine: &Machine, paths: &[&str]) {
    for path in paths {
        let (path, kind) = match path.strip_suffix('/') {
            Some(path) => (path, "FOLDER"),
            None => match path.strip_suffix('+') {
                Some(path) => (path, "IMAGE_COLLECTION"),
                None => (*path, "IMAGE"),
            },
        };
        machine.emulator.put_asset(&named(path), kind);
    }
}

fn query(request: &RecordedRequest, name: &str) -> Option<String> {
    request.query_parameters().remove(name)
}

pub(super) async fn machine_with(paths: &[&str]) -> Machine {
    let machine = Machine::with_key(|b| b).await;
    put(&machine, paths);
    machine
}

impl Machine {
    /// Runs a command that must succeed and returns what it printed.
    pub(super) async fn ok(&self, arguments: &[&str]) -> String {
        let result = self.run(arguments).await;
        assert_eq!(result.status, 0, "{arguments:?}: {}", result.stderr);
        result.stdout
    }

    pub(super) fn paths_of_assets(&self) -> Vec<String> {
        let all = self.emulator.assets();
        all.iter()
            .map(|name| {
                name.trim_start_matches(ROOT)
                    .trim_start_matches('/')
                    .to_owned()
            })
            .collect()
    }
}

#[tokio::test]
async fn assets_are_listed_flat_or_recursively() {
    let machine = machine_with(&["a-b", "a/", "a/c+", "a/c/image", "a/d/", "a/d/e", "z"]).await;
    let listed = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| named(path) + "\n")
            .collect::<String>()
    };
    // In the server's order.
    let top = machine.ok(&["asset", "list"]).await;
    assert_eq!(top, listed(&["a", "a-b", "z"]));
    assert_eq!(machine.ok(&["ls", ROOT]).await, top);
    assert_eq!(
        machine
            .ok(&["ls", "projects/ee-demo-project/assets/"])
            .await,
        top
    );
    let request = machine.emulator.requests_to(API).pop().unwrap();
    assert_eq!(request.path, "/v1/projects/ee-demo-project:listAssets");
    assert_eq!(query(&request, "view").as_deref(), Some("BASIC"));

    // Images in collections are left out, as in Google's command.
    let all = machine.ok(&["ls", "-r"]).await;
    assert_eq!(all, listed(&["a", "a/c", "a/d", "a/d/e", "a-b", "z"]));
    assert_eq!(machine.ok(&["ls", "--max", "1"]).await, listed(&["a"]));
    let request = machine.emulator.requests_to(API).pop().unwrap();
    assert_eq!(query(&request, "pageSize").as_deref(), Some("1"));
    assert_eq!(machine.ok(&["ls", "-m", "0"]).await, "");

    let two = machine.ok(&["ls", &named("a/d"), &named("a/c")]).await;
    let expected = format!("{0}/a/d:\n{0}/a/d/e\n\n{0}/a/c:\n{0}/a/c/image\n", ROOT);
    assert_eq!(two, expected);
}

#[tokio::test]
async fn long_list_has_types_sizes_and_times() {
    let machine = machine_with(&["a/"]).await;
    let fields = json!({"type": "IMAGE", "sizeBytes": "1536", "properties": {"a": 1}});
    let fields = fields.as_object().unwrap().clone();
    machine.emulator.put_asset_fields(&named("b"), fields);
    let long = machine.ok(&["ls", "-l"]).await;
    for part in ["FOLDER ", "IMAGE ", " 1.5 KiB ", &named("b")] {
        assert!(long.contains(part), "{part}: {long}");
    }
    let json = machine.json(&["asset", "list", "--json"]).await;
    assert_eq!(json[0]["name"], named("a"));
    assert_eq!(json[1]["sizeBytes"], "1536");
    assert_eq!(json[1]["properties"], json!({"a": 1}));
    // The sizes need more than names and types.
    let request = machine.emulator.requests_to(API).pop().unwrap();
    assert_eq!(query(&request, "view"), None);
}

#[tokio::test]
async fn filter_is_sent_to_the_server() {
    let machine = machine_with(&["c+"]).await;
    let answer = json!({"assets": [{"name": "projects/p/assets/x", "type": "IMAGE"}]});
    machine
        .emulator
        .fault(API, Fault::status(200).json(&answer));
    let filter = "properties.SCENE=\"A\" AND startTime>\"2024-01-01T00:00:00Z\"";
    let listed = machine.ok(&["ls", "-f", filter, &named("c")]).await;
    assert_eq!(listed, "projects/p/assets/x\n");
    let request = machine.emulator.requests_to(API).pop().unwrap();
    assert_eq!(query(&request, "filter").as_deref(), Some(filter));
}

#[tokio::test]
async fn info_prints_the_asset_as_the_server_sent_it() {
    let machine = machine_with(&["a"]).await;
    let text = machine.ok(&["asset", "info", &named("a")]).await;
    assert!(text.starts_with("{\n"), "{text}");
    let info: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(info["type"], "IMAGE");
    let json = machine.run(&["asset", "info", &named("a"), "--json"]).await;
    assert_eq!(json.json(), info);
    assert_eq!(json.stdout.lines().count(), 1);
    let root = machine.json(&["asset", "info", ROOT, "--json"]).await;
    assert_eq!(root["quota"]["assetCount"], "1");
}

#[tokio::test]
async fn missing_asset_is_explained_with_similar_names() {
    let machine = machine_with(&["rivers", "lakes/", "lakes/deep"]).await;
    for (arguments, advice) in [
        (&["asset", "info", "A/river"][..], "Did you mean A/rivers?"),
        (
            &["asset", "info", "A/river/x"],
            "A/river does not exist either.",
        ),
        (&["asset", "info", "rivers"], "Did you mean A/rivers?"),
        (
            &["cp", "A/lakes/deeq", "A/copy"],
            "Did you mean A/lakes/deep?",
        ),
        (
            &["mv", "A/lakes/dep", "A/copy"],
            "Did you mean A/lakes/deep?",
        ),
        (&["rm", "A/rivres"], "Did you mean A/rivers?"),
        (&["rm", "-r", "A/rivres"], "Did you mean A/rivers?"),
        (
            &["asset", "set", "A/rivres", "-p", "a=1"],
            "Did you mean A/rivers?",
        ),
        (
            &["asset", "acl", "get", "A/rivres"],
            "Did you mean A/rivers?",
        ),
        (&["du", "A/rivres"], "Did you mean A/rivers?"),
        (&["ls", "A/lake"], "Did you mean A/lakes?"),
        (
            &["asset", "info", "A/mountains"],
            "Check the name and your access",
        ),
        (
            &["cp", "A/rivers", "A/copies/1"],
            "A/copies does not exist: create it with",
        ),
        (
            &["mv", "A/rivers", "A/copies/1"],
            "A/copies does not exist: create it with",
        ),
    ] {
        let full: Vec<String> = arguments
            .iter()
            .map(|a| a.replace("A/", &named("")))
            .collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        let (status, error) = machine.failure(&full).await;
        assert_eq!((status, code(&error)), (6, "not_found"), "{arguments:?}");
        let remedy = remedy(&error);
        let advice = advice.replace("A/", &named(""));
        assert!(remedy.starts_with(&advice), "{arguments:?}: {remedy}");
        assert!(message(&error).starts_with("cannot "), "{error}");
    }
    assert_eq!(machine.paths_of_assets(), ["lakes", "lakes/deep", "rivers"]);
}

#[tokio::test]
async fn invalid_names_are_usage_errors_without_requests() {
    let machine = machine_with(&[]).await;
    for (arguments, part) in [
        (&["asset", "info", "a b"][..], "whitespace"),
        (&["rm", "users/me/*"], "`*`"),
        (&["asset", "info", "users"], "one segment"),
        (&["rm", ROOT], "the root of a project's assets"),
        (&["rm", "rivers"], "the public catalog"),
        (&["cp", "users/me/a", "copy"], "the public catalog"),
        (
            &["asset", "set", "COPERNICUS/S2", "-p", "a=1"],
            "the public catalog",
        ),
        (&["cp", "users/me/a", "users/me/a/b"], "into itself"),
        (&["asset", "set", "users/me/a"], "nothing to set"),
        (&["asset", "set", "users/me/a", "-p", "a"], "not a property"),
        (
            &["asset", "set", "users/me/a", "-p", "a=1", "-p", "a=2"],
            "twice",
        ),
        (
            &["asset", "set", "users/me/a", "--time-start", "now"],
            "not a time",
        ),
        (&["acl", "ch", "users/me/a"], "nothing to change"),
        (
            &["acl", "ch", "-u", "jane@example.com", "users/me/a"],
            "no access",
        ),
        (
            &["acl", "ch", "-u", "allUsers:W", "users/me/a"],
            "write access",
        ),
        (
            &["acl", "ch", "-d", "g", "users/me/a"],
            "not an email address",
        ),
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
        assert!(message(&error).contains(part), "{error}");
    }
    assert_eq!(machine.paths(), [""; 0]);
}

#[tokio::test]
async fn folders_are_created_with_their_parents() {
    let machine = machine_with(&["a/"]).await;
    let (status, error) = machine
        .failure(&["asset", "create", "folder", &named("b/c")])
        .await;
    assert_eq!((status, code(&error)), (6, "not_found"));
    assert!(remedy(&error).contains("--parents"));

    let new = [&named("a/b/c"), &named("a/b/c/d"), &named("a")];
    let create = ["create", "folder", "-p", new[0], new[1], new[2]];
    let created = machine.run(&create).await;
    assert_eq!(
        created.stdout,
        format!(
            "created {0}/a/b\ncreated {0}/a/b/c\ncreated {0}/a/b/c/d\n",
            ROOT
        )
    );
    assert_eq!(created.stderr, format!("{ROOT}/a exists already\n"));

    let collection = named("a/images");
    let create = ["asset", "create", "collection", &collection, "--json"];
    assert_eq!(
        machine.json(&create).await,
        json!([{"name": collection, "created": true}])
    );
    assert_eq!(
        machine.json(&create).await,
        json!([{"name": collection, "created": false}])
    );
    let (status, error) = machine.failure(&["create", "folder", &collection]).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    assert!(message(&error).contains("IMAGE_COLLECTION"), "{error}");

    machine
        .emulator
        .put_asset("projects/earthengine-legacy/assets/users/me", "FOLDER");
    let legacy = machine
        .ok(&["create", "folder", "-p", "users/me/x/y"])
        .await;
    assert_eq!(legacy.lines().count(), 2, "{legacy}");
}

#[tokio::test]
async fn copies_and_moves_are_sent_with_full_names() {
    let machine = machine_with(&["a", "b"]).await;
    let (from, to) = (named("a"), named("c"));
    let copied = machine.ok(&["cp", &from, &to]).await;
    assert_eq!(copied, format!("copied {from} to {to}\n"));
    let (status, error) = machine.failure(&["cp", &from, &named("b")]).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    assert!(remedy(&error).contains("--overwrite"));
    for flag in ["--overwrite", "--force", "-f"] {
        let copied = machine
            .run(&["asset", "copy", flag, &from, &named("b"), "--json"])
            .await;
        assert_eq!(copied.json()["name"], named("b"));
        let request = machine.emulator.requests_to(API).pop().unwrap();
        let body = json!({"destinationName": named("b"), "overwrite": true});
        assert_eq!(request.json(), body);
    }
    let moved = machine
        .run(&["asset", "move", &from, &named("d"), "--json"])
        .await;
    assert_eq!(moved.json()["name"], named("d"));
    assert_eq!(machine.paths_of_assets(), ["b", "c", "d"]);
}

#[cfg(unix)]
#[tokio::test]
async fn properties_and_times_are_set_and_removed() {
    let machine = machine_with(&["a"]).await;
    let a = named("a");
    let set = [
        "asset",
        "set",
        &a,
        "-p",
        "season=dry",
        "--property",
        "(string)tile=007",
        "-p",
        "n=1.5",
        "-p",
        "(date)seen=2024-02-29",
        "--time-start",
        "2024-01-01",
        "--time_end",
        "2024-01-02T03:04:05.5",
    ];
    assert_eq!(machine.ok(&set).await, format!("updated {a}\n"));
    let info = machine.json(&["asset", "info", &a, "--json"]).await;
    assert_eq!(
        info["properties"],
        json!({"season": "dry", "tile": "007", "n": 1.5, "seen": 1_709_164_800_000_i64})
    );
    assert_eq!(info["startTime"], "2024-01-01T00:00:00Z");
    assert_eq!(info["endTime"], "2024-01-02T03:04:05.500Z");

    let remove = [
        "asset",
        "set",
        &a,
        "-p",
        "n=null",
        "-p",
        "seen=null",
        "--time-start=",
    ];
    let updated = machine.json(&[&remove[..], &["--json"]].concat()).await;
    assert_eq!(
        updated["properties"],
        json!({"season": "dry", "tile": "007"})
    );
    assert_eq!(updated["startTime"], Value::Null);
    assert_eq!(updated["endTime"], "2024-01-02T03:04:05.500Z");
}

#[tokio::test]
async fn access_is_shown_set_and_changed() {
    let machine = machine_with(&["a"]).await;
    let a = named("a");
    let get = ["asset", "acl", "get", a.as_str(), "--json"];
    let policy = json!({"bindings": [
        {"role": "roles/owner", "members": ["user:me@example.com"]},
        {"role": "roles/viewer", "members": ["user:old@example.com"]},
        {"role": "roles/custom", "members": ["user:old@example.com"]},
    ]});
    let body = json!({"policy": policy}).to_string();
    let path = format!("{a}:setIamPolicy");
    let input = machine
        .run_with_input(&["api", "POST", &path, "--input", "-"], &body)
        .await;
    assert_eq!(input.status, 0, "{}", input.stderr);

    // The owners stay.
    machine.ok(&["asset", "acl", "set", "public", &a]).await;
    let public = json!({"owners": ["user:me@example.com"], "readers": [], "writers": [], "all_users_can_read": true});
    assert_eq!(machine.json(&get).await, public);
    let change = [
        "acl",
        "ch",
        "-u",
        "jane@example.com:R",
        "-u",
        "robot@p.iam.gserviceaccount.com:W",
        "-g",
        "staff@example.com:W",
        "-d",
        "AllUsers",
        &a,
        "--json",
    ];
    let acl = machine.json(&change).await;
    assert_eq!(acl["readers"], json!(["user:jane@example.com"]));
    assert_eq!(
        acl["writers"],
        json!([
            "serviceAccount:robot@p.iam.gserviceaccount.com",
            "group:staff@example.com"
        ])
    );
    // A new role replaces the old one.
    let change = [
        "acl",
        "ch",
        "-u",
        "jane@example.com:W",
        "--delete-group",
        "staff@example.com",
        &a,
    ];
    machine.ok(&change).await;
    let acl = machine.ok(&["asset", "acl", "get", &a]).await;
    let saved = machine.file("acl.json", &acl);
    machine.ok(&["asset", "acl", "set", "private", &a]).await;
    let private = json!({"owners": ["user:me@example.com"], "readers": [], "writers": []});
    assert_eq!(machine.json(&get).await, private);
    machine.ok(&["asset", "acl", "set", &saved, &a]).await;
    let restored = machine.json(&get).await;
    assert_eq!(restored, serde_json::from_str::<Value>(&acl).unwrap());

    let broken = machine.file("broken.json", "{\"bindings\": []}");
    let (status, error) = machine.failure(&["asset", "acl", "set", &broken, &a]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
    let (status, error) = machine
        .failure(&["asset", "acl", "set", "missing.json", &a])
        .await;
    assert_eq!((status, code(&error)), (1, "io"));
}

#[tokio::test]
async fn bands_are_renamed_in_their_order() {
    let machine = Machine::with_key(|b| b).await;
    let name = format!("{ROOT}/banded");
    let fields = json!({"type": "IMAGE", "bands": [{"id": "b1", "grid": {}}, {"id": "b2"}]});
    let fields = fields.as_object().unwrap().clone();
    machine.emulator.put_asset_fields(&name, fields);
    let renamed = machine
        .ok(&["asset", "setbands", &name, "red", "green"])
        .await;
    assert_eq!(renamed, format!("updated {name}\n"));
    let asset = machine.json(&["asset", "info", &name, "--json"]).await;
    assert_eq!(
        asset["bands"],
        json!([{"id": "red", "grid": {}}, {"id": "green"}])
    );
    let (status, error) = machine.failure(&["asset", "setbands", &name, "red"]).await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"));
    assert!(remedy(&error).contains("eectl asset info"), "{error}");
    let (status, _) = machine.failure(&["asset", "setbands", &name]).await;
    assert_eq!(status, 2);
}
