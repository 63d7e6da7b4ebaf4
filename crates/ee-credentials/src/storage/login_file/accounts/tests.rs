//! Accounts: a switch at any time, interrupted or not, loses no login and no project.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ee_emulator::Emulator;
use ee_token::Scopes;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::options::options;
use crate::storage::private_file::killed;

fn accounts() -> (TempDir, Accounts) {
    let dir = tempfile::tempdir().unwrap();
    let file = LoginFile::at(dir.path().join("config/credentials"));
    (dir, Accounts::of(file))
}

fn login(token: &str) -> Login {
    Login::new(token, Scopes::earth_engine())
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn contents(file: &LoginFile) -> Value {
    serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap()
}

/// Saves a login whose refresh token contains the name of its account.
fn save(accounts: &Accounts, account: &str) -> SwitchedAccount {
    let login = login(&format!("1//{account}"));
    accounts.save_login(&name(account), &login).unwrap()
}

fn pair(token: &str, project: &str) -> (Value, Value) {
    (json!(token), json!(project))
}

/// The refresh token and the project of an account's own file, or of the shared file.
fn stored(accounts: &Accounts, account: Option<&str>) -> (Value, Value) {
    let file = accounts.file(account.map(name).as_ref());
    let contents = contents(&file);
    (
        contents["refresh_token"].clone(),
        contents["project"].clone(),
    )
}

/// All pairs of a refresh token and a project in any file, which a switch must not lose.
fn everything(accounts: &Accounts) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for dir in [accounts.shared.path().parent().unwrap(), &accounts.dir()] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if let Ok(json) = serde_json::from_str::<Value>(&text) {
                found.insert(format!("{} {}", json["refresh_token"], json["project"]));
            }
        }
    }
    found
}

fn listed(accounts: &Accounts) -> Vec<(Option<String>, bool)> {
    let list = accounts.list().unwrap();
    list.into_iter()
        .map(|account| (account.name.map(|name| name.to_string()), account.is_active))
        .collect()
}

#[test]
fn switch_replaces_the_shared_file_and_keeps_projects() {
    let (_dir, accounts) = accounts();
    let (work, home) = (name("work"), name("home"));
    assert!(accounts.list().unwrap().is_empty());
    let saved = save(&accounts, "work");
    assert_eq!((saved.previous, saved.was_unnamed), (None, false));
    accounts.shared.set_project("work-project").unwrap();
    let saved = save(&accounts, "home");
    assert_eq!(saved.previous, Some(work.clone()));
    assert_eq!(stored(&accounts, None), (json!("1//home"), Value::Null));
    accounts.set_project(&home, "home-project").unwrap();
    assert_eq!(stored(&accounts, None).1, json!("home-project"));

    let switched = accounts.switch(&work).unwrap();
    assert_eq!(switched.previous, Some(home.clone()));
    assert_eq!(stored(&accounts, None), pair("1//work", "work-project"));
    assert_eq!(
        stored(&accounts, Some("home")),
        pair("1//home", "home-project")
    );
    assert_eq!(
        listed(&accounts),
        [(Some("home".into()), false), (Some("work".into()), true)]
    );
    // Of another account, without a switch.
    accounts.set_project(&home, "other-project").unwrap();
    assert_eq!(stored(&accounts, None).1, json!("work-project"));
    assert!(accounts.unset_project(&work).unwrap());
    assert!(!accounts.unset_project(&work).unwrap());
    assert_eq!(stored(&accounts, None).1, Value::Null);
    let again = accounts.switch(&work).unwrap();
    assert_eq!(again.previous, Some(work));
    accounts.switch(&home).unwrap();
    assert_eq!(stored(&accounts, None), pair("1//home", "other-project"));
}

