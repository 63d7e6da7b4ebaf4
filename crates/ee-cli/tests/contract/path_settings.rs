//! Settings that name files, set to a key or a token instead of a path, and to paths with control
//! characters.
//!
//! The full product of settings and texts is tested without processes, in `tests/security/leaks`. Here each
//! command meets each text in one variable and one option, and each variable meets each command
//! with one text. A command that does not read a variable is not affected by it.

use earthengine::token::internal::is_unsafe_for_display;
use ee_test_support::canaries::{Canaries, Finder};
use ee_test_support::misplaced;
use tokio::task::JoinSet;

use super::every_command::COMMANDS;
use super::*;

const GOOGLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const FORMS: [&[&str]; 4] = [&[], &["--json"], &["-vv"], &["-vv", "--json"]];
/// Commands that search for credentials.
const READ_CREDENTIALS: [&str; 9] = [
    "init",
    "auth scopes",
    "auth status",
    "auth token",
    "project list",
    "project check",
    "project show",
    "doctor",
    "api",
];
/// Commands that read or write Earth Engine's file.
const READ_FILE: [&str; 10] = [
    "auth list",
    "auth login",
    "auth switch",
    "authenticate",
    "project set",
    "project unset",
    "set_project",
    "unset_project",
    "auth logout",
    "project show",
];

/// A command to run with a variable, and the text that it must print.
struct Run {
    text: String,
    words: Vec<String>,
    variable: Option<(String, String)>,
    /// `None` if the command does not read the setting.
    expected: Option<String>,
}

fn words(command: &str, arguments: &[&str], more: &[&str]) -> Vec<String> {
    let is_quiet = arguments.contains(&"--quiet");
    let more = more.iter().filter(|word| !is_quiet || **word != "-vv");
    // The words after the `--` of `exec` are those of another command.
    let words = command.split(' ').chain(more.copied());
    words
        .chain(arguments.iter().copied())
        .map(str::to_owned)
        .collect()
}

