//! `eectl` with an emulator: the notice that it prints, and the checks of the emulator's owner.

use super::every_command::{COMMANDS, with_options};
use super::*;

const VARIABLE: &str = "EARTHENGINE_EMULATOR_HOST";
/// Commands that send no requests and use no login.
const LOCAL_COMMANDS: [&str; 3] = ["emulator", "completions", "man"];

fn words<'a>(command: &'a str, arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut words = with_options(command, arguments, &[]);
    words.retain(|word| *word != "--quiet");
    with_options("", &words, more)[1..].to_vec()
}

#[tokio::test]
async fn every_command_reports_a_configured_emulator() {
    let machine = Machine::with_login(|b| b).await;
    let login = fs::read(machine.credentials()).unwrap();
    let address = machine.emulator.address();
    let text = format!("using the emulator at {address} ({VARIABLE}), not Google");
    let json = serde_json::json!({ "note": text }).to_string();
    let text = format!("note: {text}");
    for (command, arguments) in COMMANDS {
        for (more, note) in [
            (&[][..], Some(&text)),
            (&["--json"], Some(&json)),
            (&["-v"], Some(&text)),
            (&["-v", "--json"], Some(&json)),
            (&["-q"], None),
        ] {
            machine.file(".config/earthengine/credentials", &login);
            let words = words(command, arguments, more);
            let result = machine.run(&words).await;
            let note = note.filter(|_| !LOCAL_COMMANDS.contains(&command));
            assert_eq!(result.note.as_ref(), note, "{words:?}: {}", result.stderr);
            if note.is_some() {
                for text in [&result.stdout, &result.stderr] {
                    let text = text.replace("not to Google", "").replace("not Google", "");
                    for claim in [
                        "at Google",
                        "by Google",
                        "Google has",
                        "Google's own",
                        "googleapis.com answers",
                    ] {
                        assert!(!text.contains(claim), "{words:?}: {text}");
                    }
                }
            }
        }
    }
    let mut machine = machine;
    machine.variables.remove(VARIABLE);
    assert_eq!(machine.run(&["project", "set", PROJECT]).await.note, None);
}

#[tokio::test]
async fn revocation_by_an_emulator_is_not_attributed_to_google() {
    let machine = Machine::with_login(|b| b).await;
    let login = fs::read(machine.credentials()).unwrap();
    let address = machine.emulator.address().to_string();
    let revoke = ["auth", "logout", "--revoke"];
    for text in ["by", "already, by"] {
        machine.file(".config/earthengine/credentials", &login);
        let result = machine.run(&revoke).await;
        let line = format!("revoked       {text} the emulator at {address}\n");
        assert!(result.stdout.starts_with(&line), "{}", result.stdout);
        assert!(!result.stdout.contains("Google"), "{}", result.stdout);
    }
    machine.file(".config/earthengine/credentials", &login);
    let json = machine.json(&[&revoke[..], &["--json"]].concat()).await;
    assert_eq!(json["emulator"], address.as_str());
    let json = machine.json(&["auth", "logout", "--json"]).await;
    assert_eq!(json.get("emulator"), None);
}

#[tokio::test]
async fn stopped_emulator_is_named_with_its_variable() {
    let mut machine = Machine::with_key(|b| b).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    machine.set(VARIABLE, &address);
    let (status, error) = machine.failure(&["auth", "token"]).await;
    assert_eq!((status, code(&error)), (7, "network"));
    let remedy = remedy(&error);
    assert!(
        remedy.contains(VARIABLE) && remedy.contains(&address),
        "{remedy}"
    );
}

