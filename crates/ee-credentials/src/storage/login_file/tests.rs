//! The guarantees of the login file: no lost changes, no partial writes, no access for other users.

mod interrupted;
mod revocation;

use chrono::{DateTime, Utc};
use ee_token::Scopes;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::kinds::oauth_clients::CLIENT_ID;

fn store() -> (TempDir, LoginFile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/directory/credentials");
    (dir, LoginFile::at(path))
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
fn login_file_matches_the_python_client() {
    let (_dir, store) = store();
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
fn login_keeps_project_and_unknown_keys() {
    let (_dir, store) = store();
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
    assert!(self::contents(&store).get("client_id").is_none());
}

#[test]
fn project_is_set_and_unset_with_and_without_a_login() {
    let (_dir, store) = store();
    assert!(!store.unset_project().unwrap());
    assert!(
        !store.path().parent().unwrap().exists(),
        "no directory is created"
    );
    store.set_project("my-project").unwrap();
    assert_eq!(contents(&store), json!({"project": "my-project"}));
    assert!(store.unset_project().unwrap());
    assert!(!store.path().exists(), "an empty file counts as absent");

    store.save_login(&login("1//t")).unwrap();
    store.set_project("my-project").unwrap();
    assert_eq!(contents(&store)["refresh_token"], "1//t");
    assert!(store.unset_project().unwrap());
    assert!(!store.unset_project().unwrap());
    assert_eq!(contents(&store)["refresh_token"], "1//t");
    put(&store, r#"{"project": "", "x": 1}"#);
    assert!(
        !store.unset_project().unwrap(),
        "an empty project counts as absent"
    );
    assert_eq!(contents(&store), json!({"x": 1}));
}

#[test]
fn other_contents_are_backed_up_and_get_no_project() {
    for text in [
        r#"{"type": "service_account", "private_key": "canary"}"#,
        "1//canary",
        r#"{"refresh_token": "canary"#,
        r#"{"refresh_token": "1//t", "project": {"canary": 1}}"#,
    ] {
        let (_dir, store) = store();
        put(&store, text);
        let error = store.set_project("p").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(!error.remedy().text.is_empty(), "{error}");
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
    let (_dir, store) = store();
    put(&store, " \n");
    assert_eq!(
        store.save_login(&login("1//t")).unwrap(),
        [],
        "an empty file needs no backup"
    );
}

#[test]
fn invalid_login_is_replaced_and_other_keys_are_kept() {
    let (_dir, store) = store();
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
    // If the project is invalid, the other keys are kept, and the file is backed up.
    put(&store, r#"{"project": ["p"], "future": 1}"#);
    let warnings = store.save_login(&login("1//new")).unwrap();
    assert_eq!(warnings[0].code, "file_backed_up");
    assert_eq!(self::contents(&store)["future"], 1);
    assert_eq!(store.read().unwrap().unwrap().file.project(), None);
}

#[test]
fn directory_in_place_of_the_file_is_not_replaced() {
    let (_dir, store) = store();
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
        assert!(!error.remedy().text.is_empty());
    }
    assert_eq!(names(&store), ["credentials"], "no other file is created");
    assert!(store.path().join("work").exists());
}

#[cfg(unix)]
#[test]
fn device_in_place_of_the_file_is_not_replaced() {
    let (_dir, store) = store();
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/null", store.path()).unwrap();
    let error = store.save_login(&login("1//t")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(error.to_string().contains("device"), "{error}");
    assert!(fs::symlink_metadata(store.path()).unwrap().is_symlink());
    assert!(store.remove().is_err());
}

#[test]
fn backups_in_the_same_second_have_different_names() {
    fn no_links(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    let ways: [fn(&Path, &Path) -> io::Result<()>; 2] =
        [|from, to| fs::hard_link(from, to), no_links];
    for link in ways {
        let (_dir, store) = store();
        let aside: Vec<String> = (0..3)
            .map(|n| {
                put(&store, &n.to_string());
                let aside = back_up(store.path(), link).unwrap();
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
fn only_internal_temporary_files_are_removed() {
    let (_dir, store) = store();
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
fn verifier_is_kept_until_a_login_is_saved_or_removed() {
    let (_dir, store) = store();
    assert!(store.load_code_verifier().unwrap().is_none());
    let keep = || {
        store.save_code_verifier(&"a:b:c".into()).unwrap();
        let kept = store.load_code_verifier().unwrap().unwrap();
        assert_eq!(kept.expose_secret(), "a:b:c");
    };
    keep();
    assert!(
        store.read().unwrap().is_none(),
        "a project alone is not a login"
    );
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
fn login_mode_and_time_determine_the_expiry() {
    let (_dir, store) = store();
    let made: DateTime<Utc> = "2026-11-01T12:00:00Z".parse().unwrap();
    let end = |store: &LoginFile| store.read().unwrap().unwrap().file.login_expires_at();
    let save = |mode| {
        let login = login("1//t").login_mode_at(mode, made);
        store.save_login(&login).unwrap();
    };
    save("localhost");
    assert_eq!(end(&store), None);
    save("notebook");
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
fn login_file_is_private_and_insecure_permissions_warn() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, store) = store();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    put(&store, r#"{"project": "p"}"#);
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = store.read().unwrap().unwrap().warnings;
    assert_eq!(warnings[0].code, "insecure_permissions");
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(mode(store.path()), 0o600);
    assert!(store.read().unwrap().unwrap().warnings.is_empty());

    let (_dir, store) = self::store();
    store.set_project("p").unwrap();
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(&store.lock_path()), 0o600);
    assert_eq!(mode(store.path().parent().unwrap()), 0o700);
}

#[cfg(unix)]
#[test]
fn link_is_followed_for_reading_and_replaced_on_writing() {
    let (dir, store) = store();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, r#"{"project": "p"}"#).unwrap();
    fs::create_dir_all(store.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert!(!fs::symlink_metadata(store.path()).unwrap().is_symlink());
    assert_eq!(contents(&store)["project"], "p");
    let kept = fs::read_to_string(&elsewhere).unwrap();
    assert_eq!(kept, r#"{"project": "p"}"#);

    fs::remove_file(store.path()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
    let removed = store.remove().unwrap();
    assert!(removed.existed && elsewhere.exists());
    assert_eq!(
        removed.symlink_target.unwrap(),
        fs::canonicalize(&elsewhere).unwrap()
    );
    assert!(!store.remove().unwrap().existed);

    std::os::unix::fs::symlink("nowhere", store.path()).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(contents(&store)["refresh_token"], "1//t");
}

#[test]
fn unwritable_directory_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = LoginFile::at(file.path().join("below/credentials"));
    let error = store.save_login(&login("1//canary")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsFile);
    assert!(error.to_string().contains("below/credentials"), "{error}");
    assert!(!error.remedy().text.is_empty());
    assert!(!format!("{error:?}").contains("canary"));
    let nowhere = LoginFile::open(&Environment::empty()).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::InvalidEnvironment);
}

#[test]
fn concurrent_writers_lose_no_changes() {
    let (_dir, store) = store();
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
    for (key, start) in [("refresh_token", "1//"), ("project", "project-")] {
        assert!(contents[key].as_str().unwrap().starts_with(start));
    }
    assert_eq!(names(&store), [".credentials.lock", "credentials"]);
}

#[cfg(target_os = "linux")]
#[test]
fn inaccessible_file_is_not_reported_as_absent() {
    let (dir, _) = store();
    // A link to itself, because root can access every directory.
    let link = dir.path().join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let store = LoginFile::at(link.join("credentials"));
    for error in [
        store.remove().unwrap_err(),
        store.unset_project().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::CredentialsFile);
        assert!(error.to_string().contains("cannot access"), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(16))]

    #[test]
    fn saved_login_round_trips_with_unknown_keys(
        token in "[!-~]{1,60}", project in "[a-z0-9:.-]{1,30}", key in ".{1,8}", value in ".*",
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = LoginFile::at(dir.path().join("credentials"));
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
fn internal_files_are_never_opened_through_links() {
    let (dir, store) = store();
    put(&store, r#"{"project": "p"}"#);
    let existing = dir.path().join("existing");
    fs::write(&existing, "existing").unwrap();
    let dangling = dir.path().join("dangling");
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
            let command = error.remedy().command.as_deref().unwrap();
            assert!(
                command.starts_with("rm") && command.contains(name),
                "{kind}: {command}"
            );
            assert_eq!(fs::read_to_string(&existing).unwrap(), "existing");
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
fn root_keeps_the_owner_of_replaced_files() {
    use std::os::unix::fs::{MetadataExt as _, chown, lchown};
    let (dir, store) = store();
    let owner = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    if chown(dir.path(), Some(4321), Some(4322)).is_err() {
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"root_keeps_the_owner_of_replaced_files: SKIPPED, only root can change owners\n",
        );
        return;
    }
    store.set_project("p").unwrap();
    store.save_code_verifier(&"a:b:c".into()).unwrap();
    let below = dir.path().join("new");
    for path in [
        below.clone(),
        below.join("directory"),
        store.path().to_owned(),
        store.lock_path(),
        store.verifier_path(),
    ] {
        assert_eq!(owner(&path), (4321, 4322), "{}", path.display());
    }

    // The owner of the file counts, not that of the directory.
    chown(store.path(), Some(4323), Some(4324)).unwrap();
    store.save_login(&login("1//t")).unwrap();
    assert_eq!(owner(store.path()), (4323, 4324));
    assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o600);

    // The owner of the link counts, not that of its target.
    let elsewhere = dir.path().join("elsewhere");
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
    let (_dir, store) = store();
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
