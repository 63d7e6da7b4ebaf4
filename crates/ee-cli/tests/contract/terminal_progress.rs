//! What `eectl` shows on a terminal while it waits and works.

use std::time::Duration;

use ee_emulator::Fault;

use super::*;

const API: &str = "earthengine.googleapis.com";

#[tokio::test]
async fn silent_server_is_named_after_two_seconds() {
    let machine = Machine::with_key(|b| b).await;
    let silent = Fault::delay(Duration::from_secs(4));
    machine.emulator.fault("earthengine.googleapis.com", silent);
    let (status, shown) = machine.on_terminal(&["init"], &[]).await;
    assert_eq!(status, 0, "{shown}");
    let (before, after) = shown
        .split_once("waiting for earthengine.googleapis.com (attempt 1, 2 s)")
        .unwrap();
    assert!(!before.contains("credential "), "{shown}");
    let (_, result) = after.rsplit_once("\u{1b}[2K").unwrap();
    assert!(result.starts_with("credential "), "{shown}");

    for flag in ["-q", "--json"] {
        let silent = Fault::delay(Duration::from_secs(3));
        machine.emulator.fault("earthengine.googleapis.com", silent);
        let (_, shown) = machine.on_terminal(&["init", flag], &[]).await;
        assert!(!shown.contains("waiting for"), "{shown}");
    }
}

#[tokio::test]
async fn long_list_shows_its_progress_and_erases_it() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.set("NO_COLOR", "1");
    let slow = || Fault::delay(Duration::from_secs(2));
    let host = "cloudresourcemanager.googleapis.com";
    machine.emulator.fault(host, slow());
    let (status, shown) = machine.on_terminal(&["project", "list"], &[]).await;
    assert_eq!(status, 0, "{shown}");
    let (_, after) = shown.split_once("listing projects …").unwrap();
    let (_, list) = after.rsplit_once("\u{1b}[2K").unwrap();
    assert!(list.trim_start().starts_with("PROJECT"), "{shown}");
    for flag in ["-q", "--json", "--color=never"] {
        machine.emulator.fault(host, slow());
        let (_, shown) = machine.on_terminal(&["project", "list", flag], &[]).await;
        let is_shown = flag == "--color=never";
        assert_eq!(shown.contains("listing projects …"), is_shown, "{shown}");
    }
}

/// The normal response, which takes about 2 seconds.
fn slow_body() -> Fault {
    Fault::slow_body(60, Duration::from_millis(700))
}

#[tokio::test]
async fn download_shows_its_bytes_and_saves_the_file() {
    let machine = Machine::with_key(|b| b).await;
    let config = machine.ok(&["api", "config"]).await;
    let total = format!(" of {} B", config.len());
    machine.emulator.fault(API, slow_body());
    let save = ["api", "config", "--output", "config.json"];
    let (status, shown) = machine.on_terminal(&save, &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("downloading … ["), "{shown}");
    assert!(shown.contains("60 B of "), "{shown}");
    assert!(shown.contains(&total), "{total}: {shown}");
    let (_, result) = shown.rsplit_once("\u{1b}[2K").unwrap();
    let saved = format!("saved {} B in config.json\n", config.len());
    assert!(result.ends_with(&saved), "{shown}");
    let file = machine.home.path().join("config.json");
    assert_eq!(fs::read_to_string(&file).unwrap(), config);

    // The line is on standard error.
    machine.emulator.fault(API, slow_body());
    let redirect = format!("'{}' api config > redirected.json", EECTL);
    let (status, shown) = machine.play(&["/bin/sh", "-c", &redirect], &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains(&total), "{shown}");
    let file = machine.home.path().join("redirected.json");
    assert_eq!(fs::read_to_string(&file).unwrap(), config);

    for flag in ["-q", "--json"] {
        machine.emulator.fault(API, slow_body());
        let (_, shown) = machine
            .on_terminal(&[&save[..], &[flag]].concat(), &[])
            .await;
        assert!(!shown.contains("downloading"), "{shown}");
    }
    machine.emulator.fault(API, slow_body());
    let result = machine.run(&save).await;
    assert_eq!(result.stderr, saved);
}

