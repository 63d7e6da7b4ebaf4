//! Invalid files, invalid projects and malformed responses.

use ee_emulator::{Fault, RsaKey};

use super::*;

/// Runs `init` with a file of these contents, which must fail with `invalid_credentials`, name the
/// file and send no request.
async fn check_rejected(machine: &Machine, contents: &[u8], mentions: &str) {
    let file = machine.file("odd.json", contents);
    let (status, error) = machine.failure(&["init", "--credentials", &file]).await;
    let shown = String::from_utf8_lossy(&contents[..contents.len().min(80)]).into_owned();
    assert_eq!(
        (status, code(&error)),
        (4, "invalid_credentials"),
        "{shown}: {error}"
    );
    assert!(message(&error).contains("odd.json"), "{shown}: {error}");
    assert!(
        message(&error).contains(mentions),
        "{shown}: {mentions}: {error}"
    );
    assert!(machine.paths().is_empty(), "{shown}");
}

#[tokio::test]
async fn invalid_credential_file_is_named_with_its_field() {
    let machine = Machine::new().await;
    let key: Value = serde_json::from_str(&machine.robot().json_key()).unwrap();
    let pem = key["private_key"].as_str().unwrap();
    let with = |field: &str, value: Value| {
        let mut key = key.clone();
        key[field] = value;
        key.to_string()
    };
    let without = |field: &str| {
        let mut key = key.clone();
        key.as_object_mut().unwrap().remove(field);
        key.to_string()
    };
    for (contents, mentions) in [
        (String::new(), "empty"),
        ("hello".into(), "JSON"),
        ("[1, 2]".into(), "JSON"),
        ("<html></html>".into(), "HTML"),
        (key.to_string()[..300].to_owned(), "JSON"),
        (r#"{"installed": {"client_id": "x"}}"#.into(), "client"),
        (r#"{"type": "wizard"}"#.into(), "wizard"),
        (r#"{"type": 7}"#.into(), "type"),
        (without("client_email"), "client_email"),
        (without("private_key"), "private_key"),
        (with("client_email", Value::from("")), "client_email"),
        (with("client_email", Value::from(3)), "client_email"),
        (with("private_key", Value::from(&pem[..600])), "private_key"),
        (with("private_key", Value::from(pem.replace("PRIVATE KEY", "EC PRIVATE KEY"))), "private_key"),
        (with("private_key", Value::from(RsaKey::generate(1024).pkcs8_pem())), "2048"),
        (with("token_uri", Value::from("https://evil.example/token")), "evil.example"),
        (with("token_uri", Value::from("http://oauth2.googleapis.com/token")), "token_uri"),
        (with("universe_domain", Value::from("example.net")), "example.net"),
        (r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b"}"#.into(), "refresh_token"),
        (r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": ""}"#.into(), "refresh_token"),
    ] {
        check_rejected(&machine, contents.as_bytes(), mentions).await;
    }
    check_rejected(&machine, b"\xff\xfe\x00{", "UTF-8").await;
}

#[tokio::test]
async fn missing_file_directory_and_huge_file_are_distinguished() {
    let machine = Machine::new().await;
    let directory = machine.home.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let huge = machine.home.path().join("huge.json");
    fs::File::create(&huge).unwrap().set_len(100 << 20).unwrap();
    for (path, mentions) in [
        (machine.home.path().join("nowhere.json"), "nowhere.json"),
        (directory, "directory"),
        (huge, "huge.json"),
    ] {
        let (status, error) = machine
            .failure(&["init", "--credentials", &path.display().to_string()])
            .await;
        assert_eq!(
            (status, code(&error)),
            (4, "invalid_credentials"),
            "{error}"
        );
        assert!(message(&error).contains(mentions), "{error}");
    }
    assert!(machine.paths().is_empty());
}

#[tokio::test]
async fn variable_naming_a_missing_file_is_an_error() {
    let mut machine = Machine::new().await;
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/at/all.json");
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!((status, code(&error)), (4, "invalid_credentials"));
    assert!(
        message(&error).contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{error}"
    );
    assert!(message(&error).contains("/nowhere/at/all.json"), "{error}");
}

#[tokio::test]
async fn invalid_project_is_rejected_without_requests() {
    let machine = Machine::with_key(|b| b).await;
    let long = "p".repeat(200);
    for (project, suggestion) in [
        ("My Project", "my-project"),
        ("projects/x", ""),
        ("projects/my-project", "my-project"),
        ("", ""),
        (&long, ""),
    ] {
        let (status, error) = machine.failure(&["init", "--project", project]).await;
        assert_eq!((status, code(&error)), (5, "invalid_project"), "{project}");
        let remedy = remedy(&error);
        assert!(remedy.contains(suggestion), "{error}");
    }
    let (status, error) = machine
        .failure(&["init", "--project", "764086051850"])
        .await;
    assert_eq!((status, code(&error)), (5, "sdk_project"));
    assert!(machine.paths().is_empty());
}

#[tokio::test]
async fn emulator_on_another_machine_is_rejected() {
    let mut machine = Machine::with_key(|b| b).await;
    machine.set("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    let (status, error) = machine.failure(&["init"]).await;
    assert_ne!(status, 0);
    assert!(message(&error).contains("192.0.2.1"), "{error}");
}

#[tokio::test]
async fn malformed_token_response_is_a_server_error() {
    for (body, status) in [
        ("<html>Sign in</html>", 6),
        (r#"{"access_token": "ya29.x", "expi"#, 6),
        ("", 6),
        (r#"{"access_token": "ya29.x", "expires_in": 0}"#, 6),
        (r#"{"access_token": "ya29.x", "expires_in": -1}"#, 6),
    ] {
        let machine = Machine::with_key(|b| b).await;
        machine.emulator.fault(
            "oauth2.googleapis.com",
            Fault::respond(200, "application/json", body).times(5),
        );
        let (result, error) = machine.failure(&["auth", "token"]).await;
        assert_eq!(
            (result, code(&error)),
            (status, "server_error"),
            "{body}: {error}"
        );
        assert!(!error.to_string().contains("ya29.x"));
    }
}

#[tokio::test]
async fn oversized_token_response_is_not_read_completely() {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.fault(
        "oauth2.googleapis.com",
        Fault::respond_stream(50 << 20).times(5),
    );
    let (status, error) = machine.failure(&["auth", "token"]).await;
    assert_eq!((status, code(&error)), (6, "server_error"), "{error}");
}

#[tokio::test]
async fn expiry_as_a_string_is_accepted() {
    let machine = Machine::with_key(|b| b).await;
    machine.emulator.fault(
        "oauth2.googleapis.com",
        Fault::respond(
            200,
            "application/json",
            r#"{"access_token": "ya29.q", "expires_in": "3599"}"#,
        ),
    );
    let result = machine.run(&["auth", "token"]).await;
    assert_eq!(result.stdout, "ya29.q\n");
}

#[tokio::test]
async fn invalid_command_line_exits_2() {
    let machine = Machine::new().await;
    for arguments in [
        &["fly"][..],
        &["init", "--wings"],
        &["api"],
        &["api", "FLY", "config"],
        &["api", "x", "--query", "y"],
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
    }
    let result = machine.run(&["init", "--wings"]).await;
    assert_eq!(result.status, 2);
    assert!(result.stderr.contains("--wings"));
    assert_eq!(machine.run(&["--help"]).await.status, 0);
}

#[tokio::test]
async fn missing_input_file_exits_1() {
    let machine = Machine::with_key(|b| b).await;
    let (status, error) = machine
        .failure(&["api", "value:compute", "--input", "nothing.json"])
        .await;
    assert_eq!((status, code(&error)), (1, "io"));
    assert!(message(&error).contains("nothing.json"));
}

#[tokio::test]
async fn refused_connection_exits_7() {
    let mut machine = Machine::with_key(|b| b).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    machine.set(
        "EARTHENGINE_EMULATOR_HOST",
        &listener.local_addr().unwrap().to_string(),
    );
    drop(listener);
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!((status, code(&error)), (7, "network"));
    assert!(message(&error).contains("oauth2.googleapis.com"), "{error}");
}

#[tokio::test]
async fn no_verbosity_shows_a_secret() {
    let machine = Machine::with_key(|b| b).await;
    let key: Value = serde_json::from_str(&machine.robot().json_key()).unwrap();
    let body = key["private_key"]
        .as_str()
        .unwrap()
        .lines()
        .nth(2)
        .unwrap()
        .to_owned();
    let jane = machine.emulator.create_user("jane@example.com");
    let file = machine.file("jane.json", jane.authorized_user_json());
    machine.emulator.fault(
        "oauth2.googleapis.com",
        Fault::respond(
            400,
            "application/json",
            format!(
                r#"{{"error": "invalid_grant", "error_description": "never heard of {}"}}"#,
                jane.refresh_token()
            ),
        ),
    );
    let mut all = String::new();
    for arguments in [
        &["-vv", "init", "--credentials", &file, "--project", PROJECT][..],
        &["-vv", "init"],
        &["-vv", "api", "nothing-here"],
    ] {
        let result = machine.run(arguments).await;
        all += &result.stdout;
        all += &result.stderr;
    }
    assert!(
        all.contains("[redacted]"),
        "the echoed refresh token: {all}"
    );
    for secret in [body.as_str(), jane.refresh_token(), "ya29."] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn usage_errors_are_json_with_a_remedy() {
    let machine = Machine::new().await;
    for (arguments, text, advice) in [
        (&["project", "set"][..], "not provided: <PROJECT>", "--help"),
        (&["init", "--jsn"], "--jsn", "'--json'"),
        (&["completions", "cmd"], "bash, elvish", "--help"),
        (&[], "missing command", "--help"),
        (&["project"], "missing command", "--help"),
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
        assert!(message(&error).contains(text), "{error}");
        assert!(!message(&error).contains("Usage"), "{error}");
        assert!(remedy(&error).contains(advice), "{error}");
    }
}
