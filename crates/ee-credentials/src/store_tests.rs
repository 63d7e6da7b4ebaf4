//! What the store promises: nothing lost, nothing half, nothing for others to read.

use std::process::{Command, Stdio};

use ee_emulator::Emulator;
use ee_token::Endpoints;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/credentials");
    (folder, Store::at(path))
}

fn login(token: &str) -> NewLogin {
    NewLogin::new(token, Scopes::earth_engine())
}

fn put(store: &Store, text: &str) {
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    fs::write(store.path(), text).unwrap();
}

fn contents(store: &Store) -> Value {
    serde_json::from_str(&fs::read_to_string(store.path()).unwrap()).unwrap()
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_login_with_earth_engines_client_is_written_as_the_python_client_writes_it() {
    let (_folder, store) = store();
    assert!(store.read().unwrap().is_none());
    let login = login("1//t").redirect_uri("http://localhost:8085");
    assert_eq!(store.save_login(&login).unwrap(), []);
    assert_eq!(
        contents(&store),
        json!({
            "redirect_uri": "http://localhost:8085",
            "refresh_token": "1//t",
            "scopes": [
                "https://www.googleapis.com/auth/earthengine",
                "https://www.googleapis.com/auth/cloud-platform",
            ],
        })
    );
    assert_eq!(names(&store), [".credentials.lock", "credentials"]);
}

#[test]
fn the_project_and_unknown_keys_survive_a_login_and_the_old_login_does_not() {
    let (_folder, store) = store();
    put(
        &store,
        r#"{"refresh_token": "1//old", "client_id": "1-x", "client_secret": "s", "rapt_token": "r",
            "redirect_uri": "http://localhost:1", "scopes": ["a"], "rust_login_mode": "notebook",
            "project": "my-project", "cloud_api_key": "k", "future": {"n": 12345678901234567890123}}"#,
    );
    store.save_login(&login("1//new")).unwrap();
    let text = fs::read_to_string(store.path()).unwrap();
    assert!(text.contains("12345678901234567890123"), "{text}");
    let contents = contents(&store);
    let keys: Vec<&str> = contents.as_object().unwrap().keys().map(|k| &**k).collect();
    assert_eq!(
        keys,
        [
            "cloud_api_key",
            "future",
            "project",
            "refresh_token",
            "scopes"
        ]
    );
    assert_eq!(contents["project"], "my-project");
    assert_eq!(contents["refresh_token"], "1//new");

    let own = login("1//own").client("7-mine.apps", "mine");
    store.save_login(&own).unwrap();
    let stored = store.read().unwrap().unwrap();
    assert_eq!(stored.file.project(), Some("my-project"));
    assert_eq!(self::contents(&store)["client_id"], "7-mine.apps");
    store
        .save_login(&login("1//t").client(CLIENT_ID, "x"))
        .unwrap();
    assert!(
        !self::contents(&store)
            .as_object()
            .unwrap()
            .contains_key("client_id")
    );
}