#[test]
fn login_again_replaces_the_login_of_its_account_only() {
    let (_dir, accounts) = accounts();
    let (work, home) = (name("work"), name("home"));
    save(&accounts, "home");
    accounts.save_login(&work, &login("1//old")).unwrap();
    accounts.shared.set_project("work-project").unwrap();
    let saved = accounts.save_login(&work, &login("1//new")).unwrap();
    assert_eq!(saved.previous, None);
    let expected = pair("1//new", "work-project");
    assert_eq!(stored(&accounts, None), expected);
    assert_eq!(stored(&accounts, Some("work")), expected);
    assert_eq!(
        accounts.names().unwrap(),
        [home, work],
        "no account was added"
    );
}

#[test]
fn project_of_the_active_account_survives_an_unnamed_login() {
    let (_dir, accounts) = accounts();
    save(&accounts, "work");
    accounts.shared.set_project("work-project").unwrap();
    let save = || accounts.save_unnamed_while(&|| true, &login("1//other"));
    assert_eq!(save().unwrap(), []);
    assert_eq!(stored(&accounts, None).0, json!("1//other"));
    let kept = stored(&accounts, Some("work"));
    assert_eq!(kept, pair("1//work", "work-project"));
    assert_eq!(save().unwrap(), []);
}

#[test]
fn unnamed_login_becomes_the_account_default() {
    let (_dir, accounts) = accounts();
    let work = name("work");
    save(&accounts, "work");
    for (at, (token, kept)) in [("1//a", "default"), ("1//b", "default-2")]
        .into_iter()
        .enumerate()
    {
        // As the Python client writes it.
        let text = json!({"refresh_token": token, "scopes": ["x"], "project": "p", "n": 1.50});
        put(accounts.shared.path(), &text.to_string());
        assert_eq!(accounts.active().unwrap(), None);
        assert_eq!(listed(&accounts)[0], (None, true));
        let switched = accounts.switch(&work).unwrap();
        assert_eq!(switched.previous, Some(name(kept)));
        assert!(switched.was_unnamed);
        assert_eq!(contents(&accounts.file(Some(&name(kept)))), text);
        assert_eq!(accounts.names().unwrap().len(), at + 2);
    }
}

