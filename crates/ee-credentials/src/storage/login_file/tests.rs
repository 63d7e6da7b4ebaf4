//! What the store promises: nothing lost, nothing half, nothing for others to read.

use ee_emulator::Emulator;
use ee_token::Endpoints;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::storage::private_file::killed;

fn store() -> (TempDir, LoginFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/credentials");
    (folder, LoginFile::at(path))
}

fn login(token: &str) -> Login {
    Login::new(token, Scopes::earth_engine())
}

fn put(store: &LoginFile, text: &str) {
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    fs::write(store.path(), text).unwrap();
}

fn contents(store: &LoginFile) -> Value {
    serde_json::from_str(&fs::read_to_string(store.path()).unwrap()).unwrap()
}

fn names(store: &LoginFile) -> Vec<String> {
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
        assert_eq!(warnings[0].code, "file_backed_up");
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
fn a_login_that_is_odd_itself_goes_and_the_project_and_unknown_keys_stay() {
    let (_folder, store) = store();
    put(
        &store,
        r#"{"refresh_token": "1//x", "scopes": "a", "project": "p", "future": 1}"#,
    );
    assert!(store.read().is_err());
    assert_eq!(store.save_login(&login("1//new")).unwrap(), []);
    let contents = contents(&store);
    assert_eq!(contents["refresh_token"], "1//new");
    assert_eq!(
        (&contents["project"], &contents["future"]),
        (&json!("p"), &json!(1))
    );
    assert_eq!(names(&store), [".credentials.lock", "credentials"]);
    // If the project is what is odd, the other keys stay, and the whole is kept beside.
    put(&store, r#"{"project": ["p"], "future": 1}"#);
    let warnings = store.save_login(&login("1//new")).unwrap();
    assert_eq!(warnings[0].code, "file_backed_up");
    assert_eq!(self::contents(&store)["future"], 1);
    assert_eq!(store.read().unwrap().unwrap().file.project(), None);
}

#[test]
fn a_folder_in_the_files_place_stays_where_it_is_and_so_does_what_is_in_it() {
    let (_folder, store) = store();
    fs::create_dir_all(store.path().join("work")).unwrap();
    for error in [
        store.save_login(&login("1//t")).unwrap_err(),
        store.set_project("p").unwrap_err(),
        store.unset_project().unwrap_err(),
        store.remove().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        let path = store.path().display().to_string();
        assert!(error.to_string().contains(&path), "{error}");
        assert!(error.remedy().is_some());
    }
    assert_eq!(names(&store), ["credentials"], "nothing was made beside it");
    assert!(store.path().join("work").exists());
}

#[cfg(unix)]
#[test]
fn a_device_in_the_files_place_is_not_replaced() {
    let (_folder, store) = store();
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/null", store.path()).unwrap();
    let error = store.save_login(&login("1//t")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(error.to_string().contains("device"), "{error}");
    assert!(fs::symlink_metadata(store.path()).unwrap().is_symlink());
    assert!(store.remove().is_err());
}

#[test]
fn files_that_are_moved_aside_in_the_same_second_do_not_take_each_others_place() {
    fn no_links(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    let ways: [fn(&Path, &Path) -> io::Result<()>; 2] =
        [|from, to| fs::hard_link(from, to), no_links];
    for link in ways {
        let (_folder, store) = store();
        let aside: Vec<String> = (0..3)
            .map(|n| {
                put(&store, &n.to_string());
                let aside = keep_aside(store.path(), link).unwrap();
                let _ = fs::remove_file(store.path());
                fs::read_to_string(aside).unwrap()
            })
            .collect();
        assert_eq!(aside, ["0", "1", "2"]);
        let kept = names(&store);
        assert_eq!(kept.len(), 3, "{kept:?}");
    }
}

#[test]
fn only_our_own_temporary_files_are_swept_away() {
    let (_folder, store) = store();
    store.set_project("p").unwrap();
    let beside = |name: &str| store.path().with_file_name(name);
    let others = [
        ".credentials.notes.tmp",
        ".credentials.0123456789ABCDEF.tmp",
        ".credentials.0123456789abcdef.tmp2",
        ".other.0123456789abcdef.tmp",
    ];
    let ours = beside(".credentials.0123456789abcdef.tmp");
    for path in others.map(beside).iter().chain([&ours]) {
        fs::write(path, "x").unwrap();
    }
    store.set_project("q").unwrap();
    assert!(!ours.exists());
    assert!(others.map(beside).iter().all(|path| path.exists()));
}

#[test]
fn a_verifier_is_kept_until_a_login_is_stored_or_removed() {
    let (_folder, store) = store();
    assert!(store.load_code_verifier().unwrap().is_none());
    let keep = || {
        store.save_code_verifier(&"a:b:c".into()).unwrap();
        let kept = store.load_code_verifier().unwrap().unwrap();
        assert_eq!(kept.expose_secret(), "a:b:c");
    };
    keep();
    assert!(store.read().unwrap().is_none(), "it is no login");
    #[cfg(unix)]
    {
        let metadata = fs::metadata(store.verifier_path()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    store.save_login(&login("1//t")).unwrap();
    assert!(store.load_code_verifier().unwrap().is_none());
    for _ in 0..2 {
        keep();
        store.remove().unwrap();
        assert!(store.load_code_verifier().unwrap().is_none());
    }
}

#[test]
fn when_and_how_a_login_was_made_is_kept_and_a_notebooks_ends_after_seven_days() {
    let (_folder, store) = store();
    let made: DateTime<Utc> = "2026-11-01T12:00:00Z".parse().unwrap();
    let end = |store: &LoginFile| store.read().unwrap().unwrap().file.login_expires_at();
    store
        .save_login(&login("1//t").login_mode_at("localhost", made))
        .unwrap();
    assert_eq!(end(&store), None);
    store
        .save_login(&login("1//t").login_mode_at("notebook", made))
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
    assert_eq!(warnings[0].code, "insecure_permissions");
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
    let store = LoginFile::at(file.path().join("below/credentials"));
    let error = store.save_login(&login("1//canary")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsFile);
    assert!(error.to_string().contains("below/credentials"), "{error}");
    assert!(error.remedy().is_some());
    assert!(!format!("{error:?}").contains("canary"));
    let nowhere = LoginFile::open(&Environment::empty()).unwrap_err();
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

/// The process that is killed: it does what a variable says.
#[test]
fn a_writer_for_the_test_below() {
    let Some((writer, path)) = killed::part() else {
        return;
    };
    let store = LoginFile::at(path);
    match &*writer {
        "login" => drop(store.save_login(&login("1//new")).unwrap()),
        "aside" => {
            let no_links = |_: &Path, _: &Path| Err(io::ErrorKind::Unsupported.into());
            keep_aside(store.path(), no_links).unwrap();
            store.save_login(&login("1//new")).unwrap();
        }
        "set" => store.set_project("new-project").unwrap(),
        "unset" => assert!(store.unset_project().unwrap()),
        "remove" => assert!(store.remove().unwrap().existed),
        "begin" => store.save_code_verifier(&"new".into()).unwrap(),
        other => unreachable!("{other}"),
    }
}

const REPLACED: [&str; 4] = [
    "temporary made",
    "temporary written",
    "temporary synced",
    "put in place",
];

/// Kills a writer after each step in its turn, and checks that its steps are these.
fn kill_at_each_step(
    writer: &str,
    whole_way: &[&[&str]],
    prepare: impl Fn(&LoginFile),
    check: impl Fn(&LoginFile, &[String]),
) {
    let whole_way = whole_way.concat();
    for steps in 0..=whole_way.len() {
        let (_folder, store) = store();
        prepare(&store);
        let test = "storage::login_file::tests::a_writer_for_the_test_below";
        let path = store.path().to_str().unwrap();
        let taken = killed::kill(test, writer, path, steps);
        let expected = &whole_way[..whole_way.len().min(steps + 1)];
        assert_eq!(taken, expected, "{writer}");
        check(&store, &taken);
        // The lock went with the process, and the next writer tidies up.
        store.save_login(&login("1//next")).unwrap();
        assert_eq!(contents(&store)["refresh_token"], "1//next");
        let left = names(&store);
        let is_aside = |name: &&String| name.starts_with("credentials.before-");
        let aside = left.iter().filter(is_aside).count();
        assert_eq!(left.len() - aside, 2, "{left:?}");
    }
}

fn has(taken: &[String], step: &str) -> bool {
    taken.iter().any(|taken| taken == step)
}

#[test]
fn a_kill_at_any_stage_leaves_the_old_file_or_the_new_one() {
    let old = |store: &LoginFile| {
        store.save_login(&login("1//old")).unwrap();
        store.set_project("p").unwrap();
        store.save_code_verifier(&"old".into()).unwrap();
        let name = ".credentials.0123456789abcdef.tmp";
        fs::write(store.path().with_file_name(name), "{").unwrap();
    };
    let there = ["lock there", "temporary swept"];
    let stands = |token: &str, project: &str| {
        let expected = (json!(token), json!(project));
        move |store: &LoginFile| {
            let contents = contents(store);
            let found = (&contents["refresh_token"], &contents["project"]);
            assert_eq!(found, (&expected.0, &expected.1));
        }
    };
    let old_stands = stands("1//old", "p");
    let way = [&there[..], &REPLACED, &["verifier removed"]];
    kill_at_each_step("login", &way, old, |store, taken| {
        if has(taken, "put in place") {
            stands("1//new", "p")(store);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("set", &[&there, &REPLACED], old, |store, taken| {
        if has(taken, "put in place") {
            stands("1//old", "new-project")(store);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("unset", &[&there, &REPLACED], old, |store, taken| {
        if has(taken, "put in place") {
            assert_eq!(contents(store).get("project"), None);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("begin", &[&there, &REPLACED], old, |store, taken| {
        old_stands(store);
        let kept = store.load_code_verifier().unwrap().unwrap();
        let expected = if has(taken, "put in place") {
            "new"
        } else {
            "old"
        };
        assert_eq!(kept.expose_secret(), expected);
    });
    let way = [&there[..], &["file removed", "verifier removed"]];
    kill_at_each_step("remove", &way, old, |store, taken| {
        if has(taken, "file removed") {
            assert!(store.read().unwrap().is_none());
        } else {
            old_stands(store);
        }
    });
}

#[test]
fn a_kill_during_the_first_login_leaves_no_file_or_the_whole_one() {
    let way = [&["folder made", "lock there"][..], &REPLACED];
    kill_at_each_step(
        "login",
        &way,
        |_| {},
        |store, taken| {
            let stored = store.read().unwrap();
            assert_eq!(stored.is_some(), has(taken, "put in place"));
            assert!(stored.is_none_or(|stored| stored.file.has_login()));
        },
    );
    let alone = |store: &LoginFile| store.set_project("p").unwrap();
    let way = [&["lock there", "file removed"][..]];
    kill_at_each_step("unset", &way, alone, |store, taken| {
        assert_eq!(store.read().unwrap().is_none(), has(taken, "file removed"));
    });
}

#[test]
fn a_kill_while_something_else_is_moved_aside_keeps_it() {
    let key = r#"{"type": "service_account", "private_key": "canary"}"#;
    let prepare = |store: &LoginFile| put(store, key);
    let is_kept = |store: &LoginFile| {
        let folder = store.path().parent().unwrap();
        names(store).iter().any(|name| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            text == key
        })
    };
    let way = [&["lock there", "linked aside"][..], &REPLACED];
    kill_at_each_step("login", &way, prepare, |store, taken| {
        assert!(is_kept(store));
        // There was never a moment without a file.
        let text = fs::read_to_string(store.path()).unwrap();
        assert_eq!(text == key, !has(taken, "put in place"), "{taken:?}");
    });
    // Where a file cannot have two names.
    let way = [&["name taken", "moved aside", "lock there"][..], &REPLACED];
    kill_at_each_step("aside", &way, prepare, |store, _| assert!(is_kept(store)));
}

#[tokio::test]
async fn revoking_ends_the_grant_at_google_and_then_removes_the_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap());
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
async fn a_login_that_was_made_while_the_one_before_was_revoked_stays() {
    let emulator = Emulator::start().await.unwrap();
    let slow = ee_emulator::Fault::delay(Duration::from_millis(300));
    emulator.fault("oauth2.googleapis.com", slow);
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap());
    let jane = emulator.create_user("jane@example.com");
    let (_folder, store) = store();
    store
        .save_login(&login(jane.earthengine_refresh_token()))
        .unwrap();
    let meanwhile = async {
        while emulator.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        store.save_login(&login("1//meanwhile")).unwrap();
    };
    let (ended, ()) = tokio::join!(store.revoke(&http), meanwhile);
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsFile);
    assert!(error.to_string().contains("logged in"), "{error}");
    assert_eq!(contents(&store)["refresh_token"], "1//meanwhile");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_looked_for_is_not_called_absent() {
    let (folder, _) = store();
    // A link to itself; root may enter every directory.
    let link = folder.path().join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let store = LoginFile::at(link.join("credentials"));
    for error in [
        store.remove().unwrap_err(),
        store.unset_project().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::CredentialsFile);
        assert!(
            error.to_string().contains("cannot be looked for"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_grant_that_cannot_be_ended_keeps_its_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap());
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
        let store = LoginFile::at(folder.path().join("credentials"));
        let key = format!("x{key}");
        fs::write(store.path(), serde_json::json!({ &key: &value }).to_string()).unwrap();
        store.set_project(&project).unwrap();
        let scopes = Scopes::new(["earthengine", "drive"]);
        store.save_login(&Login::new(token.clone(), scopes.clone())).unwrap();
        let file = store.read().unwrap().unwrap().file;
        assert_eq!((file.project(), file.scopes()), (Some(&*project), Some(&scopes)));
        assert_eq!(file.into_refresh_token().unwrap().expose_secret(), token);
        let text = fs::read_to_string(store.path()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json[key], value);
    }
}

#[cfg(unix)]
#[test]
fn files_of_our_own_are_never_opened_through_links() {
    let (folder, store) = store();
    put(&store, r#"{"project": "p"}"#);
    let existing = folder.path().join("existing");
    fs::write(&existing, "of somebody").unwrap();
    let dangling = folder.path().join("dangling");
    let kinds = [
        "a link to a file",
        "a link to nothing",
        "a pipe",
        "a directory",
    ];
    for kind in kinds {
        for path in [store.lock_path(), store.verifier_path()] {
            let _ = fs::remove_file(store.lock_path());
            match kind {
                "a link to a file" => std::os::unix::fs::symlink(&existing, &path).unwrap(),
                "a link to nothing" => std::os::unix::fs::symlink(&dangling, &path).unwrap(),
                "a pipe" => {
                    let made = std::process::Command::new("mkfifo").arg(&path).status();
                    assert!(made.unwrap().success());
                }
                _ => fs::create_dir(&path).unwrap(),
            }
            let error = if path == store.lock_path() {
                store.set_project("q").unwrap_err()
            } else {
                store.load_code_verifier().unwrap_err()
            };
            let text = format!("{error}");
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(text.contains(name), "{kind}: {text}");
            let command = error.remedy().unwrap().command.as_deref().unwrap();
            assert!(
                command.starts_with("rm") && command.contains(name),
                "{kind}: {command}"
            );
            assert_eq!(fs::read_to_string(&existing).unwrap(), "of somebody");
            assert!(
                !dangling.exists(),
                "{kind}: nothing is created behind a link"
            );
            assert_eq!(contents(&store)["project"], "p");
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
    store.set_project("q").unwrap();
}

#[cfg(unix)]
#[test]
fn root_leaves_files_to_the_owner_of_what_they_replace() {
    use std::os::unix::fs::{MetadataExt as _, chown, lchown};
    let (folder, store) = store();
    let owner = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    if chown(folder.path(), Some(4321), Some(4322)).is_err() {
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"root_leaves_files_to_the_owner_of_what_they_replace: SKIPPED, this user may not give files away\n",
        );
        return;
    }
    store.set_project("p").unwrap();
    store.save_code_verifier(&"a:b:c".into()).unwrap();
    let below = folder.path().join("new");
    for path in [
        below.clone(),
        below.join("folder"),
        store.path().to_owned(),
        store.lock_path(),
        store.verifier_path(),
    ] {
        assert_eq!(owner(&path), (4321, 4322), "{}", path.display());
    }

    // The file's owner, and not the directory's.
    chown(store.path(), Some(4323), Some(4324)).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(owner(store.path()), (4323, 4324));
    assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o600);

    // The owner of a link, and not of what it leads to.
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(store.path(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
    lchown(store.path(), Some(4325), Some(4326)).unwrap();
    store.set_project("q").unwrap();
    assert_eq!(owner(store.path()), (4325, 4326));
    assert_eq!(owner(&elsewhere), (4323, 4324));
    assert_eq!(names(&store), [".credentials.lock", "credentials"]);
}

#[cfg(unix)]
#[test]
fn unreadable_login_file_is_not_moved_aside() {
    use crate::input::file::faults::{Fault, inject};
    let (_folder, store) = store();
    store.save_login(&login("1//old")).unwrap();
    let before = fs::read(store.path()).unwrap();
    for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::IO] {
        let injected = inject(store.path(), Fault::OpenError(errno.raw_os_error()));
        let error = store.save_login(&login("1//new")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{errno}");
        drop(injected);
        assert_eq!(fs::read(store.path()).unwrap(), before);
        assert_eq!(names(&store), [".credentials.lock", "credentials"]);
    }
    store.save_login(&login("1//new")).unwrap();
}