#[test]
fn a_project_is_set_and_unset_with_and_without_a_login() {
    let (_folder, store) = store();
    assert!(!store.unset_project().unwrap());
    assert!(!store.path().parent().unwrap().exists(), "nothing was made");
    store.set_project("my-project").unwrap();
    assert_eq!(contents(&store), json!({"project": "my-project"}));
    assert!(store.unset_project().unwrap());
    assert!(!store.path().exists(), "an empty file is none");

    store.save_login(&login("1//t")).unwrap();
    store.set_project("my-project").unwrap();
    assert_eq!(contents(&store)["refresh_token"], "1//t");
    assert!(store.unset_project().unwrap());
    assert!(!store.unset_project().unwrap());
    assert_eq!(contents(&store)["refresh_token"], "1//t");
    put(&store, r#"{"project": "", "x": 1}"#);
    assert!(!store.unset_project().unwrap(), "an empty one is none");
    assert_eq!(contents(&store), json!({"x": 1}));
}

#[test]
fn what_is_no_login_is_kept_beside_the_file_and_a_project_is_not_written_into_it() {
    for text in [
        r#"{"type": "service_account", "private_key": "canary"}"#,
        "1//canary",
        r#"{"refresh_token": "canary"#,
        r#"{"refresh_token": "1//t", "project": {"canary": 1}}"#,
    ] {
        let (_folder, store) = store();
        put(&store, text);
        let error = store.set_project("p").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(error.remedy().is_some(), "{error}");
        assert_eq!(fs::read_to_string(store.path()).unwrap(), text);

        let warnings = store.save_login(&login("1//new")).unwrap();
        assert_eq!(warnings[0].code, "file_moved_aside");
        assert!(!warnings[0].message.contains("canary"));
        assert_eq!(contents(&store)["refresh_token"], "1//new");
        let aside = names(&store).pop().unwrap();
        assert!(aside.starts_with("credentials.before-"), "{aside}");
        assert!(
            warnings[0].message.contains(&aside),
            "{}",
            warnings[0].message
        );
        let kept = fs::read_to_string(store.path().with_file_name(aside)).unwrap();
        assert_eq!(kept, text);
    }
    let (_folder, store) = store();
    put(&store, " \n");
    assert_eq!(
        store.save_login(&login("1//t")).unwrap(),
        [],
        "empty is nothing"
    );
}

#[test]
fn when_and_how_a_login_was_made_is_kept_and_a_notebooks_ends_after_seven_days() {
    let (_folder, store) = store();
    let made: DateTime<Utc> = "2026-11-01T12:00:00Z".parse().unwrap();
    let end = |store: &Store| store.read().unwrap().unwrap().file.login_expires_at();
    store
        .save_login(&login("1//t").made_by("localhost", made))
        .unwrap();
    assert_eq!(end(&store), None);
    store
        .save_login(&login("1//t").made_by("notebook", made))
        .unwrap();
    assert_eq!(end(&store), Some("2026-11-08T12:00:00Z".parse().unwrap()));
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(end(&store), None);
    put(
        &store,
        r#"{"refresh_token": "t", "rust_login_mode": 7, "rust_login_at": "soon"}"#,
    );
    assert_eq!(end(&store), None);
}

#[cfg(unix)]
#[test]
fn others_may_not_read_it_and_are_told_of_if_they_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, store) = store();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    put(&store, r#"{"project": "p"}"#);
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = store.read().unwrap().unwrap().warnings;
    assert_eq!(warnings[0].code, "readable_by_others");
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(mode(store.path()), 0o600);
    assert!(store.read().unwrap().unwrap().warnings.is_empty());

    let (_folder, store) = self::store();
    store.set_project("p").unwrap();
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(&store.lock_path()), 0o600);
    assert_eq!(mode(store.path().parent().unwrap()), 0o700);
}

#[cfg(unix)]
#[test]
fn a_link_is_read_through_and_replaced_as_the_python_client_does_it() {
    let (folder, store) = store();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, r#"{"project": "p"}"#).unwrap();
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert!(!fs::symlink_metadata(store.path()).unwrap().is_symlink());
    assert_eq!(contents(&store)["project"], "p");
    assert_eq!(
        fs::read_to_string(&elsewhere).unwrap(),
        r#"{"project": "p"}"#
    );

    fs::remove_file(store.path()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
    let removed = store.remove().unwrap();
    assert!(removed.existed && elsewhere.exists());
    assert_eq!(removed.left.unwrap(), fs::canonicalize(&elsewhere).unwrap());
    assert!(!store.remove().unwrap().existed);

    std::os::unix::fs::symlink("nowhere", store.path()).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(contents(&store)["refresh_token"], "1//t");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = Store::at(file.path().join("below/credentials"));
    let error = store.save_login(&login("1//canary")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("below/credentials"), "{error}");
    assert!(error.remedy().is_some());
    assert!(!format!("{error:?}").contains("canary"));
    let nowhere = Store::open(&Environment::empty()).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::InvalidEnvironment);
}

#[test]
fn many_writers_at_once_lose_nothing_of_each_other() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = &store;
            scope.spawn(move || match n % 2 {
                0 => drop(store.save_login(&login(&format!("1//{n}"))).unwrap()),
                _ => store.set_project(&format!("project-{n}")).unwrap(),
            });
        }
    });
    let contents = contents(&store);
    assert!(
        contents["refresh_token"]
            .as_str()
            .unwrap()
            .starts_with("1//")
    );
    assert!(
        contents["project"]
            .as_str()
            .unwrap()
            .starts_with("project-")
    );
    assert_eq!(names(&store), [".credentials.lock", "credentials"]);
}

const PATH: &str = "EE_STORE_TEST_PATH";
const STAGE: &str = "EE_STORE_TEST_STAGE";

/// The process that is killed: it stops at the stage that a variable names, and says so.
#[test]
fn a_writer_for_the_test_below() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let stage = std::env::var(STAGE).unwrap();
    let stop = |at: Stage| {
        if format!("{at:?}") == stage {
            eprintln!("\nstopped at {at:?}");
            loop {
                std::thread::park();
            }
        }
    };
    Store::at(path)
        .save_login_in_stages(&login("1//new"), &stop)
        .unwrap();
}

