//! Writers that are killed at any step.

use super::*;
use crate::storage::private_file::killed;

/// The child process that is killed.
#[test]
fn subprocess_for_the_test_below() {
    let Some((task, path)) = killed::part() else {
        return;
    };
    let store = LoginFile::at(path);
    match &*task {
        "login" => drop(store.save_login(&login("1//new")).unwrap()),
        "backup" => {
            let no_links = |_: &Path, _: &Path| Err(io::ErrorKind::Unsupported.into());
            back_up(store.path(), no_links).unwrap();
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
    "temporary created",
    "temporary written",
    "temporary synced",
    "renamed",
];

/// Kills a child process after each step in turn, and checks that its steps are these.
fn kill_at_each_step(
    task: &str,
    all_steps: &[&[&str]],
    prepare: impl Fn(&LoginFile),
    check: impl Fn(&LoginFile, &[String]),
) {
    let all_steps = all_steps.concat();
    for steps in 0..=all_steps.len() {
        let (_dir, store) = store();
        prepare(&store);
        let test = "storage::login_file::tests::interrupted::subprocess_for_the_test_below";
        let path = store.path().to_str().unwrap();
        let taken = killed::kill(test, task, path, steps);
        let expected = &all_steps[..all_steps.len().min(steps + 1)];
        assert_eq!(taken, expected, "{task}");
        check(&store, &taken);
        // The lock was released with the process, and the next writer cleans up.
        store.save_login(&login("1//next")).unwrap();
        assert_eq!(contents(&store)["refresh_token"], "1//next");
        let names = names(&store);
        let is_backup = |name: &&String| name.starts_with("credentials.before-");
        let backups = names.iter().filter(is_backup).count();
        assert_eq!(names.len() - backups, 2, "{names:?}");
    }
}

fn has(taken: &[String], step: &str) -> bool {
    taken.iter().any(|taken| taken == step)
}

#[test]
fn kill_at_any_step_leaves_the_old_or_new_login_file() {
    let old = |store: &LoginFile| {
        store.save_login(&login("1//old")).unwrap();
        store.set_project("p").unwrap();
        store.save_code_verifier(&"old".into()).unwrap();
        let name = ".credentials.0123456789abcdef.tmp";
        fs::write(store.path().with_file_name(name), "{").unwrap();
    };
    let there = ["lock opened", "temporary swept"];
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
        if has(taken, "renamed") {
            stands("1//new", "p")(store);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("set", &[&there, &REPLACED], old, |store, taken| {
        if has(taken, "renamed") {
            stands("1//old", "new-project")(store);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("unset", &[&there, &REPLACED], old, |store, taken| {
        if has(taken, "renamed") {
            assert_eq!(contents(store).get("project"), None);
        } else {
            old_stands(store);
        }
    });
    kill_at_each_step("begin", &[&there, &REPLACED], old, |store, taken| {
        old_stands(store);
        let kept = store.load_code_verifier().unwrap().unwrap();
        let expected = if has(taken, "renamed") { "new" } else { "old" };
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
fn kill_during_the_first_login_leaves_no_partial_file() {
    let way = [&["directory created", "lock opened"][..], &REPLACED];
    kill_at_each_step(
        "login",
        &way,
        |_| {},
        |store, taken| {
            let stored = store.read().unwrap();
            assert_eq!(stored.is_some(), has(taken, "renamed"));
            assert!(stored.is_none_or(|stored| stored.file.has_login()));
        },
    );
    let alone = |store: &LoginFile| store.set_project("p").unwrap();
    let way = [&["lock opened", "file removed"][..]];
    kill_at_each_step("unset", &way, alone, |store, taken| {
        assert_eq!(store.read().unwrap().is_none(), has(taken, "file removed"));
    });
}

#[test]
fn kill_during_a_backup_keeps_the_contents() {
    let key = r#"{"type": "service_account", "private_key": "canary"}"#;
    let prepare = |store: &LoginFile| put(store, key);
    let is_kept = |store: &LoginFile| {
        let dir = store.path().parent().unwrap();
        names(store).iter().any(|name| {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            text == key
        })
    };
    let way = [&["lock opened", "backup linked"][..], &REPLACED];
    kill_at_each_step("login", &way, prepare, |store, taken| {
        assert!(is_kept(store));
        // The file exists at every step.
        let text = fs::read_to_string(store.path()).unwrap();
        assert_eq!(text == key, !has(taken, "renamed"), "{taken:?}");
    });
    // Without hard links.
    let way = [
        &["name reserved", "backup renamed", "lock opened"][..],
        &REPLACED,
    ];
    kill_at_each_step("backup", &way, prepare, |store, _| assert!(is_kept(store)));
}
