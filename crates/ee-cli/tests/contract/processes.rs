//! Command lines, which every user of a machine can read, contain no secret: neither those of
//! `eectl` nor those of the programs that it starts.

use ee_test_support::canaries::Canaries;

use super::login::{browse, send_signal};
use super::*;

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";

/// Returns a script that records its own command line and its parent's.
fn recording_script(machine: &Machine, then: &str) -> String {
    let seen = machine.path("seen");
    format!(
        "#!/bin/sh\n{{ echo \"$0 $*\"; tr '\\0' ' ' < /proc/$PPID/cmdline; echo; }} >> {seen}\n{then}\n"
    )
}

/// Creates a machine with a browser, gcloud, and a credential file that names an executable.
async fn machine(subject_token: &str) -> Machine {
    let mut machine = Machine::new().await;
    machine.emulator.auto_consent("jane@example.com");
    let jane = machine.emulator.create_user("jane@example.com");
    let home = machine.home.path().to_owned();
    let path = |name: &str| home.join(name).display().to_string();

    let made = Command::new("mkfifo").arg(path("page")).status().unwrap();
    assert!(made.success());
    let browser = recording_script(&machine, &format!("echo \"$1\" > {}", path("page")));
    machine.file("browser.sh", browser);
    machine.set("DISPLAY", ":0");
    machine.set("BROWSER", &format!("/bin/sh {}", path("browser.sh")));

    machine.file("granted.json", jane.authorized_user_json());
    let gcloud = recording_script(
        &machine,
        &format!(
            "mkdir -p {1} && cp {0} {1}/application_default_credentials.json",
            path("granted.json"),
            path(".config/gcloud")
        ),
    );
    // A file that is open for writing cannot be executed, and child processes of other tests may
    // inherit the open file. A copy made by another process avoids this.
    let text = machine.file("gcloud.sh", gcloud);
    machine.file("bin/none", "");
    let script = path("bin/gcloud");
    for command in [["cp", &text, &script], ["chmod", "700", &script]] {
        let done = Command::new(command[0]).args(&command[1..]).status();
        assert!(done.unwrap().success());
    }
    machine.set("PATH", &format!("{}:/usr/bin:/bin", path("bin")));

    let response = serde_json::json!({"version": 1, "success": true, "id_token": subject_token,
        "token_type": "urn:ietf:params:oauth:token-type:jwt"});
    let program = recording_script(&machine, &format!("echo '{response}'"));
    machine.file("program.sh", program);
    let file = serde_json::json!({"type": "external_account", "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"executable": {"command": format!("/bin/sh {}", path("program.sh"))}}});
    machine.file("program.json", file.to_string());
    machine.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn command_lines_of_processes_contain_no_secret() {
    let mut canaries = Canaries::default();
    let subject_token = canaries.plant_word("a subject token", "");
    let machine = machine(&subject_token).await;
    let page = machine.home.path().join("page");
    // A thread, because a runtime would wait for it forever if no page is opened.
    let opened = std::thread::spawn(move || {
        let url = fs::read_to_string(page).unwrap();
        browse(url.trim())
    });
    let login = ["auth", "login", "--force"];
    let result = machine
        .run(&[&login[..], &["--mode=localhost:0"]].concat())
        .await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert!(opened.join().unwrap().contains("You are logged in"));
    for mode in ["--mode=gcloud", "--mode=gcloud-legacy"] {
        let result = machine.run(&[&login[..], &[mode]].concat()).await;
        assert_eq!(result.status, 0, "{mode}: {}", result.stderr);
    }
    machine.run(&["init", "--project", PROJECT]).await;
    machine
        .run(&[
            "init",
            "--project",
            PROJECT,
            "--credentials",
            "program.json",
        ])
        .await;

    let mut sent = Vec::new();
    for request in machine.emulator.requests() {
        let form = request.form();
        for field in ["code", "code_verifier", "refresh_token", "subject_token"] {
            if let Some(secret) = form.get(field) {
                canaries.add(format!("a {field}"), secret);
                sent.push(field);
            }
        }
        if let Some(token) = request.bearer() {
            canaries.add("an access token", token.trim_start_matches("ya29."));
        }
    }
    for field in ["code", "code_verifier", "refresh_token", "subject_token"] {
        assert!(sent.contains(&field), "no {field} was sent: {sent:?}");
    }
    let seen = fs::read_to_string(machine.home.path().join("seen")).unwrap();
    for line in [
        "browser.sh http",
        "bin/gcloud auth",
        "program.sh",
        "eectl auth login",
        "eectl init",
    ] {
        assert!(seen.contains(line), "{line} was not recorded: {seen}");
    }
    assert_eq!(canaries.find(&seen), []);
}

/// The login starts an opener, which starts a browser; neither comes from the current directory.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn programs_in_the_current_directory_are_never_started() {
    for search_path in [".:BIN", ":BIN", "sub:./sub:BIN", "BIN:."] {
        let mut machine = Machine::new().await;
        let home = machine.home.path().to_owned();
        let bin = home.join("bin").display().to_string();
        let plant = |name: &str, script: &str| {
            machine.file(name, format!("#!/bin/sh\n{script}\n"));
            // Copied, because a file that is open for writing cannot be executed.
            let path = home.join(name);
            let text = path.with_extension("text");
            fs::rename(&path, &text).unwrap();
            for command in [
                vec!["cp".as_ref(), text.as_os_str(), path.as_os_str()],
                vec!["chmod".as_ref(), "700".as_ref(), path.as_os_str()],
                vec!["rm".as_ref(), text.as_os_str()],
            ] {
                let done = Command::new(command[0]).args(&command[1..]).status();
                assert!(done.unwrap().success());
            }
        };
        for name in ["xdg-open", "firefox", "gcloud"] {
            for dir in ["", "sub/"] {
                plant(&format!("{dir}{name}"), "echo planted >> started");
            }
        }
        plant(
            "bin/xdg-open",
            "firefox \"$1\" || :; echo opened >> started",
        );
        let search_path = search_path.replace("BIN", &bin);
        machine.set("PATH", &format!("{search_path}:/usr/bin:/bin"));
        machine.set("DISPLAY", ":0");
        let running = machine.start(&["auth", "login", "--force", "--mode=localhost:0"]);
        let started = home.join("started");
        let result = tokio::task::spawn_blocking(move || {
            let begun = std::time::Instant::now();
            let late = || begun.elapsed().as_secs() > 60;
            while !fs::read_to_string(&started).is_ok_and(|text| text.contains("opened")) && !late()
            {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            send_signal(&running.child, "INT");
            (
                running.end(),
                fs::read_to_string(&started).unwrap_or_default(),
            )
        });
        let (result, started) = result.await.unwrap();
        assert_eq!(result.status, 130, "{search_path}: {}", result.stderr);
        assert_eq!(started, "opened\n", "{search_path}");

        fs::remove_file(home.join("started")).unwrap();
        machine.set("PATH", &search_path);
        let (status, error) = machine
            .failure(&["auth", "login", "--force", "--mode=gcloud"])
            .await;
        assert_eq!((status, code(&error)), (4, "login_unavailable"), "{error}");
        assert!(!home.join("started").exists(), "{search_path}");
    }
}
