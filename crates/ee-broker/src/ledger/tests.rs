use super::*;

fn denied() -> Entry {
    Entry {
        event: Event::Denied(Denial::OtherUser(1001)),
        uid: Some(1001),
        process: None,
    }
}

fn token() -> Entry {
    Entry {
        event: Event::Token {
            requested: Some(Scopes::new(["cloud-platform"])),
            granted: Some(Scopes::new(["earthengine"])),
            expires_at: Utc::now(),
        },
        uid: Some(1000),
        process: Some(Process {
            pid: 7,
            command: Some("python3".into()),
        }),
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn entries_are_lines_of_json_in_a_private_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    for round in 1..=2 {
        let ledger = Ledger::new(Some(&path)).unwrap();
        ledger.record(token()).await;
        ledger.record(denied()).await;
        ledger.flush().await;
        let lines = lines(&path);
        assert_eq!(lines.len(), 2 * round, "earlier entries are kept");
        assert_eq!(ledger.recent(), lines[2 * round - 2..]);
        let got = &lines[0];
        assert_eq!((&got["event"], &got["pid"]), (&json!("token"), &json!(7)));
        let scope = |name: &str| json!([format!("https://www.googleapis.com/auth/{name}")]);
        assert_eq!(got["scopes_requested"], scope("cloud-platform"));
        assert_eq!(got["scopes_granted"], scope("earthengine"));
        assert_eq!(lines[1]["reason"], "other_user");
        assert_eq!(ledger.counts.lost.load(Ordering::Relaxed), 0);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_flood_of_denials_is_counted_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let ledger = Ledger::new(Some(&path)).unwrap();
    for _ in 0..10_000 {
        ledger.record(denied()).await;
    }
    ledger.record(token()).await;
    ledger.flush().await;
    assert_eq!(ledger.counts.denied.load(Ordering::Relaxed), 10_000);
    let lines = lines(&path);
    // Every token is written. More than a second may have passed.
    assert!(lines.len() < 1000, "{}", lines.len());
    assert_eq!(lines.last().unwrap()["event"], "token");
    assert_eq!(ledger.recent().len(), RECENT.min(lines.len()));
}

#[cfg(unix)]
#[test]
fn links_and_readable_files_are_no_ledgers() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    std::fs::write(&target, "kept").unwrap();
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    let public = dir.path().join("public");
    std::fs::write(&public, "").unwrap();
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o644)).unwrap();
    for path in [
        &link,
        &public,
        &dir.path().to_owned(),
        &dir.path().join("no/dir"),
    ] {
        let error = Ledger::new(Some(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ledger, "{error}");
        assert!(!error.remedy().text.is_empty());
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn entries_that_cannot_be_written_are_counted() {
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let (sender, receiver) = mpsc::channel(4);
    let lost = std::sync::Arc::new(AtomicU64::new(0));
    let counted = lost.clone();
    let writer = std::thread::spawn(move || write_lines(full, receiver, &counted));
    sender.send(Line::Entry("{}".into())).await.unwrap();
    drop(sender);
    writer.join().unwrap();
    assert_eq!(lost.load(Ordering::Relaxed), 1);
}
