//! A test that runs again in a process or a namespace of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Set where the tests that need a namespace must not be skipped.
const REQUIRED: &str = "EE_TESTS_REQUIRE_NAMESPACE";
/// Set inside of a namespace.
const INSIDE: &str = "EE_TESTS_INSIDE_NAMESPACE";
/// Set in a process that a test has started, to the input of that process.
const INPUT: &str = "EE_TESTS_PROCESS_INPUT";

/// Copies a program that is to be run. Another process does it: a file that this process writes is
/// open in the children that other threads start meanwhile, and cannot be run until they have
/// started.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp")
        .arg(from.as_ref())
        .arg(to.as_ref())
        .status();
    assert!(copied.unwrap().success());
}

/// Returns the input of this process if another test has started it.
pub fn input() -> Option<String> {
    std::env::var(INPUT).ok()
}

/// Returns a command that runs this test of the current program with an input. `launcher` is a
/// command that takes another as its last arguments.
pub fn rerun(launcher: &[&str], test: &str, input: &str) -> Command {
    let mut child = command(launcher, test);
    child.env(INPUT, input);
    child
}

fn command(launcher: &[&str], test: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut child = match launcher {
        [] => Command::new(&program),
        [launcher, arguments @ ..] => {
            let mut child = Command::new(launcher);
            child.args(arguments).arg(&program);
            child
        }
    };
    child.args(["--exact", test, "--nocapture"]);
    child
}

/// Runs a command of [`rerun`] and fails if its test fails or does not exist.
pub fn assert_passes(child: &mut Command) {
    let output = child.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A Linux namespace for one test.
#[derive(Debug, Clone, Copy)]
pub struct Namespace<'a> {
    /// The arguments of `unshare`.
    unshare: &'a [&'a str],
    /// A command that succeeds where the namespace is permitted.
    probe: &'a [&'a str],
}

impl Namespace<'_> {
    /// A mount namespace.
    pub const MOUNT: Self = Namespace {
        unshare: &["unshare", "--user", "--map-root-user", "--mount"],
        probe: &["mount", "-t", "tmpfs", "none", "/tmp"],
    };
    /// A mount and network namespace.
    pub const NETWORK: Self = Namespace {
        unshare: &["unshare", "--user", "--map-root-user", "--net", "--mount"],
        probe: &["true"],
    };

    /// Runs this test again in the namespace. `launcher` prepares the namespace and runs the command
    /// in its last arguments; `prepare` adds variables. Returns `true` inside of the namespace.
    pub fn enter(
        self,
        test: &str,
        launcher: &[&str],
        prepare: impl FnOnce(&mut Command) -> &mut Command,
    ) -> bool {
        if std::env::var_os(INSIDE).is_some() {
            return true;
        }
        let mut probe = Command::new(self.unshare[0]);
        let probed = probe.args(&self.unshare[1..]).args(self.probe).output();
        if !probed.is_ok_and(|output| output.status.success()) {
            let text = format!("{test}: SKIPPED, this machine permits no such namespace");
            assert!(std::env::var_os(REQUIRED).is_none(), "{text}");
            print(&text);
            return false;
        }
        let launcher = [self.unshare, launcher].concat();
        assert_passes(prepare(command(&launcher, test).env(INSIDE, "1")));
        false
    }
}

/// Runs this test again in a network namespace where `names` resolve to this machine and the address
/// of the metadata server exists. `SSL_CERT_FILE` names a file that the test may write. Returns
/// `true` inside of the namespace.
pub fn enter_network(test: &str, names: &[&str]) -> bool {
    enter_network_with(test, names, &[])
}

/// Runs this test again like [`enter_network`], with further variables.
pub fn enter_network_with(test: &str, names: &[&str], variables: &[(&str, &str)]) -> bool {
    let python = std::env::var("EE_TESTS_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/namespace.py");
    let home = tempfile::tempdir().unwrap();
    Namespace::NETWORK.enter(test, &[&python, script], |command| {
        command
            .env("EE_TESTS_NAMES", names.join(" "))
            .env("SSL_CERT_FILE", home.path().join("authorities.pem"))
            .envs(variables.iter().copied())
    })
}

/// Prints to standard error, whether the output of tests is captured or not.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