const STAGES: [Stage; 4] = [
    Stage::Created,
    Stage::Written,
    Stage::Synced,
    Stage::Renamed,
];

fn kill_a_writer(store: &Store, stage: Stage) {
    use std::io::{BufRead as _, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_writer_for_the_test_below", "--nocapture"])
        .env(PATH, store.path())
        .env(STAGE, format!("{stage:?}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = format!("stopped at {stage:?}");
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let stopped = lines.map_while(Result::ok).any(|line| line == told);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stopped, "the writer never came to {stage:?}");
}

#[test]
fn a_kill_at_any_stage_leaves_the_old_file_or_the_new_one() {
    for stage in STAGES {
        let (_folder, store) = store();
        store.save_login(&login("1//old")).unwrap();
        store.set_project("p").unwrap();
        let old = fs::read(store.path()).unwrap();
        kill_a_writer(&store, stage);
        if stage == Stage::Renamed {
            assert_eq!(contents(&store)["refresh_token"], "1//new");
            assert_eq!(contents(&store)["project"], "p");
        } else {
            assert_eq!(fs::read(store.path()).unwrap(), old, "{stage:?}");
        }
        // The lock went with the process, and the next writer tidies up.
        store.save_login(&login("1//next")).unwrap();
        assert_eq!(contents(&store)["refresh_token"], "1//next");
        assert_eq!(names(&store), [".credentials.lock", "credentials"]);
    }
}

#[test]
fn a_kill_while_something_else_is_moved_aside_keeps_it() {
    let key = r#"{"type": "service_account", "private_key": "canary"}"#;
    for stage in STAGES {
        let (_folder, store) = store();
        put(&store, key);
        kill_a_writer(&store, stage);
        let aside = names(&store).pop().unwrap();
        assert!(aside.starts_with("credentials.before-"), "{aside}");
        let kept = fs::read_to_string(store.path().with_file_name(aside)).unwrap();
        assert_eq!(kept, key, "{stage:?}");
        // There was never a moment without a file.
        let text = fs::read_to_string(store.path()).unwrap();
        assert_eq!(text == key, stage != Stage::Renamed, "{stage:?}");
        store.save_login(&login("1//next")).unwrap();
        assert_eq!(contents(&store)["refresh_token"], "1//next");
    }
}

#[tokio::test]
async fn revoking_ends_the_grant_at_google_and_then_removes_the_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap()).unwrap();
    let jane = emulator.create_user("jane@example.com");
    let (_folder, store) = store();
    let save = || {
        store
            .save_login(&login(jane.earthengine_refresh_token()))
            .unwrap()
    };
    save();
    let (revocation, removed) = store.revoke(&http).await.unwrap();
    assert_eq!(revocation, Revocation::Revoked);
    assert!(removed.existed && !store.path().exists());
    let sent = emulator.requests();
    assert_eq!((sent[0].path.as_str(), sent.len()), ("/revoke", 1));
    assert_eq!(sent[0].form()["token"], jane.earthengine_refresh_token());

    save();
    assert_eq!(
        store.revoke(&http).await.unwrap().0,
        Revocation::AlreadyEnded
    );
    store.set_project("p").unwrap();
    assert_eq!(store.revoke(&http).await.unwrap().0, Revocation::NoLogin);
    assert!(!store.revoke(&http).await.unwrap().1.existed);
}

#[tokio::test]
async fn a_grant_that_cannot_be_ended_keeps_its_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap()).unwrap();
    let (_folder, store) = store();
    store.save_login(&login("1//canary")).unwrap();
    emulator.shutdown().await;
    let error = store.revoke(&http).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token(ee_token::ErrorKind::Network));
    assert!(!format!("{error:?}").contains("canary"));
    assert!(store.path().exists());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(16))]

    #[test]
    fn a_login_that_was_saved_is_read_the_same_and_a_stranger_s_keys_stay(
        token in "[!-~]{1,60}", project in "[a-z0-9:.-]{1,30}", key in ".{1,8}", value in ".*",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("credentials"));
        let key = format!("x{key}");
        fs::write(store.path(), serde_json::json!({ &key: &value }).to_string()).unwrap();
        store.set_project(&project).unwrap();
        let scopes = Scopes::new(["earthengine", "drive"]);
        store.save_login(&NewLogin::new(token.clone(), scopes.clone())).unwrap();
        let file = store.read().unwrap().unwrap().file;
        assert_eq!((file.project(), file.scopes()), (Some(&*project), Some(&scopes)));
        assert_eq!(file.into_refresh_token().unwrap().expose_secret(), token);
        let text = fs::read_to_string(store.path()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json[key], value);
    }
}
