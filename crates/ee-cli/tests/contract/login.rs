//! Logging in and out. The tests play the browser by following redirects.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::time::Duration;

use super::*;

/// A command that is running.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Machine {
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(EECTL).args(arguments))
    }

    /// Earth Engine's own file.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home.path().join(".config/earthengine/credentials")
    }

    pub(crate) fn stored(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.credentials()).unwrap()).unwrap()
    }

    /// Runs a localhost login and its browser; returns the output and the last page.
    pub(crate) async fn log_in(&self, more: &[&str]) -> (CommandOutput, String) {
        let arguments = [&["auth", "login", "--mode=localhost:0", "--quiet"], more].concat();
        let mut running = self.start(&arguments);
        tokio::task::spawn_blocking(move || {
            let page = browse(&running.url());
            (running.end(), page)
        })
        .await
        .unwrap()
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads the URL that a login prints.
    fn url(&mut self) -> String {
        let mut url = String::new();
        self.stdout.read_line(&mut url).unwrap();
        url.trim().to_owned()
    }

    pub(crate) fn end(mut self) -> CommandOutput {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let (note, stderr) = split_note(&String::from_utf8(output.stderr).unwrap());
        CommandOutput {
            status: output.status.code().unwrap_or(-1),
            stdout,
            stderr,
            note,
        }
    }
}

#[cfg(unix)]
pub(crate) fn send_signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// Follows redirects like a browser and returns the last page.
pub(crate) fn browse(url: &str) -> String {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("{url}"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.replace("localhost", "127.0.0.1");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let head = format!(
        "GET /{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        path.trim_start_matches('/')
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let location = response.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location")
            .then(|| value.trim().to_owned())
    });
    match location {
        Some(location) => browse(&location),
        None => response,
    }
}

pub(crate) async fn consenting() -> Machine {
    let machine = Machine::new().await;
    machine.emulator.auto_consent("jane@example.com");
    machine
}