#[tokio::test]
async fn interrupted_download_leaves_the_file_as_it_was() {
    let machine = Machine::with_key(|b| b).await;
    let file = machine.file("old.json", "old");
    let broken = Fault::truncate_body(10).times(10);
    machine.emulator.fault(API, broken);
    let save = ["api", "config", "--output", "old.json"];
    let (status, error) = machine.failure(&save).await;
    assert_eq!(status, 7, "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    machine.emulator.clear_faults();

    let (status, error) = machine
        .failure(&["api", "config", "--output", "none/config.json"])
        .await;
    assert_eq!((status, code(&error)), (1, "io"), "{error}");
    assert!(message(&error).contains("none/config.json"), "{error}");
    let saved = machine.json(&[&save[..], &["--json"]].concat()).await;
    assert_eq!(saved["path"], "old.json");
    assert_eq!(saved["bytes"], fs::metadata(&file).unwrap().len());
}

#[tokio::test]
async fn wait_shows_the_state_progress_and_time_of_tasks() {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.hang_operations(true);
    let id = machine.start_import().await;
    let wait = ["task", "wait", "--timeout", "3", &id];
    let (status, shown) = machine.on_terminal(&wait, &[]).await;
    assert_eq!(status, 7, "{shown}");
    let line = format!("waiting for the task {id}: RUNNING, 50 %, 1 s …");
    assert!(shown.contains(&line), "{line}: {shown}");

    let other = machine.start_import().await;
    let wait = ["task", "wait", "--timeout", "3", &id, &other];
    let (_, shown) = machine.on_terminal(&wait, &[]).await;
    let line = "waiting for 2 tasks: 2 RUNNING, 50 %, ";
    assert!(shown.contains(line), "{shown}");
    for flag in ["-q", "--json"] {
        let (_, shown) = machine
            .on_terminal(&[&wait[..], &[flag]].concat(), &[])
            .await;
        assert!(!shown.contains("waiting for"), "{shown}");
    }

    machine.emulator.hang_operations(false);
    let second_poll = Fault::delay(Duration::from_millis(1500)).on_method("GET");
    machine.emulator.fault(API, second_poll.after_requests(1));
    let manifest = machine.home.path().join("manifest.json");
    let manifest = manifest.display().to_string();
    let upload = ["upload", "image", "--manifest", &manifest, "-f", "--wait"];
    let (status, shown) = machine.on_terminal(&upload, &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains(": RUNNING, 50 %, "), "{shown}");
    assert!(shown.contains("SUCCEEDED after "), "{shown}");
}

#[tokio::test]
async fn work_on_many_assets_shows_how_many_are_done() {
    let machine = Machine::with_key(|b| b).await;
    let root = format!("projects/{PROJECT}/assets");
    machine.emulator.put_asset(&format!("{root}/a"), "FOLDER");
    machine.emulator.put_asset(&format!("{root}/a/b"), "FOLDER");
    machine
        .emulator
        .put_asset(&format!("{root}/a/b/c"), "IMAGE");
    let slow = |path: &str| {
        Fault::delay(Duration::from_millis(1500)).on_path(format!("/v1/{root}/{path}"))
    };
    machine.emulator.fault(API, slow("a/b:listAssets"));
    let (status, shown) = machine.on_terminal(&["ls", "-r"], &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("listing assets: 2 …"), "{shown}");

    machine.emulator.fault(API, slow("a/b").on_method("DELETE"));
    let folder = format!("{root}/a");
    let delete = ["rm", "-r", "--yes", &folder];
    let (status, shown) = machine.on_terminal(&delete, &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("deleting assets … ["), "{shown}");
    assert!(shown.contains("1 of 3"), "{shown}");
}
