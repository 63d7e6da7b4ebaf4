//! No command prints a secret, at any verbosity and with any response, unless the secret is the
//! requested result.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_emulator::Fault;
use ee_test_support::canaries::{Canaries, Leak};

use super::every_command::{COMMANDS, with_options};
use super::*;

/// Commands whose result is a secret, with the secret's name.
const RESULTS: [(&str, &str); 6] = [
    // The server's response, printed verbatim.
    ("api", "a refresh token"),
    ("api", "a token of the server's"),
    ("api", "an access token"),
    ("auth token", "an access token"),
    ("auth login", "a verifier"),
    ("authenticate", "a verifier"),
];

const HOSTS: [&str; 6] = [
    "oauth2.googleapis.com",
    "earthengine.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
    "code.earthengine.google.com",
    "iamcredentials.googleapis.com",
];

/// A user's login in Earth Engine's file, and a service account key.
struct Secrets {
    canaries: Canaries,
    file: String,
    /// The file of the account `work`.
    other_file: String,
    key: String,
    echo: String,
}

fn secrets(machine: &Machine) -> Secrets {
    let jane = machine.emulator.create_user("jane@example.com");
    let robot = machine.robot();
    let mut canaries = Canaries::default();
    canaries.add("a refresh token", jane.earthengine_refresh_token());
    let ada = machine.emulator.create_user("ada@example.com");
    canaries.add("a refresh token", ada.earthengine_refresh_token());
    canaries.add_pem("a private key", robot.pkcs8_pem());
    let key = robot.json_key();
    let stray = canaries.plant_word("a token of the server's", "ya29.");
    let token = jane.earthengine_refresh_token();
    let form: String = token.replace('/', "%2F");
    Secrets {
        canaries,
        key,
        file: jane.earthengine_file_json(None),
        other_file: ada.earthengine_file_json(None),
        echo: format!(
            "cannot use {token} ({form}, '{}...') nor {stray}",
            &token[..20]
        ),
    }
}