#[tokio::test]
async fn emulator_trust_variable_accepts_1_or_0() {
    let mut machine = Machine::with_key(|b| b).await;
    for value in ["1", "0", ""] {
        machine.set("EARTHENGINE_EMULATOR_TRUST", value);
        assert_eq!(machine.run(&["auth", "token"]).await.status, 0, "{value}");
    }
    machine.set("EARTHENGINE_EMULATOR_TRUST", "canary");
    let (status, error) = machine.failure(&["auth", "token"]).await;
    assert_eq!((status, code(&error)), (1, "usage"));
    assert!(
        message(&error).contains("EARTHENGINE_EMULATOR_TRUST"),
        "{error}"
    );
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[cfg(target_os = "linux")]
mod another_user {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::os::unix::fs::{PermissionsExt as _, chown, fchown};
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;
    use std::process::Child;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ee_test_support::subprocess::copy_program;

    use super::*;

    const MALLORY: u32 = 1_234_567;

    /// Reports a skipped test, bypassing the capture of test output.
    fn skipped(test: &str) {
        let text = "SKIPPED, only root can give sockets and files to another user";
        let _ = writeln!(std::io::stderr(), "{test}: {text}");
    }

    /// Counts connections and received bytes.
    fn count(listener: TcpListener) -> Arc<AtomicU64> {
        let count = Arc::<AtomicU64>::default();
        let counted = count.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let read = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0);
                counted.fetch_add(read, Ordering::SeqCst);
            }
        });
        count
    }

    #[tokio::test]
    async fn no_command_sends_data_to_another_user() {
        let mut machine = Machine::with_login(|b| b).await;
        let login = fs::read(machine.credentials()).unwrap();
        for (bound, ip) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("[::]:0", "127.0.0.1"),
            ("[::1]:0", "[::1]"),
        ] {
            let listener = TcpListener::bind(bound).unwrap();
            if fchown(&listener, Some(MALLORY), None).is_err() {
                return skipped("no_command_sends_data_to_another_user");
            }
            let address = format!("{ip}:{}", listener.local_addr().unwrap().port());
            let received = count(listener);
            machine.set(VARIABLE, &address);
            machine.set("EARTHENGINE_PROJECT", PROJECT);
            for (command, arguments) in COMMANDS {
                machine.file(".config/earthengine/credentials", &login);
                let words = words(command, arguments, &["--json"]);
                machine.run(&words).await;
            }
            machine.file(".config/earthengine/credentials", &login);
            for command in [
                &["init"][..],
                &["auth", "token"],
                &["auth", "logout", "--revoke"],
                &["api", "config"],
                &["project", "check"],
            ] {
                let (status, error) = machine.failure(command).await;
                assert_eq!((status, code(&error)), (1, "usage"), "{error}");
                let expected =
                    format!("{address} (from {VARIABLE}) is served by user {MALLORY}, not by you");
                assert!(message(&error).contains(&expected), "{error}");
                let remedy = remedy(&error);
                assert!(remedy.contains(&format!("unset {VARIABLE}")), "{error}");
            }
            assert!(machine.credentials().exists());
            let diagnosis: Value =
                serde_json::from_str(&machine.run(&["doctor", "--json"]).await.stdout).unwrap();
            let failed = diagnosis["checks"].to_string();
            assert!(failed.contains("not by you"), "{failed}");
            assert_eq!(received.load(Ordering::SeqCst), 0, "{bound}");
        }
    }

    /// API requests and token requests check the emulator's owner separately.
    #[tokio::test]
    async fn cached_token_is_not_sent_to_another_user() {
        let mut machine = Machine::with_login(|b| b).await;
        assert_eq!(machine.run(&["auth", "token"]).await.status, 0);
        // Cache entries belong to the emulator's address, so another server takes over its port.
        let address = machine.emulator.address();
        machine.emulator = Emulator::start().await.unwrap();
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        if fchown(&listener, Some(MALLORY), None).is_err() {
            return skipped("cached_token_is_not_sent_to_another_user");
        }
        let received = count(listener);
        let api = ["api", "config", "--project", PROJECT];
        let (status, error) = machine.failure(&api).await;
        assert_eq!((status, code(&error)), (1, "usage"), "{error}");
        assert_eq!(received.load(Ordering::SeqCst), 0);
    }

    /// A copy of `eectl` that every user can run.
    fn eectl(dir: &Path, uid: u32) -> Command {
        let program = dir.join("eectl");
        if !program.exists() {
            copy_program(EECTL, &program);
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(program);
        command.env_clear().uid(uid).gid(uid).current_dir("/");
        command
    }

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn root_may_serve_every_user_and_others_only_themselves() {
        let home = tempfile::tempdir().unwrap();
        if chown(home.path(), Some(MALLORY), Some(MALLORY)).is_err() {
            return skipped("root_may_serve_every_user_and_others_only_themselves");
        }
        let programs = tempfile::tempdir().unwrap();
        let token = |uid: u32, address: &str, key: &Path| {
            chown(key, Some(uid), None).unwrap();
            let output = eectl(programs.path(), uid)
                .args(["auth", "token", "--no-token-cache", "--credentials"])
                .arg(key)
                .env(VARIABLE, address)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), stderr)
        };
        let machine = Machine::new().await;
        let key = home.path().join("key.json");
        fs::write(&key, machine.robot().json_key()).unwrap();
        let roots = machine.emulator.address().to_string();
        for uid in [0, MALLORY] {
            let (status, stderr) = token(uid, &roots, &key);
            assert_eq!(status, Some(0), "{stderr}");
        }

        let mut emulator = eectl(programs.path(), MALLORY)
            .args(["emulator", "--port=0", "-q", "--write-credentials"])
            .arg(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .map(Running)
            .unwrap();
        let mut mallorys = String::new();
        BufReader::new(emulator.0.stdout.take().unwrap())
            .read_line(&mut mallorys)
            .unwrap();
        let mallorys = mallorys.trim();
        let key = home.path().join("service_account.json");
        let (status, stderr) = token(MALLORY, mallorys, &key);
        assert_eq!(status, Some(0), "{stderr}");
        for other in [0, MALLORY + 1] {
            let (status, stderr) = token(other, mallorys, &key);
            assert_eq!(status, Some(1), "{stderr}");
            assert!(
                stderr.contains(&format!("served by user {MALLORY}")),
                "{stderr}"
            );
        }
    }
}
