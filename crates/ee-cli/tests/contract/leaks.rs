//! No command says a secret, at any verbosity, whatever the servers answer; but for the places
//! where it is what was asked for.

#[path = "../../../../tests/leaks/canary.rs"]
#[allow(dead_code, reason = "the other tests that share it use the rest")]
mod canary;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canary::{Canaries, Leak};
use ee_emulator::Fault;

use super::*;

/// What every command is run with. One that is not here fails the test.
const COMMANDS: [(&str, &[&str]); 20] = [
    ("init", &[]),
    ("auth login", &["--mode=notebook", "--quiet", "--force"]),
    ("auth logout", &["--revoke"]),
    ("auth scopes", &[]),
    ("auth status", &[]),
    ("auth token", &["--no-token-cache"]),
    ("authenticate", &["--mode=notebook", "--quiet", "--force"]),
    ("project list", &[]),
    ("project check", &[]),
    ("project select", &[]),
    ("project set", &[PROJECT]),
    ("project show", &[]),
    ("project unset", &[]),
    ("doctor", &[]),
    ("api", &["--include", "config"]),
    (
        "emulator",
        &["--port", "0", "--write-credentials", "/dev/null/x"],
    ),
    ("completions", &["bash"]),
    ("man", &[]),
    ("set_project", &[PROJECT]),
    ("unset_project", &[]),
];

/// Where a secret is the result: the command and the secret's name.
const RESULTS: [(&str, &str); 5] = [
    // The server's answer as it came.
    ("api", "a refresh token"),
    ("api", "a token of the server's"),
    ("auth token", "an access token"),
    ("auth login", "a verifier"),
    ("authenticate", "a verifier"),
];

const HOSTS: [&str; 5] = [
    "oauth2.googleapis.com",
    "earthengine.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
    "code.earthengine.google.com",
];

/// The commands, as the completion script knows them, hidden ones too.
async fn all_commands(machine: &Machine) -> BTreeSet<String> {
    let script = machine.run(&["completions", "bash"]).await.stdout;
    let mut all: BTreeSet<String> = BTreeSet::new();
    for line in script.lines().map(str::trim) {
        // `eectl__subcmd__auth,login)`
        let Some((parent, child)) = line.strip_suffix(')').and_then(|l| l.split_once(',')) else {
            continue;
        };
        let is_path = parent == "eectl" || parent.starts_with("eectl__");
        if is_path
            && !child.contains(['"', '$', ' '])
            && !parent.contains("help")
            && child != "help"
        {
            let mut words: Vec<_> = parent
                .split("__")
                .skip(1)
                .filter(|w| *w != "subcmd")
                .collect();
            words.push(child);
            all.insert(words.join(" "));
        }
    }
    // What has commands of its own does nothing itself.
    let groups: Vec<_> = all
        .iter()
        .filter_map(|c| c.rsplit_once(' '))
        .map(|(group, _)| group.to_owned())
        .collect();
    all.retain(|command| !groups.contains(command));
    all
}

/// A person's login in Earth Engine's file, and a key, both of this run.
struct Secrets {
    canaries: Canaries,
    file: String,
    key: String,
    echo: String,
}

fn secrets(machine: &Machine) -> Secrets {
    let jane = machine.emulator.create_user("jane@example.com");
    let robot = machine.robot();
    let mut canaries = Canaries::default();
    canaries.add("a refresh token", jane.earthengine_refresh_token());
    canaries.add_pem("a private key", robot.pkcs8_pem());
    let key = robot.json_key();
    let stray = canaries.plant_word("a token of the server's", "ya29.");
    let token = jane.earthengine_refresh_token();
    let form: String = token.replace('/', "%2F");
    Secrets {
        canaries,
        key,
        file: jane.earthengine_file_json(None),
        echo: format!(
            "cannot use {token} ({form}, '{}...') nor {stray}",
            &token[..20]
        ),
    }
}