/// Adds the secrets that only the requests contain: tokens and assertions.
fn add_sent_secrets(machine: &Machine, canaries: &mut Canaries) {
    for (number, request) in machine.emulator.requests().iter().enumerate() {
        if let Some(token) = request.bearer() {
            canaries.add(
                format!("an access token {number}"),
                token.trim_start_matches("ya29."),
            );
        }
        if let Some(assertion) = request.form().get("assertion") {
            canaries.add_jwt(&format!("an assertion {number}"), assertion);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Regime {
    Fine,
    Grant,
    Refused,
    Html,
}

fn set(machine: &Machine, regime: Regime, echo: &str) {
    machine.emulator.clear_faults();
    let error = serde_json::json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": echo,
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": echo, "metadata": {"service": echo}}]}});
    let grant = serde_json::json!({"error": "invalid_grant", "error_description": echo});
    for host in HOSTS {
        let fault = match regime {
            Regime::Fine => return,
            Regime::Grant if host == HOSTS[0] => Fault::status(400).json(&grant),
            Regime::Refused if host != HOSTS[0] => Fault::status(401)
                .json(&error)
                .header("www-authenticate", echo),
            Regime::Html if host != HOSTS[0] => {
                Fault::respond(200, "text/html", format!("<html><title>{echo}</title>"))
            }
            _ => continue,
        };
        machine.emulator.fault(host, fault.times(usize::MAX));
    }
}

/// Returns the cached token that the next command sends, or `None` once the login is revoked.
async fn token_in_use(machine: &Machine, more: &[&str]) -> Option<String> {
    machine.emulator.clear_faults();
    let chosen = match more {
        [.., "--credentials" | "--impersonate", _] => &more[more.len() - 2..],
        _ => &[],
    };
    let result = machine.run(&[&["auth", "token"], chosen].concat()).await;
    let token = result.stdout.trim().strip_prefix("ya29.")?;
    Some(token.to_owned())
}

async fn every_command(regime: Regime) {
    let mut machine = Machine::new().await;
    let secrets = secrets(&machine);
    machine
        .emulator
        .allow_impersonation("jane@example.com", ROBOT);
    let key = machine.file("key.json", &secrets.key);
    machine.set("GOOGLE_CLOUD_PROJECT", PROJECT);
    machine.set("RUST_LOG", "trace");
    let mut canaries = secrets.canaries.clone();
    let mut outputs: Vec<(String, String)> = Vec::new();
    let mut left = Vec::new();
    let with_key = ["-vv", "--credentials", &key];
    let mut choices = vec![
        &[][..],
        &["--json"],
        &["-vv"],
        &["-vv", "--json"],
        &with_key,
    ];
    if matches!(regime, Regime::Fine) {
        choices.extend([&["-v"][..], &["-vv", "--impersonate", ROBOT]]);
    }
    for (command, arguments) in COMMANDS {
        if command == "auth logout" {
            left = files(machine.home.path());
        }
        for more in &choices {
            // A logout removed it.
            machine.file(".config/earthengine/credentials", &secrets.file);
            let work = ".config/earthengine/credentials.accounts/work";
            machine.file(work, &secrets.other_file);
            let mut echo = secrets.echo.clone();
            if let Some(token) = token_in_use(&machine, more).await {
                canaries.add(format!("an access token {}", outputs.len()), &token);
                let _ = write!(echo, " nor ya29.{token}");
            }
            set(&machine, regime, &echo);
            let words = with_options(command, arguments, more);
            let result = machine.run(&words).await;
            if command == "auth token" && result.status == 0 && !result.stdout.starts_with('{') {
                canaries.add(
                    "an access token as a result",
                    result.stdout.trim().trim_start_matches("ya29."),
                );
            }
            let begun = machine.credentials().with_file_name(".credentials.begun");
            // The first part is also in the URL of the page.
            for part in fs::read_to_string(begun)
                .unwrap_or_default()
                .split(':')
                .skip(1)
            {
                canaries.add(format!("a verifier {part}"), part);
            }
            outputs.push((format!("{command} {more:?} on stdout"), result.stdout));
            outputs.push((format!("{command} {more:?} on stderr"), result.stderr));
        }
    }
    add_sent_secrets(&machine, &mut canaries);
    check(&canaries, &outputs, regime);
    check_files(&canaries, &left, regime);
}

/// Returns every file under a directory with its contents.
fn files(dir: &std::path::Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            all.push((path.display().to_string(), text));
        }
    }
    all
}

/// Checks that secrets are only in the files made for them: the login, the pending verifier and
/// the key. Cached tokens are encrypted.
fn check_files(canaries: &Canaries, files: &[(String, String)], regime: Regime) {
    let finder = canaries.finder();
    let mut found = BTreeSet::new();
    for (path, text) in files {
        for Leak { secret, .. } in finder.find(text) {
            let is_login = path.ends_with("earthengine/credentials")
                || path.contains("earthengine/credentials.accounts/");
            let allowed = is_login && secret == "a refresh token"
                || path.ends_with("earthengine/.credentials.begun")
                    && secret.starts_with("a verifier")
                || path.ends_with("key.json") && secret.starts_with("a private key");
            assert!(allowed, "{secret} in {path}");
            found.insert(secret);
        }
    }
    assert!(found.contains("a refresh token") && found.contains("a private key (PEM)"));
    if matches!(regime, Regime::Fine) {
        let kept = files.iter().filter(|(path, _)| path.contains(".cache/"));
        assert!(kept.count() > 0, "no token was cached: {files:?}");
    }
}

fn check(canaries: &Canaries, outputs: &[(String, String)], regime: Regime) {
    let finder = canaries.finder();
    let mut leaks = String::new();
    let mut seen = BTreeSet::new();
    for (output, text) in outputs {
        for Leak {
            secret,
            form,
            context,
        } in finder.find(text)
        {
            // Only JSON output contains the verifier of a pending login.
            let may_be_printed = output.contains("--json") || !secret.starts_with("a verifier");
            let allowed = RESULTS.iter().find(|(command, kind)| {
                output.starts_with(command)
                    && output.ends_with("stdout")
                    && secret.starts_with(kind)
                    && may_be_printed
            });
            match allowed {
                Some((command, _)) => {
                    seen.insert(*command);
                }
                None => {
                    let _ = writeln!(leaks, "{secret} ({form}) in {output}: {context}");
                }
            }
        }
    }
    assert_eq!(leaks, "", "{regime:?}");
    // The allowed secrets must be found, or the search does not work.
    let echoed = outputs.iter().any(|(_, text)| text.contains("[redacted]"));
    let found = match regime {
        Regime::Fine => seen.contains("auth token") && seen.contains("auth login"),
        Regime::Html => seen.contains("api"),
        Regime::Grant | Regime::Refused => echoed,
    };
    assert!(found, "{regime:?}: {seen:?}");
}

#[tokio::test]
async fn no_command_leaks_a_secret_on_success() {
    every_command(Regime::Fine).await;
}

#[tokio::test]
async fn no_command_leaks_a_login_echoed_in_a_rejection() {
    every_command(Regime::Grant).await;
}

#[tokio::test]
async fn no_command_leaks_a_token_echoed_in_a_rejection() {
    every_command(Regime::Refused).await;
}

#[tokio::test]
async fn no_command_leaks_a_secret_echoed_in_a_web_page() {
    every_command(Regime::Html).await;
}

/// A run of the project picker on a terminal: the fault of a host, the typed input and the
/// expected exit status.
#[cfg(unix)]
struct Pick {
    fault: Option<(&'static str, Fault)>,
    options: &'static [&'static str],
    typed: &'static [&'static str],
    status: i32,
}

