//! Whole processes, from start to a token or a verified client.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ee_emulator::{Emulator, Project};

use crate::harness::{Better, Effort, Row, contender, interleaved};
use crate::server::Server;

const PROJECT: &str = "p-1234";

/// The programs, and a machine for them.
pub struct Machine {
    emulator: Emulator,
    programs: PathBuf,
    python: Option<PathBuf>,
    eectl: Option<PathBuf>,
    repository: PathBuf,
    home: PathBuf,
    key: PathBuf,
}

impl Machine {
    /// `programs` is the directory of the programs. Python's client is skipped without `python`.
    pub fn new(
        programs: &Path,
        python: Option<&Path>,
        eectl: Option<&Path>,
        repository: &Path,
    ) -> Self {
        let emulator = Emulator::builder()
            .project(Project::new(PROJECT))
            .start_blocking()
            .expect("an emulator");
        let home = std::env::temp_dir().join(format!("ee-bench-home-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        let key = home.join("key.json");
        let account =
            emulator.create_service_account("robot@p-1234.iam.gserviceaccount.com", PROJECT);
        std::fs::write(&key, account.json_key()).expect("a file");
        private(&key);
        Self {
            emulator,
            programs: programs.to_owned(),
            python: python.map(Path::to_owned),
            eectl: eectl.map(Path::to_owned),
            repository: repository.to_owned(),
            home,
            key,
        }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("NO_GCE_CHECK", "true")
            .env("GOOGLE_APPLICATION_CREDENTIALS", &self.key)
            .env(
                "EARTHENGINE_EMULATOR_HOST",
                self.emulator.address().to_string(),
            )
            .stdin(Stdio::null());
        command
    }

    /// Returns a command for an installed copy of a program. The linker's output stays in the page
    /// cache in small pieces, which differ between programs and are mapped slowly.
    pub fn hello(&self, name: &str) -> Command {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.installed(&self.programs.join(name))
    }

    /// Returns a command for an installed copy of `eectl`, if it was built.
    pub fn eectl(&self) -> Option<Command> {
        Some(self.installed(self.eectl.as_ref()?))
    }

    /// Writes a user's login, and returns its path.
    pub fn login(&self) -> PathBuf {
        let path = self.home.join("login.json");
        let user = self.emulator.create_user("jane@example.com");
        std::fs::write(&path, user.earthengine_file_json(Some(PROJECT))).expect("a file");
        private(&path);
        path
    }

    fn installed(&self, program: &Path) -> Command {
        let installed = self.home.join(program.file_name().unwrap_or_default());
        if !installed.exists() {
            std::fs::copy(program, &installed).expect("a program");
        }
        self.command(installed)
    }

    /// Returns a command for Python's `ee.Initialize`.
    fn python(&self) -> Option<Command> {
        let clients = self.repository.join("tests/interop/reference_clients");
        let mut command = self.command(self.python.as_ref()?);
        command
            .env("PYTHONPATH", clients.join("python_preload"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(self.repository.join("tests/benchmarks/bench/initialize.py"))
            .arg(&self.key)
            .arg(PROJECT);
        Some(command)
    }

    /// Runs a command, and returns milliseconds and requests.
    pub fn run(&self, mut command: Command) -> (f64, f64) {
        self.emulator.clear_requests();
        let started = Instant::now();
        let output = command.output().expect("a program that starts");
        let elapsed = started.elapsed().as_secs_f64() * 1000.0;
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (elapsed, self.emulator.requests().len() as f64)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Process start to verified client, with a service account key.
pub fn cold_init(machine: &Machine, effort: Effort) -> Row {
    let (_, requests) = machine.run(machine.hello("hello-ours-init"));
    let python = machine.python().map(|_| {
        let one = || machine.run(machine.python().expect("as above")).0;
        interleaved(effort.pick(5, 1), &mut [contender("earthengine-api", one)])[0]
    });
    let medians = interleaved(
        effort.pick(31, 1),
        &mut [
            contender("ours", || machine.run(machine.hello("hello-ours-init")).0),
            contender("reqwest", || machine.run(machine.hello("hello-reqwest")).0),
        ],
    );
    let mut row = Row::new("cold_init", "ms", Better::Lower, medians[0])
        .limit(medians[1])
        .peer("reqwest", medians[1])
        .more("requests", requests);
    if let Some(python) = python {
        row = row.peer("earthengine-api", python);
    }
    row.goal(
        "2 requests, ≤ 1.5 × bare reqwest, ≥ 40 × faster than ee.Initialize",
        |row| {
            // Without Python there is no row.
            let python = row.to_peer("earthengine-api");
            requests == 2.0
                && row.ratio_limit().is_some_and(|r| r <= 1.5)
                && (python.is_nan() || python <= 1.0 / 40.0)
        },
    )
}

/// Measures a process from its start to the first token of a metadata server. The limit is bare
/// reqwest that trusts no certificate and so loads none.
pub fn metadata_first(machine: &Machine, effort: Effort) -> Row {
    let server = Server::start();
    let run = |name: &'static str| {
        let address = server.address.to_string();
        move || {
            let mut command = machine.hello(name);
            for variable in [
                "NO_GCE_CHECK",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "EARTHENGINE_EMULATOR_HOST",
            ] {
                command.env_remove(variable);
            }
            command.env("GCE_METADATA_HOST", &address);
            machine.run(command).0
        }
    };
    let medians = interleaved(
        effort.pick(201, 1),
        &mut [
            contender("ours", run("hello-ours")),
            contender("reqwest", run("hello-reqwest-metadata")),
            contender("reqwest with defaults", run("hello-reqwest-as-it-comes")),
            contender("google-cloud-auth", run("hello-google-cloud-auth")),
        ],
    );
    Row::new("metadata_first", "ms", Better::Lower, medians[0])
        .limit(medians[1])
        .peer("reqwest", medians[1])
        .peer("reqwest with defaults", medians[2])
        .peer("google-cloud-auth", medians[3])
        .goal(
            "no slower than bare reqwest with defaults, ≤ 1.1 × bare reqwest without certificates",
            |row| {
                row.to_peer("reqwest with defaults") <= 1.0
                    && row.ratio_limit().is_some_and(|r| r <= 1.1)
            },
        )
}

/// Process start to the first self-signed JWT, printed.
pub fn cold_token(machine: &Machine, effort: Effort) -> Row {
    let run = |name: &'static str| move || machine.run(machine.hello(name)).0;
    let (_, requests) = machine.run(machine.hello("hello-ours"));
    let medians = interleaved(
        effort.pick(31, 1),
        &mut [
            contender("ours", run("hello-ours")),
            contender("google-cloud-auth", run("hello-google-cloud-auth")),
        ],
    );
    Row::new("cold_token", "ms", Better::Lower, medians[0])
        .peer("google-cloud-auth", medians[1])
        .more("requests", requests)
        .goal("no request, ≤ 10 ms", |row| {
            requests == 0.0 && row.ours <= 10.0
        })
}

/// The second start within the lifetime of a token: requests, and milliseconds.
pub fn warm_init(machine: &Machine, effort: Effort) -> Vec<Row> {
    let warm = || machine.hello("hello-ours-cached");
    machine.run(warm());
    let (_, requests) = machine.run(warm());
    let python = machine.python().map(|command| machine.run(command).1);
    let medians = interleaved(
        effort.pick(31, 1),
        &mut [
            contender("warm", || machine.run(warm()).0),
            contender("cold", || machine.run(machine.hello("hello-ours-init")).0),
        ],
    );
    let mut row = Row::new("warm_init", "requests", Better::Lower, requests)
        .more("ms", medians[0])
        .more("cold_ms", medians[1]);
    if let Some(python) = python {
        row = row.peer("earthengine-api", python);
    }
    vec![row.goal("1", |row| row.ours == 1.0)]
}
