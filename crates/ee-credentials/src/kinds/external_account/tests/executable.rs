#[cfg(unix)]
use std::time::Instant;

use super::*;

#[cfg(unix)]
fn executable(machine: &Machine, script: &str) -> Value {
    let path = machine.file("executable.sh", script);
    json!({"executable": {"command": format!("/bin/sh {}", path.display()), "timeout_millis": 5000}})
}

#[cfg(unix)]
#[tokio::test]
async fn executable_runs_only_if_allowed_and_gets_its_variables() {
    const VARIABLE: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
    let mut machine = Machine::new().await;
    let mark = machine.dir.path().join("ran");
    let script = format!(
        "touch {mark}; set | grep GOOGLE_EXTERNAL > {mark}\necho '{{\"version\": 1, \"success\": true, \"token_type\": \"{JWT}\", \"id_token\": \"{token}\"}}'",
        mark = mark.display(),
        token = machine.token
    );
    machine.set("PATH", "/usr/bin:/bin");
    let source = executable(&machine, &script);
    for value in ["", "0", "true"] {
        machine.set(VARIABLE, value);
        let error = machine.token_error(source.clone()).await;
        assert!(error.to_string().contains(VARIABLE), "{error}");
        assert!(!mark.exists());
    }
    machine.allow_executables();
    machine.check_source(source).await;
    let variables = fs::read_to_string(&mark).unwrap();
    for (name, value) in [
        ("AUDIENCE", AUDIENCE),
        ("TOKEN_TYPE", JWT),
        ("INTERACTIVE", "0"),
        ("REVOKE", "0"),
        ("ID", ""),
    ] {
        assert!(
            variables.contains(&format!("GOOGLE_EXTERNAL_ACCOUNT_{name}='{value}'")),
            "{variables}"
        );
    }
    assert!(!variables.contains("IMPERSONATED_EMAIL"));
}

#[cfg(unix)]
#[tokio::test]
async fn executable_without_a_token_is_named() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    machine.set("PATH", "/usr/bin:/bin");
    let failed = r#"{"version": 1, "success": false, "code": 7, "message": "no way ya29.canary"}"#;
    for (script, named) in [
        ("exit 1", "exit status: 1"),
        ("echo canary", "not JSON"),
        ("", "printed nothing"),
        ("head -c 100000000 /dev/zero", "more than 1 MiB"),
        ("printf '\\377'", "UTF-8"),
        ("echo '{}'", "`version`"),
        (r#"echo '{"version": 2}'"#, "only 1 is supported"),
        (r#"echo '{"version": 1}'"#, "`success`"),
        (r#"echo '{"version": 1, "success": "canary"}'"#, "`success`"),
        (r#"echo '{"version": 1, "success": false}'"#, "`code`"),
        (&format!("echo '{failed}'"), "no way"),
        (
            r#"echo '{"version": 1, "success": false, "code": "4\u007f\u001b[2J1", "message": "m"}'"#,
            ": 4[2J1: m",
        ),
        (r#"echo '{"version": 1, "success": true}'"#, "`token_type`"),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "canary"}'"#,
            "`token_type`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:saml2"}'"#,
            "`saml_response`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt"}'"#,
            "`id_token`",
        ),
        (
            r#"echo '{"version": 1, "success": true, "expiration_time": 5}'"#,
            "expired",
        ),
    ] {
        let error = machine.token_error(executable(&machine, script)).await;
        assert_eq!(error.kind(), Token::InvalidCredential);
        assert!(error.to_string().contains(named), "{script}: {error}");
        assert!(error.to_string().contains("executable.command"), "{error}");
    }
    let error = machine
        .token_error(json!({"executable": {"command": "/nowhere/at/all"}}))
        .await;
    assert!(error.to_string().contains("cannot be run"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn hung_executable_is_killed_with_its_children() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    machine.set("PATH", "/usr/bin:/bin");
    let pids = machine.dir.path().join("pids");
    let script = format!(
        "sleep 600 & echo $! > {0}; echo $$ >> {0}; wait",
        pids.display()
    );
    let error = machine.token_error(executable(&machine, &script)).await;
    assert!(error.to_string().contains("5000 ms"), "{error}");
    let is_running = |pid: &str| {
        // A killed process stays a zombie until its parent collects it.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z")
    };
    for pid in fs::read_to_string(pids).unwrap().lines() {
        // On a busy machine, the signal takes a while to arrive.
        let until = Instant::now() + Duration::from_secs(20);
        while cfg!(target_os = "linux") && is_running(pid) {
            assert!(Instant::now() < until, "{pid} is still running");
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn executable_is_never_found_in_the_current_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut machine = Machine::new().await;
    machine.allow_executables();
    let planted = tempfile::tempdir_in(".").unwrap();
    let relative = planted.path().file_name().unwrap().to_str().unwrap();
    let script = planted.path().join("ee-test-program");
    std::fs::write(&script, "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = json!({"executable": {"command": "ee-test-program", "timeout_millis": 5000}});
    for path in [relative, ".", "", &format!(":./{relative}:/usr/bin:/bin")] {
        machine.set("PATH", path);
        let error = machine.token_error(source.clone()).await;
        assert!(error.to_string().contains("PATH"), "{path}: {error}");
        assert!(error.remedy().text.contains("absolute path"), "{error}");
        assert!(
            !planted.path().join("ee-test-program.ran").exists(),
            "{path}"
        );
    }
    // A name is found in an absolute directory.
    let script = format!(
        "echo '{{\"version\": 1, \"success\": true, \"token_type\": \"{JWT}\", \"id_token\": \"{}\"}}'",
        machine.token
    );
    let path = machine.file("token.sh", &script);
    let command = format!("sh {}", path.display());
    machine.set("PATH", ".:/usr/bin:/bin");
    let source = json!({"executable": {"command": command, "timeout_millis": 5000}});
    machine.check_source(source).await;
}

#[tokio::test]
async fn unexpired_output_file_is_used() {
    let mut machine = Machine::new().await;
    machine.allow_executables();
    let cached = |expires: u64| json!({"version": 1, "success": true, "token_type": JWT, "id_token": machine.token, "expiration_time": expires});
    let path = machine.file("cached", &cached(4_000_000_000).to_string());
    let source = json!({"executable": {"command": "/nowhere/at/all", "output_file": path}});
    machine.check_source(source.clone()).await;
    machine.emulator.clear_requests();
    for text in [
        cached(5).to_string(),
        "canary".into(),
        r#"{"version": 1, "success": false}"#.into(),
    ] {
        machine.file("cached", &text);
        let error = machine.token_error(source.clone()).await;
        assert!(error.to_string().contains("cannot be run"), "{error}");
    }
}