/// Runs the commands, four at a time, each with its own home directory.
async fn check(machine: &Machine, runs: Vec<Run>, finder: &Finder) {
    let mut running = JoinSet::new();
    for (number, run) in runs.into_iter().enumerate() {
        let home = machine.home.path().join(number.to_string());
        fs::create_dir(&home).unwrap();
        if running.len() >= 4 {
            running.join_next().await.unwrap().unwrap();
        }
        let mut command = machine.command(EECTL);
        command
            .args(&run.words)
            .env("HOME", home)
            .envs(run.variable.clone());
        let finder = finder.clone();
        running.spawn_blocking(move || {
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let shown = text(output.stdout) + &text(output.stderr);
            let name = run.words.iter().map(|word| word.get(..40).unwrap_or(word));
            let variable = run.variable.map(|(name, _)| name);
            let name = format!("{}: {variable:?} {:?}", run.text, name.collect::<Vec<_>>());
            assert_eq!(finder.find(&shown), [], "{name}: {shown}");
            if let Some(expected) = run.expected {
                assert_eq!(output.status.code(), Some(4), "{name}: {shown}");
                assert!(shown.contains(&expected), "{name}: no {expected}: {shown}");
                let hint = ["hint:", "\"remedy\":\""];
                assert!(hint.iter().any(|hint| shown.contains(hint)), "{name}");
            }
        });
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
}

/// Creates a machine with the log enabled.
async fn machine() -> Machine {
    let mut machine = Machine::new().await;
    machine.set("RUST_LOG", "trace");
    machine
}

/// Commands that end without a signal.
fn commands() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    COMMANDS.into_iter().filter(|(name, _)| *name != "emulator")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_shows_a_secret_given_as_a_path() {
    let machine = machine().await;
    let mut canaries = Canaries::default();
    let texts = misplaced::all(&mut canaries);
    let mut runs = Vec::new();
    for (number, (command, arguments)) in commands().enumerate() {
        let reads = READ_CREDENTIALS.contains(&command);
        for (at, text) in texts.iter().enumerate() {
            let more = FORMS[(number + at) % FORMS.len()];
            let expected = format!("{GOOGLE} contains {}, not a path", text.noun);
            runs.push(Run {
                text: text.name.clone(),
                words: words(command, arguments, more),
                variable: Some((GOOGLE.to_owned(), text.text.clone())),
                expected: reads.then_some(expected),
            });
        }
        for (at, text) in texts.iter().enumerate().skip(number % 5).step_by(5) {
            let flag = ["--credentials", &text.text];
            let more = [FORMS[at % FORMS.len()], &flag[..]].concat();
            runs.push(Run {
                text: text.name.clone(),
                words: words(command, arguments, &more),
                variable: None,
                expected: Some(format!("--credentials is {}, not a path", text.noun)),
            });
        }
    }
    check(&machine, runs, &canaries.finder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn path_settings_are_checked_by_every_command_that_reads_them() {
    let machine = machine().await;
    let mut canaries = Canaries::default();
    let texts = misplaced::all(&mut canaries);
    let mut runs = Vec::new();
    let settings: [(&str, &[&[&str]]); 6] = [
        ("EE_CONFIG_FILE", &[&READ_CREDENTIALS, &READ_FILE]),
        ("HOME", &[&READ_CREDENTIALS, &READ_FILE]),
        ("CLOUDSDK_CONFIG", &[&READ_CREDENTIALS]),
        (
            "XDG_CACHE_HOME",
            &[&["init", "auth status", "doctor", "auth logout"]],
        ),
        (
            "SSL_CERT_FILE",
            &[&["init", "auth status", "doctor", "auth login"]],
        ),
        (
            "SSL_CERT_DIR",
            &[&["init", "auth status", "doctor", "auth login"]],
        ),
    ];
    for (number, (variable, readers)) in settings.into_iter().enumerate() {
        for (at, (command, arguments)) in commands().enumerate() {
            let text = &texts[(number * 7 + at * 5) % texts.len()];
            let reads = readers.iter().any(|readers| readers.contains(&command));
            runs.push(Run {
                text: text.name.clone(),
                words: words(command, arguments, FORMS[(number + at) % FORMS.len()]),
                variable: Some((variable.to_owned(), text.text.clone())),
                expected: reads.then(|| format!("{variable} contains {}, not a path", text.noun)),
            });
        }
    }
    // Options of single commands, and invalid command lines, whose errors quote arguments.
    for (at, text) in texts.iter().enumerate().filter(|(at, _)| at % 3 == 0) {
        let message = |option: &str| format!("{option} is {}, not a path", text.noun);
        let field = format!("x=@{}", text.text);
        for (line, option) in [
            (
                vec!["api", "config", "--input", &text.text],
                Some("--input"),
            ),
            (vec!["api", "config", "-F", &field], Some("--field")),
            (vec!["man", "--dir", &text.text], Some("--dir")),
            (
                vec!["emulator", "--port=0", "--write-credentials", &text.text],
                Some("--write-credentials"),
            ),
            (
                vec!["emulator", "--port=0", "--config", &text.text],
                Some("--config"),
            ),
            (vec![text.text.as_str()], None),
            (vec!["auth", "login", "--mode", &text.text], None),
            (vec!["init", "--account", &text.text], None),
            (vec!["auth", "switch", &text.text], None),
            (vec!["init", &text.text], None),
        ] {
            let mut words: Vec<_> = line.into_iter().map(str::to_owned).collect();
            words.extend(
                FORMS[at % FORMS.len()]
                    .iter()
                    .map(|word| (*word).to_owned()),
            );
            runs.push(Run {
                text: text.name.clone(),
                words,
                variable: None,
                expected: option.map(message),
            });
        }
    }
    check(&machine, runs, &canaries.finder()).await;
}

#[tokio::test]
async fn text_given_as_a_path_is_a_usage_error() {
    let machine = Machine::new().await;
    let result = machine
        .run(&["api", "config", "--input", "{\"a\": 1}"])
        .await;
    assert_eq!(result.status, 2);
    result.assert_stderr("--input is JSON, not a path");
}

/// Escape sequences, a line break, a direction mark and an invisible character.
#[cfg(unix)]
const UNSAFE_NAME: &str = "a\u{1b}]0;owned\u{7}\u{9b}2J\nerror: b\r\u{202e}c\u{200b}";

#[cfg(unix)]
#[tokio::test]
async fn no_command_prints_control_characters_of_paths() {
    let mut machine = Machine::new().await;
    machine.set("GOOGLE_CLOUD_PROJECT", PROJECT);
    let home = machine.home.path().join(UNSAFE_NAME);
    let login = |machine: &Machine, name: &str| {
        let user = machine.emulator.create_user(name);
        user.earthengine_file_json(None)
    };
    let key = machine.robot().json_key();
    let key = machine.file(&format!("{UNSAFE_NAME}.json"), key);
    machine.set("HOME", home.to_str().unwrap());
    let file = format!("{UNSAFE_NAME}/.config/earthengine/credentials");
    let mut paths = 0;
    let with_key = ["-vv", "--credentials", &key];
    for more in [
        &[][..],
        &["--json"],
        &["-v"],
        &["-vv"],
        &["-vv", "--json"],
        &with_key,
    ] {
        for (command, arguments) in COMMANDS {
            // The last command revokes the login.
            let path = machine.file(&file, login(&machine, "jane@example.com"));
            // Insecure permissions cause a warning that names the file.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(&path, open).unwrap();
            let words = words(command, arguments, more);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let result = machine.run(&words).await;
            for text in [&result.stdout, &result.stderr] {
                let is_unsafe = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
                assert!(!text.contains(is_unsafe), "{command} {more:?}: {text:?}");
                let forged = text.lines().any(|line| line.trim().starts_with("error: b"));
                assert!(!forged, "{command} {more:?}: {text:?}");
                paths += usize::from(text.contains("owned"));
            }
        }
    }
    assert!(paths > 60, "{paths} texts with a path");

    // JSON contains the exact path.
    machine.file(&file, login(&machine, "ada@example.com"));
    let status = machine.json(&["auth", "status", "--json"]).await;
    let expected = home.join(".config/earthengine/credentials");
    assert_eq!(status["credential"]["path"], expected.to_str().unwrap());
    let logout = machine.json(&["auth", "logout", "--json"]).await;
    assert_eq!(logout["path"], expected.to_str().unwrap());

    // An invalid file, a missing file, a directory that cannot be written.
    machine.file(&file, "{");
    let missing = format!("/nowhere/{UNSAFE_NAME}");
    for line in [
        vec!["init"],
        vec!["doctor"],
        vec!["project", "set", PROJECT],
        vec!["init", "--credentials", &missing],
        vec!["api", "config", "--input", &missing],
        vec!["api", "config", "-F", &key],
        vec!["man", "--dir", "/dev/null/\u{1b}[2J"],
        vec![
            "emulator",
            "--port=0",
            "--write-credentials",
            "/dev/null/\u{1b}[2J",
        ],
        vec!["\u{1b}[2J"],
    ] {
        let result = machine.run(&line).await;
        assert_ne!(result.status, 0, "{line:?}");
        let shown = result.stdout + &result.stderr;
        let is_unsafe = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
        assert!(!shown.contains(is_unsafe), "{line:?}: {shown:?}");
    }
}