/// The secrets that only the requests show: tokens, assertions, verifiers.
fn learn(machine: &Machine, canaries: &mut Canaries) {
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

async fn every_command(regime: Regime) {
    let mut machine = Machine::new().await;
    let secrets = secrets(&machine);
    let key = machine.file("key.json", &secrets.key).display().to_string();
    machine.set("GOOGLE_CLOUD_PROJECT", PROJECT);
    machine.set("RUST_LOG", "trace");
    let mut canaries = secrets.canaries.clone();
    let mut said: Vec<(String, String)> = Vec::new();
    for (command, arguments) in COMMANDS {
        for more in [
            &[][..],
            &["--json"],
            &["-v"],
            &["-vv"],
            &["-vv", "--json"],
            &["-vv", "--credentials", &key],
        ] {
            // Logging out removes it.
            machine.file(".config/earthengine/credentials", &secrets.file);
            set(&machine, regime, &secrets.echo);
            let words: Vec<_> = command
                .split(' ')
                .chain(arguments.iter().copied())
                .chain(more.iter().copied())
                .collect();
            let ended = machine.run(&words).await;
            if command == "auth token" && ended.status == 0 && !ended.stdout.starts_with('{') {
                canaries.add(
                    "an access token as a result",
                    ended.stdout.trim().trim_start_matches("ya29."),
                );
            }
            let begun = machine.credentials().with_file_name(".credentials.begun");
            // The first part is in the page's address.
            for part in fs::read_to_string(begun)
                .unwrap_or_default()
                .split(':')
                .skip(1)
            {
                canaries.add(format!("a verifier {part}"), part);
            }
            said.push((format!("{command} {more:?} on stdout"), ended.stdout));
            said.push((format!("{command} {more:?} on stderr"), ended.stderr));
        }
    }
    learn(&machine, &mut canaries);
    let files = files(machine.home.path());
    check(&canaries, &said, regime);
    check_files(&canaries, &files, regime);
}

/// Every file under a folder, by its path there.
fn files(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
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

/// The login is in Earth Engine's file, a verifier beside it, and the key in its own; tokens
/// that are kept are sealed.
fn check_files(canaries: &Canaries, files: &[(String, String)], regime: Regime) {
    let finder = canaries.finder();
    let mut found = BTreeSet::new();
    for (path, text) in files {
        for Leak { secret, .. } in finder.find(text) {
            let allowed = path.ends_with("earthengine/credentials") && secret == "a refresh token"
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
        assert!(kept.count() > 0, "no token was kept: {files:?}");
    }
}

fn check(canaries: &Canaries, said: &[(String, String)], regime: Regime) {
    let finder = canaries.finder();
    let mut told = String::new();
    let mut seen = BTreeSet::new();
    for (place, text) in said {
        for Leak {
            secret,
            form,
            context,
        } in finder.find(text)
        {
            // A login's second step is told with its verifier to programs alone.
            let to_programs = place.contains("--json") || !secret.starts_with("a verifier");
            let allowed = RESULTS.iter().find(|(command, kind)| {
                place.starts_with(command)
                    && place.ends_with("stdout")
                    && secret.starts_with(kind)
                    && to_programs
            });
            match allowed {
                Some((command, _)) => {
                    seen.insert(*command);
                }
                None => {
                    let _ = writeln!(told, "{secret} ({form}) in {place}: {context}");
                }
            }
        }
    }
    assert_eq!(told, "", "{regime:?}");
    // What is allowed must be there, or nothing was looked at.
    let echoed = said.iter().any(|(_, text)| text.contains("[redacted]"));
    let looked = match regime {
        Regime::Fine => seen.contains("auth token") && seen.contains("auth login"),
        Regime::Html => seen.contains("api"),
        Regime::Grant | Regime::Refused => echoed,
    };
    assert!(looked, "{regime:?}: {seen:?}");
}

#[tokio::test]
async fn every_command_is_looked_at() {
    let machine = Machine::new().await;
    let known: BTreeSet<_> = COMMANDS
        .iter()
        .map(|(command, _)| (*command).to_owned())
        .collect();
    let all = all_commands(&machine).await;
    assert!(
        all.contains("auth token") && all.contains("set_project"),
        "{all:?}"
    );
    assert_eq!(all, known);
}

#[tokio::test]
async fn no_command_says_a_secret_when_all_is_well() {
    every_command(Regime::Fine).await;
}

#[tokio::test]
async fn no_command_says_a_secret_when_the_login_is_refused_with_an_echo() {
    every_command(Regime::Grant).await;
}

#[tokio::test]
async fn no_command_says_a_secret_when_its_requests_are_refused_with_an_echo() {
    every_command(Regime::Refused).await;
}

#[tokio::test]
async fn no_command_says_a_secret_when_a_page_answers_with_an_echo() {
    every_command(Regime::Html).await;
}

#[tokio::test]
async fn a_proxys_password_goes_to_the_proxy_and_nowhere_else() {
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
        let mut heard = String::new();
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
            heard += &head;
        }
        heard
    });
    let address = machine.variables["HTTPS_PROXY"]
        .rsplit('@')
        .next()
        .unwrap()
        .to_owned();
    let ended = machine.run(&["-vv", "init", "--project", PROJECT]).await;
    if let Ok(mut stream) = std::net::TcpStream::connect(address) {
        let _ = stream.write_all(b"STOP");
    }
    let heard = serving.join().unwrap();
    let sent = STANDARD.encode(format!("ada:{password}"));
    assert!(heard.contains(&sent), "the proxy was not told: {heard}");
    assert_ne!(ended.status, 0);
    assert_eq!(
        canaries.find(&format!("{}{}", ended.stdout, ended.stderr)),
        []
    );
}