#[tokio::test]
async fn quiet_localhost_login_prints_the_url_and_saves_the_login() {
    let machine = consenting().await;
    let (result, page) = machine.log_in(&[]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert!(page.contains("You are logged in"), "{page}");
    result.assert_stdout("earthengine cloud-platform");
    assert_eq!(result.stderr, "");
    assert!(!result.stdout.contains("next "), "{}", result.stdout);
    let token = machine.stored()["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!result.stdout.contains(&token));
    let init = machine
        .json(&["init", "--json", "--project", PROJECT])
        .await;
    assert_eq!(init["credential"]["kind"], "earthengine_file");

    let again = machine.json(&["auth", "login", "--json"]).await;
    assert_eq!(again["outcome"], "reused");
    assert_eq!(
        again["credential"]["path"],
        machine.credentials().display().to_string()
    );
    let text = machine.run(&["authenticate"]).await;
    text.assert_stdout("--force");
    // Without a terminal, the project is not selected, and nothing but the login was read.
    let next = "next          eectl project list, then eectl project set PROJECT\n";
    assert!(text.stdout.ends_with(next), "{}", text.stdout);
    let (result, _) = machine.log_in(&["--force"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert_ne!(machine.stored()["refresh_token"], token);
}

#[tokio::test]
async fn scopes_that_were_not_granted_are_reported() {
    let machine = consenting().await;
    machine
        .emulator
        .auto_consent_only("jane@example.com", &["earthengine"]);
    let (result, _) = machine.log_in(&["--scopes", "earthengine,drive"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    result.assert_stdout("not granted   drive");
    assert_eq!(machine.stored()["scopes"].as_array().unwrap().len(), 1);
    let scopes = machine.run(&["auth", "scopes"]).await;
    assert_eq!(
        scopes.stdout,
        "https://www.googleapis.com/auth/earthengine\n"
    );
}

#[tokio::test]
async fn notebook_login_works_in_two_steps_or_with_a_pasted_code() {
    let machine = consenting().await;
    let code_at = |url: String| async move {
        let page = tokio::task::spawn_blocking(move || browse(&url))
            .await
            .unwrap();
        let code = page.split("<code id=\"code\">").nth(1).unwrap();
        code.split('<').next().unwrap().to_owned()
    };
    let first = machine
        .json(&["authenticate", "--auth_mode=notebook", "--quiet", "--json"])
        .await;
    assert_eq!(first["outcome"], "begun");
    assert!(!machine.credentials().exists());
    let pasted = code_at(first["url"].as_str().unwrap().to_owned()).await;
    let step = ["authenticate", "--authorization-code=-", "--json"];
    let second = machine.run_with_input(&step, &pasted).await.json();
    assert_eq!(second["outcome"], "saved");
    assert_eq!(second["mode"], "notebook");
    assert!(second["expires_at"].is_string());
    assert_eq!(second["warnings"][0]["code"], "login_expires");
    let remedy = second["warnings"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains(" Run: eectl auth login"), "{remedy}");
    assert_eq!(machine.stored()["rust_login_mode"], "notebook");

    // The verifier was valid for one login.
    let wrong = ["authenticate", "--authorization-code=4/0wrong"];
    let (status, error) = machine.failure(&wrong).await;
    assert_eq!((status, code(&error)), (2, "usage"));
    let verifier = format!(
        "--code-verifier={}",
        first["code_verifier"].as_str().unwrap()
    );
    let (status, error) = machine.failure(&[&wrong[..], &[&verifier]].concat()).await;
    assert_eq!((status, code(&error)), (4, "login_failed"));
    let text = machine
        .run(&["auth", "login", "--mode=notebook", "--quiet", "--force"])
        .await;
    text.assert_stdout("--authorization-code=");
    let result = machine
        .run(&["auth", "login", "--mode=notebook", "--force"])
        .await;
    assert_eq!(result.status, 4);
    result.assert_stderr("no code was entered");
}

#[tokio::test]
async fn second_login_step_needs_no_secret_argument() {
    let machine = consenting().await;
    let begin = ["auth", "login", "--mode=notebook", "--quiet", "--force"];
    let first = machine.json(&[&begin[..], &["--json"]].concat()).await;
    let verifier = first["code_verifier"].as_str().unwrap().to_owned();
    assert_eq!(
        first["command"],
        "eectl auth login --authorization-code=PASTE_THE_CODE_HERE"
    );
    let kept = machine.credentials().with_file_name(".credentials.begun");
    assert_eq!(fs::read_to_string(&kept).unwrap(), verifier);
    let text = machine.run(&begin).await.stdout;
    let kept = fs::read_to_string(&kept).unwrap();
    assert_ne!(kept, verifier);
    assert!(
        kept.split(':').skip(1).all(|part| !text.contains(part)),
        "{text}"
    );

    // The first login's verifier works on standard input and as an argument.
    let step = [
        "auth",
        "login",
        "--code-verifier=-",
        "--authorization-code=-",
        "--json",
    ];
    let result = machine
        .run_with_input(&step, &format!("{verifier}\n4/0wrong\n"))
        .await;
    let error: Value = serde_json::from_str(&result.stderr).unwrap();
    assert_eq!(code(&error["error"]), "login_failed", "{error}");
    let python = format!("--code-verifier={verifier}");
    let (_, error) = machine
        .failure(&["authenticate", &python, "--authorization-code=4/0wrong"])
        .await;
    assert_eq!(code(&error), "login_failed", "{error}");
    machine.run(&["auth", "logout"]).await;
    assert!(
        !machine
            .credentials()
            .with_file_name(".credentials.begun")
            .exists()
    );
}

#[tokio::test]
async fn failed_login_says_why_and_saves_nothing() {
    let machine = Machine::new().await;
    machine.emulator.deny_consent();
    let (result, page) = machine.log_in(&[]).await;
    assert_eq!(result.status, 4, "{}", result.stderr);
    result.assert_stderr("access_denied");
    assert!(page.contains("The login failed"), "{page}");
    let late = [
        "auth",
        "login",
        "--mode=localhost:0",
        "--timeout=1",
        "--json",
    ];
    let result = machine.run(&late).await;
    assert_eq!(result.status, 4, "{}", result.stderr);
    let last = result.stderr.lines().last().unwrap();
    let error: Value = serde_json::from_str(last).unwrap();
    assert_eq!(error["error"]["code"], "login_timeout");
    // Without a browser and gcloud, there is a URL to open elsewhere.
    let result = machine.run(&["auth", "login", "--timeout=1"]).await;
    assert_eq!(result.status, 4, "{}", result.stderr);
    for part in [
        "accounts.google.com",
        "paste it here",
        "Address of the page: ",
    ] {
        result.assert_stderr(part);
    }
    assert!(!machine.credentials().parent().unwrap().exists());
}

#[tokio::test]
async fn invalid_login_options_are_usage_errors() {
    let machine = Machine::new().await;
    for wrong in [
        &["--mode=paper"][..],
        &["--mode=localhost:99999"],
        &["--mode=notebook", "--port=1"],
        &["--timeout=0"],
        &["--code-verifier=x"],
        &["--authorization-code=x"],
        &["--code-verifier=a:b", "--authorization-code=x"],
        &["--credentials=key.json"],
    ] {
        let (status, error) = machine.failure(&[&["auth", "login"], wrong].concat()).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{wrong:?} {error}");
    }
}

#[tokio::test]
async fn port_in_use_is_named() {
    let machine = Machine::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, error) = machine.failure(&["auth", "login", "--port", &port]).await;
    assert_eq!((status, code(&error)), (4, "login_unavailable"));
    assert!(message(&error).contains(&port), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_a_login_and_saves_nothing() {
    let machine = Machine::new().await;
    let mut running = machine.start(&["auth", "login", "--mode=localhost:0", "--quiet"]);
    let result = tokio::task::spawn_blocking(move || {
        running.url();
        send_signal(&running.child, "INT");
        running.end()
    });
    assert_eq!(result.await.unwrap().status, 130);
    assert_eq!(fs::read_dir(machine.home.path()).unwrap().count(), 0);
}

/// Returns whether this process ignores SIGHUP, which child processes inherit.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0)
}

#[cfg(unix)]
#[tokio::test]
async fn signals_stop_a_command_and_its_child_processes() {
    let mut signals = vec![("INT", 130), ("TERM", 143)];
    if is_hangup_ignored() {
        eprintln!("signals_stop_a_command_and_its_child_processes: SIGHUP SKIPPED, it is ignored");
    } else {
        signals.push(("HUP", 129));
    }
    for (signal, status) in signals {
        let mut machine = Machine::new().await;
        let script = machine.file(
            "program",
            "#!/bin/sh\nsleep 600 &\necho $$ $! > pid.new && mv pid.new pid\nwait\n",
        );
        let pid = machine.home.path().join("pid");
        let file = serde_json::json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"executable": {
                "command": format!("/bin/sh {}", script), "timeout_millis": 60_000,
            }},
        });
        let file = machine.file("federation.json", file.to_string());
        machine.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
        machine.set("PATH", "/usr/bin:/bin");
        let running = machine.start(&["init", "--project", PROJECT, "--credentials", &file]);
        // A process that is not waited for stays listed as a zombie.
        let is_running = |id: &str| {
            let listed = Command::new("ps").args(["-o", "stat=", "-p", id]).output();
            let state = String::from_utf8(listed.unwrap().stdout).unwrap();
            !state.trim().is_empty() && !state.contains('Z')
        };
        let result = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let late = || started.elapsed() > Duration::from_secs(60);
            while !pid.exists() && !late() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let programs = fs::read_to_string(&pid).unwrap();
            let programs: Vec<&str> = programs.split_whitespace().collect();
            assert_eq!(programs.len(), 2, "the program and its child");
            assert!(programs.iter().all(|id| is_running(id)));
            send_signal(&running.child, signal);
            let result = running.end();
            for program in programs {
                while is_running(program) && !late() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                assert!(!is_running(program), "{signal}: a process is still running");
            }
            result
        });
        let result = result.await.unwrap();
        assert_eq!(result.status, status, "{signal}: {}", result.stderr);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ignored_sighup_stays_ignored() {
    let machine = Machine::new().await;
    let mut command = machine.command("nohup");
    command.args([EECTL, "auth", "login", "--mode=localhost:0", "--quiet"]);
    let mut running = Running::start(&mut command);
    let result = tokio::task::spawn_blocking(move || {
        running.url();
        for signal in ["HUP", "TERM"] {
            send_signal(&running.child, signal);
        }
        running.end()
    });
    assert_eq!(result.await.unwrap().status, 143);
}

#[tokio::test]
async fn logout_removes_the_file_and_can_revoke_the_login() {
    let machine = consenting().await;
    let gone = machine.json(&["auth", "logout", "--json"]).await;
    assert_eq!(gone["removed"], false);
    let jane = machine.emulator.create_user("jane@example.com");
    let file = || {
        machine.file(
            ".config/earthengine/credentials",
            jane.earthengine_file_json(None),
        )
    };
    file();
    let result = machine.run(&["auth", "logout"]).await;
    result.assert_stdout("removed");
    assert!(!machine.credentials().exists());
    file();
    let json = machine
        .json(&["auth", "logout", "--revoke", "--json"])
        .await;
    assert_eq!(json["revocation"], "revoked");
    assert_eq!(json["removed"], true);
    assert_eq!(machine.paths(), ["POST oauth2.googleapis.com/revoke"]);
    file();
    let json = machine
        .json(&["auth", "logout", "--revoke", "--json"])
        .await;
    assert_eq!(json["revocation"], "already_ended");
}

#[tokio::test]
async fn missing_scopes_are_fetched_from_tokeninfo() {
    let mut machine = Machine::new().await;
    let jane = machine.emulator.create_workforce_user("jane").json();
    let file = machine.file("workforce.json", jane);
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
    let output = machine.json(&["auth", "scopes", "--json"]).await;
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    assert_eq!(output, serde_json::json!({"scopes": [scope]}));
    let requests = machine.paths();
    assert!(
        requests.contains(&"POST oauth2.googleapis.com/tokeninfo".to_owned()),
        "{requests:?}"
    );
    let status = machine.json(&["auth", "status", "--json"]).await;
    assert_eq!(status["token"]["scopes"], output["scopes"]);
}