#[test]
fn other_contents_of_the_shared_file_are_kept() {
    let backup = |accounts: &Accounts| -> Vec<String> {
        let dir = fs::read_dir(accounts.shared.path().parent().unwrap()).unwrap();
        dir.map(|entry| entry.unwrap().path())
            .filter(|path| path.display().to_string().contains(".before-"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    };
    let token = r#"{"access_token": "ya29.x", "access_token_expiry_date": 1790000000000}"#;
    for (text, project, backups) in [
        // A project without a login belongs to the login that follows.
        (r#"{"project": "p", "future": 1}"#, json!("p"), 0),
        ("", Value::Null, 0),
        ("{", Value::Null, 1),
        (
            r#"{"type": "service_account", "private_key": "k"}"#,
            Value::Null,
            1,
        ),
        (token, Value::Null, 0),
    ] {
        let (_dir, accounts) = accounts();
        let work = name("work");
        put(
            accounts.file(Some(&work)).path(),
            r#"{"refresh_token": "1//work"}"#,
        );
        put(accounts.shared.path(), text);
        let switched = accounts.switch(&work).unwrap();
        assert_eq!(
            stored(&accounts, None),
            (json!("1//work"), project),
            "{text}"
        );
        assert_eq!(backup(&accounts).len(), backups, "{text}");
        let backed_up = |warning: &&Warning| warning.code == "file_backed_up";
        assert_eq!(
            switched.warnings.iter().filter(backed_up).count(),
            backups,
            "{text}"
        );
        assert_eq!(switched.previous.is_some(), text == token);
    }
    // Both have a project, and only the account has a login.
    let (_dir, accounts) = accounts();
    let work = name("work");
    let own = r#"{"refresh_token": "1//work", "project": "own"}"#;
    put(accounts.file(Some(&work)).path(), own);
    put(accounts.shared.path(), r#"{"project": "other"}"#);
    let switched = accounts.switch(&work).unwrap();
    let codes: Vec<_> = switched
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect();
    assert!(codes.contains(&"file_backed_up"), "{codes:?}");
    assert_eq!(stored(&accounts, None).1, json!("own"));
    assert!(backup(&accounts)[0].contains("other"));
}

#[test]
fn unknown_account_changes_nothing() {
    let (dir, accounts) = accounts();
    let error = accounts.switch(&name("work")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    save(&accounts, "work");
    for result in [
        accounts.switch(&name("wrok")).map(drop),
        accounts.set_project(&name("wrok"), "p"),
        accounts.unset_project(&name("wrok")).map(drop),
        accounts.remove(Some(&name("wrok"))).map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(
            error.remedy().text.contains("Did you mean work?"),
            "{error}"
        );
    }
    put(accounts.file(Some(&name("empty"))).path(), "{}");
    let error = accounts.switch(&name("empty")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    let command = error.remedy().command.as_deref();
    assert_eq!(command, Some("eectl auth login --account empty"));
    assert_eq!(stored(&accounts, None).0, json!("1//work"));
}

#[test]
fn removal_includes_the_copy_of_the_active_account() {
    for named in [true, false] {
        let (_dir, accounts) = accounts();
        let (work, home) = (name("work"), name("home"));
        save(&accounts, "home");
        save(&accounts, "work");
        let removed = accounts.remove(named.then_some(&work)).unwrap();
        assert!(removed.existed);
        assert_eq!(removed.also_removed.len(), 1);
        assert!(!accounts.shared.path().exists());
        assert_eq!(listed(&accounts), [(Some("home".into()), false)]);
        let removed = accounts.remove(Some(&home)).unwrap();
        assert!(removed.also_removed.is_empty());
    }
    // Another account stays active.
    let (_dir, accounts) = accounts();
    let (work, home) = (name("work"), name("home"));
    save(&accounts, "home");
    save(&accounts, "work");
    accounts.remove(Some(&home)).unwrap();
    assert_eq!(accounts.active().unwrap(), Some(work));
}

#[tokio::test]
async fn revocation_removes_the_account_and_its_copy() {
    let emulator = Emulator::start().await.unwrap();
    let http = options(&emulator).http;
    let (_dir, accounts) = accounts();
    let jane = emulator.create_user("jane@example.com");
    let work = name("work");
    let token = jane.earthengine_refresh_token();
    accounts.save_login(&work, &login(token)).unwrap();
    let (revocation, removed) = accounts.revoke(Some(&work), &http).await.unwrap();
    assert_eq!(revocation, Revocation::Revoked);
    assert_eq!(removed.also_removed, [accounts.shared.path().to_owned()]);
    assert!(accounts.list().unwrap().is_empty());
    assert!(!accounts.shared.path().exists());
}

#[cfg(unix)]
#[test]
fn insecure_account_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, accounts) = accounts();
    let work = name("work");
    save(&accounts, "work");
    save(&accounts, "home");
    let path = accounts.file(Some(&work)).path().to_owned();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let list = accounts.list().unwrap();
    let codes = |warnings: &[Warning]| warnings.iter().map(|w| w.code).collect::<Vec<_>>();
    let listed = &list[1].contents.as_ref().unwrap().warnings;
    assert_eq!(codes(listed), ["insecure_permissions"]);
    let switched = accounts.switch(&work).unwrap();
    assert_eq!(codes(&switched.warnings), ["insecure_permissions"]);
}

#[cfg(unix)]
#[test]
fn account_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, accounts) = accounts();
    save(&accounts, "work");
    save(&accounts, "home");
    accounts.switch(&name("work")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&accounts.dir()), 0o700);
    let files = fs::read_dir(accounts.dir()).unwrap();
    let own = files.map(|entry| entry.unwrap().path());
    for path in own.chain([accounts.shared.path().to_owned()]) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn concurrent_switches_lose_nothing() {
    let (_dir, accounts) = accounts();
    let names = ["a", "b", "c"].map(name);
    for name in &names {
        save(&accounts, name.as_str());
        accounts
            .set_project(name, &format!("project-{name}"))
            .unwrap();
    }
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (accounts, name) = (&accounts, &names[n % 3]);
            scope.spawn(move || match n % 4 {
                3 => accounts
                    .set_project(name, &format!("project-{name}"))
                    .unwrap(),
                _ => drop(accounts.switch(name).unwrap()),
            });
        }
    });
    for name in &names {
        let expected = pair(&format!("1//{name}"), &format!("project-{name}"));
        assert_eq!(stored(&accounts, Some(name.as_str())), expected);
    }
    let active = accounts.active().unwrap().unwrap();
    let (token, project) = stored(&accounts, None);
    assert_eq!(token, json!(format!("1//{active}")));
    assert_eq!(project, json!(format!("project-{active}")));
    assert_eq!(accounts.names().unwrap().len(), 3);
}