#[cfg(unix)]
fn picks(echo: &str) -> [Pick; 6] {
    use serde_json::json;
    let pick = |fault, typed, status| Pick {
        fault: Some(("cloudresourcemanager.googleapis.com", fault)),
        options: &[],
        typed,
        status,
    };
    let error = |code: u16, status: &str| {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": echo,
            "metadata": {"consumer": echo}}]);
        let error = json!({"code": code, "status": status, "message": echo, "details": details});
        Fault::status(code).json(&json!({ "error": error }))
    };
    let named_by_echo = json!({"projects": [
        {"projectId": PROJECT, "name": "projects/1", "displayName": echo},
        {"projectId": "forest-one", "name": "projects/2", "displayName": "forest"},
        {"projectId": echo, "name": echo},
    ]});
    let page = format!("<html><title>{echo}</title>");
    let grant = json!({"error": "invalid_grant", "error_description": echo});
    [
        Pick {
            fault: None,
            options: &[],
            typed: &["1"],
            status: 0,
        },
        pick(Fault::status(200).json(&named_by_echo), &["forest-one"], 0),
        pick(
            error(403, "PERMISSION_DENIED"),
            &["No Project", "another-project"],
            0,
        ),
        pick(error(401, "UNAUTHENTICATED"), &[], 4),
        pick(Fault::respond(200, "text/html", page), &[""], 2),
        Pick {
            fault: Some((HOSTS[0], Fault::status(400).json(&grant))),
            options: &["--no-token-cache"],
            typed: &[],
            status: 4,
        },
    ]
}

#[cfg(unix)]
#[tokio::test]
async fn project_picker_shows_no_secret() {
    use super::terminal::PROMPT;
    let mut machine = Machine::with(|b| b.project(Project::new("forest-one"))).await;
    machine.set("RUST_LOG", "trace");
    machine.set("TERM", "dumb");
    let secrets = secrets(&machine);
    let mut canaries = secrets.canaries.clone();
    let mut all = Vec::new();
    for more in [&[][..], &["-vv"], &["-vv", "--json"]] {
        machine.file(".config/earthengine/credentials", &secrets.file);
        let token = token_in_use(&machine, more).await.unwrap();
        canaries.add(format!("an access token {}", all.len()), &token);
        let echo = format!("{} nor ya29.{token}", secrets.echo);
        for pick in picks(&echo) {
            machine.emulator.clear_faults();
            if let Some((host, fault)) = pick.fault {
                machine.emulator.fault(host, fault.times(usize::MAX));
            }
            let words = [&["project", "select"], pick.options, more].concat();
            let typed: Vec<_> = pick.typed.iter().map(|text| format!("{text}\r")).collect();
            let steps: Vec<_> = typed.iter().map(|text| (PROMPT, text.as_str())).collect();
            let (status, shown) = machine.on_terminal(&words, &steps).await;
            assert_eq!(status, pick.status, "{shown}");
            all.push(shown);
        }
    }
    add_sent_secrets(&machine, &mut canaries);
    let finder = canaries.finder();
    for shown in &all {
        assert_eq!(finder.find(shown), [], "{shown}");
    }
    let echoes = all.iter().filter(|shown| shown.contains("[redacted]"));
    assert!(echoes.count() > 8, "{all:?}");

    // The search works: typed text is found.
    machine.emulator.clear_faults();
    let typed = canaries.plant_word("what was typed", "");
    let steps = [(PROMPT, &*format!("{typed}\r")), (PROMPT, "\r")];
    let (_, shown) = machine.on_terminal(&["project", "select"], &steps).await;
    assert!(!canaries.find(&shown).is_empty(), "{shown}");
}

#[tokio::test]
async fn proxy_password_is_sent_only_to_the_proxy() {
    let mut machine = Machine::with_key(|b| b).await;
    let mut canaries = Canaries::default();
    let password = canaries.plant_word("the proxy's password", "");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    machine.variables.remove("EARTHENGINE_EMULATOR_HOST");
    machine.set(
        "HTTPS_PROXY",
        &format!("http://ada:{password}@{}", proxy.local_addr().unwrap()),
    );
    let serving = std::thread::spawn(move || {
        let mut received = String::new();
        for stream in proxy.incoming().take(6) {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if head.starts_with("STOP") {
                break;
            }
            let echo = head.replace("\r\n", " ");
            let _ = write!(
                stream,
                "HTTP/1.1 407 {echo}\r\nX-Echo: {echo}\r\nContent-Length: 0\r\n\r\n"
            );
            received += &head;
        }
        received
    });
    let address = machine.variables["HTTPS_PROXY"]
        .rsplit('@')
        .next()
        .unwrap()
        .to_owned();
    let result = machine.run(&["-vv", "init", "--project", PROJECT]).await;
    if let Ok(mut stream) = std::net::TcpStream::connect(address) {
        let _ = stream.write_all(b"STOP");
    }
    let received = serving.join().unwrap();
    let sent = STANDARD.encode(format!("ada:{password}"));
    assert!(received.contains(&sent), "no password was sent: {received}");
    assert_ne!(result.status, 0);
    assert_eq!(
        canaries.find(&format!("{}{}", result.stdout, result.stderr)),
        []
    );
}
