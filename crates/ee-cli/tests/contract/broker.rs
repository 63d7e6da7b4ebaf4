//! `eectl exec`: the environment and exit status of the command, and the life of the broker.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

use super::login::send_signal;
use super::*;

pub(crate) fn token_requests(machine: &Machine) -> usize {
    machine.emulator.requests_to("oauth2.googleapis.com").len()
}

/// Returns `eectl` with these arguments on the machine, without a shell.
pub(crate) fn eectl(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = machine.command(EECTL);
    command.args(arguments).env("PATH", "/usr/bin:/bin");
    command
}

/// Returns a shell that runs this script on the machine.
pub(crate) fn shell(machine: &Machine, script: &str) -> Command {
    let mut command = machine.command("sh");
    command.args(["-c", script]);
    command
}

pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.as_mut().unwrap());
    stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

async fn exec(machine: &Machine, options: &[&str], script: &str) -> CommandOutput {
    let command = ["--", "sh", "-c", script];
    let exec = ["exec", "--quiet"];
    machine.run(&[&exec[..], options, &command].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_returns_the_exit_status_of_the_command() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.set("PATH", "/usr/bin:/bin");
    for (script, status) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -s TERM $$", 143),
        ("kill -s KILL $$", 137),
    ] {
        let result = exec(&machine, &[], script).await;
        assert_eq!(result.status, status, "{script}: {}", result.stderr);
        assert_eq!((&*result.stdout, &*result.stderr), ("", ""), "{script}");
    }
    let plain = machine.file("plain", "");
    let dir = machine.home.path().display().to_string();
    for (command, status) in [
        ("no-such-command", 127),
        ("/no/such", 127),
        (&plain, 126),
        (&dir, 126),
    ] {
        let result = machine.run(&["exec", "--", command]).await;
        assert_eq!(result.status, status, "{command}: {}", result.stderr);
        result.assert_stderr("cannot run");
        result.assert_stderr("hint: ");
    }
    let (status, error) = machine.failure(&["exec"]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn command_sees_the_broker_and_no_other_credential() {
    let mut machine = Machine::with_key(|b| b).await;
    for name in [
        "EEDA_BEARER",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
        "GS_SECRET_ACCESS_KEY",
    ] {
        machine.set(name, "canary");
    }
    machine.set("HTTP_PROXY", "http://127.0.0.1:9");
    machine.set("MINE", "kept");
    let result = machine
        .run(&["exec", "--project", PROJECT, "--", "/usr/bin/env"])
        .await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    let seen: BTreeMap<_, _> = result
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let host = seen["GCE_METADATA_HOST"];
    assert!(host.starts_with("127.0.0.1:"), "{host}");
    for name in ["GCE_METADATA_IP", "GCE_METADATA_ROOT"] {
        assert_eq!(seen[name], host);
    }
    for name in [
        "EARTHENGINE_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_QUOTA_PROJECT",
    ] {
        assert_eq!(seen[name], PROJECT);
    }
    assert_eq!(seen["CPL_MACHINE_IS_GCE"], "YES");
    let address = host.split('/').next().unwrap();
    assert!(seen["CPL_GCE_CREDENTIALS_URL"].starts_with(&format!("http://{address}/")));
    assert_eq!(seen["EARTHENGINE_CREDENTIALS_SOURCE"], "metadata_server");
    assert_eq!(seen["NO_PROXY"], "127.0.0.1,::1");
    assert_eq!(seen["MINE"], "kept");
    assert_eq!(seen["HOME"], machine.home.path().to_str().unwrap());
    for name in [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "NO_GCE_CHECK",
        "EARTHENGINE_TOKEN",
    ] {
        assert!(!seen.contains_key(name), "{name}");
    }
    assert!(!result.stdout.contains("canary") && !result.stdout.contains("key.json"));
    // The private directory is gone, and so is the broker.
    assert!(!PathBuf::from(seen["CLOUDSDK_CONFIG"]).exists());
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_home_hides_every_file() {
    let machine = Machine::with_login(|b| b).await;
    let script = "find \"$HOME\" -type f; test \"$HOME\" != ''";
    let seen = exec(&machine, &[], script).await;
    seen.assert_stdout("earthengine/credentials");
    let clean = exec(&machine, &["--clean-home"], script).await;
    assert_eq!((clean.status, &*clean.stdout), (0, ""), "{}", clean.stderr);
    // Without it, a note names the file.
    let result = machine.run(&["exec", "--", "true"]).await;
    result.assert_stderr("--clean-home");
    assert!(machine.credentials().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_below_exec_share_one_narrow_token() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.set("XDG_CACHE_HOME", "/dev/null/none");
    let ask = format!("'{EECTL}' auth token --no-token-cache;").repeat(4);
    let script =
        format!("{ask} '{EECTL}' api config --quiet >/dev/null && '{EECTL}' auth status --json");
    let result = exec(&machine, &["--project", PROJECT], &script).await;
    assert_eq!(result.status, 0, "{} {}", result.stdout, result.stderr);
    let mut lines: Vec<_> = result.stdout.lines().collect();
    let status: Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    assert_eq!(status["credential"]["kind"], "metadata_server");
    assert_eq!(status["credential"]["principal"], ROBOT);
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| *line == lines[0] && line.starts_with("ya29."))
    );
    let requests = machine.emulator.requests_to("oauth2.googleapis.com");
    let requests: Vec<_> = requests.iter().filter(|r| r.path == "/token").collect();
    assert_eq!(requests.len(), 1);
    let assertion = &requests[0].form()["assertion"];
    let claims = assertion.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/earthengine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn account_and_impersonation_select_whose_tokens_are_served() {
    let mut machine = Machine::with_login(|b| b).await;
    let work = machine.emulator.create_user("work@example.com");
    let login = work.earthengine_file_json(Some(PROJECT));
    machine.file(".config/earthengine/credentials.accounts/work", login);
    let script = format!("'{EECTL}' auth token; echo $EARTHENGINE_PROJECT $EARTHENGINE_ACCOUNT");
    machine.set("EARTHENGINE_ACCOUNT", "work");
    let result = exec(&machine, &[], &script).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert!(
        result.stdout.ends_with(&format!("\n{PROJECT}\n")),
        "{}",
        result.stdout
    );
    let sent = machine
        .emulator
        .requests_to("oauth2.googleapis.com")
        .remove(0);
    assert_eq!(
        sent.form()["refresh_token"],
        work.earthengine_refresh_token()
    );
    machine.variables.remove("EARTHENGINE_ACCOUNT");
    let named = exec(&machine, &["--account", "work"], &script).await;
    assert_eq!(named.stdout, result.stdout, "{}", named.stderr);

    let mut machine = Machine::with_key(|b| b).await;
    machine.set("XDG_CACHE_HOME", "/dev/null/none");
    let target = "target@ee-demo-project.iam.gserviceaccount.com";
    machine.emulator.create_service_account(target, PROJECT);
    machine.emulator.allow_impersonation(ROBOT, target);
    let options = ["--impersonate", target, "--expires", "10m"];
    let result = exec(&machine, &options, &script).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    let sent = machine
        .emulator
        .requests_to("iamcredentials.googleapis.com")
        .remove(0);
    // As short as the broker lives.
    assert_eq!(sent.json()["lifetime"], "600s");
    let scopes = serde_json::json!(["https://www.googleapis.com/auth/earthengine"]);
    assert_eq!(sent.json()["scope"], scopes);
}

/// Returns whether the tests were started with a signal ignored, as by `nohup`, on Linux.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_passed_to_the_command() {
    let machine = Machine::with_key(|b| b).await;
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10)] {
        if is_ignored(number) {
            println!("SIG{signal} is ignored here, and therefore by eectl, too");
            continue;
        }
        // Not a shell, which cannot catch a signal that was ignored when the tests were started.
        let script = format!(
            "import os, signal, time\n\
             signal.signal(signal.SIG{signal}, lambda *_: os._exit({}))\n\
             print('ready', flush=True)\n\
             time.sleep(60)",
            40 + number
        );
        let mut child = eectl(&machine, &["exec", "-q", "--", "python3", "-c", &script])
            .spawn()
            .unwrap();
        assert_eq!(first_line(&mut child), "ready");
        send_signal(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(40 + number),
            "{signal} {output:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_dies_with_eectl_and_leaves_no_orphan() {
    let machine = Machine::with_key(|b| b).await;
    let script = "echo $GCE_METADATA_IP; exec sleep 60";
    let mut child = eectl(&machine, &["exec", "-q", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    let host = first_line(&mut child);
    let address = host.split('/').next().unwrap();
    assert!(TcpStream::connect(address).is_ok());
    // The command outlives a killed eectl, and has no broker any more.
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    send_signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(TcpStream::connect(address).is_err());
    for pid in children.unwrap_or_default().split_whitespace() {
        let _ = Command::new("kill").args(["-9", pid]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_credentials_are_reported_before_the_command_starts() {
    let machine = Machine::with_login(|b| b).await;
    let touch = machine.path("started");
    let exec = ["exec", "--", "touch", &touch];
    machine.emulator.delete_user("jane@example.com");
    let (status, error) = machine.failure(&[&["--json"], &exec[..]].concat()).await;
    assert_eq!(
        (status, code(&error)),
        (4, "credentials_rejected"),
        "{error}"
    );
    let without = Machine::new().await;
    let (status, error) = without.failure(&[&["--json"], &exec[..]].concat()).await;
    assert_eq!((status, code(&error)), (3, "no_credentials"));
    assert!(!PathBuf::from(&touch).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_does_not_keep_the_command_from_starting() {
    let machine = Machine::with_key(|b| b).await;
    let fault = ee_emulator::Fault::status(503).times(1000);
    machine.emulator.fault("oauth2.googleapis.com", fault);
    let result = machine.run(&["exec", "--", "sh", "-c", "exit 7"]).await;
    assert_eq!(result.status, 7, "{}", result.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_served_after_the_lifetime() {
    let machine = Machine::with_key(|b| b).await;
    let script = format!("'{EECTL}' auth token; sleep 5; '{EECTL}' auth token");
    let result = exec(&machine, &["--expires", "5s"], &script).await;
    assert_ne!(result.status, 0);
    assert_eq!(result.stdout.lines().count(), 1, "{}", result.stdout);
    let (status, error) = machine
        .failure(&["exec", "--expires", "soon", "--json", "--", "true"])
        .await;
    assert_eq!((status, code(&error)), (2, "usage"));
}