const SUBPROCESS: &str = "storage::login_file::accounts::tests::subprocess_for_the_test_below";

/// The child process that is killed.
#[test]
fn subprocess_for_the_test_below() {
    let Some((task, path)) = killed::part() else {
        return;
    };
    let accounts = Accounts::of(LoginFile::at(path));
    match &*task {
        "switch" => drop(accounts.switch(&name("home")).unwrap()),
        "login" => drop(save(&accounts, "new")),
        "logout" => drop(accounts.remove(Some(&name("work"))).unwrap()),
        other => unreachable!("{other}"),
    }
}

/// A switch and a login are killed after each of their steps, with a named and an unnamed login in
/// the shared file, whose project is newer than that of its account.
#[test]
fn kill_at_any_step_of_a_switch_loses_nothing() {
    for (task, unnamed) in [
        ("switch", false),
        ("switch", true),
        ("login", false),
        ("login", true),
    ] {
        let mut steps = 0;
        loop {
            let (_dir, accounts) = accounts();
            save(&accounts, "home");
            accounts.set_project(&name("home"), "home-project").unwrap();
            if unnamed {
                accounts.shared.save_login(&login("1//work")).unwrap();
            } else {
                save(&accounts, "work");
            }
            accounts.shared.set_project("work-project").unwrap();
            let before = everything(&accounts);
            let path = accounts.shared.path().to_str().unwrap();
            let taken = killed::kill(SUBPROCESS, task, path, steps);
            let after = everything(&accounts);
            let lost: Vec<_> = before.difference(&after).collect();
            // The account's own file had no project yet.
            let outdated = "\"1//work\" null";
            assert!(
                lost.iter().all(|pair| *pair == outdated),
                "{task} {taken:?}: {lost:?}"
            );
            // The shared file contains a complete login at every step: the old or the new.
            let (token, project) = stored(&accounts, None);
            let new = if task == "switch" {
                "1//home"
            } else {
                "1//new"
            };
            let expected = if token == json!(new) { new } else { "1//work" };
            assert_eq!(token, json!(expected), "{taken:?}");
            if expected == "1//work" {
                assert_eq!(project, json!("work-project"));
            }
            // The next process finishes it.
            accounts.switch(&name("home")).unwrap();
            assert_eq!(stored(&accounts, None), pair("1//home", "home-project"));
            if taken.len() <= steps {
                assert!(steps > 8, "{task}: {taken:?}");
                break;
            }
            steps += 1;
        }
    }
}

#[test]
fn kill_at_any_step_of_a_logout_keeps_other_accounts() {
    let mut steps = 0;
    loop {
        let (_dir, accounts) = accounts();
        save(&accounts, "home");
        save(&accounts, "work");
        let path = accounts.shared.path().to_str().unwrap();
        let taken = killed::kill(SUBPROCESS, "logout", path, steps);
        assert_eq!(stored(&accounts, Some("home")).0, json!("1//home"));
        // Repeating it ends in the same state.
        let named = accounts.file(Some(&name("work"))).path().exists();
        accounts
            .remove(named.then(|| name("work")).as_ref())
            .unwrap();
        assert_eq!(
            listed(&accounts),
            [(Some("home".into()), false)],
            "{taken:?}"
        );
        if taken.len() <= steps {
            break;
        }
        steps += 1;
    }
}
