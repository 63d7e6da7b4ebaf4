//! `cargo xtask demo`: connects and computes, and prints each step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use earthengine::{EarthEngine, EarthEngineBuilder, Endpoints, Environment, Error};
use ee_emulator::{Emulator, Project};
use serde_json::json;

use crate::process::{Outcome, at, build_eectl, output, remove_dir, root, target_dir};
use crate::test::installed_python;

const PROJECT: &str = "ee-demo-project";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run against Google with the credentials of this machine
    #[arg(long)]
    live: bool,
    /// Use this Cloud project with --live
    #[arg(long, value_name = "P", requires = "live")]
    project: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        if arguments.live {
            live(arguments.project.as_deref()).await
        } else {
            emulated().await
        }
    })
}

async fn live(project: Option<&str>) -> Outcome {
    print("Using Google with the credentials of this machine\n");
    let mut builder = EarthEngine::builder();
    if let Some(project) = project {
        builder = builder.project(project);
    }
    connect_and_compute(builder).await.map(drop)
}

async fn emulated() -> Outcome {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start()
        .await
        .map_err(|e| format!("the emulator could not be started: {e}"))?;
    print(&format!(
        "Emulating Google's hosts on {}\n",
        emulator.address()
    ));

    let account = emulator
        .create_service_account(&format!("demo@{PROJECT}.iam.gserviceaccount.com"), PROJECT);
    let user = emulator.create_user("jane@example.com");
    let home = fresh_home()?;
    let key = home.join("key.json");
    write(&key, &account.json_key())?;
    let file = home.join(".config/earthengine/credentials");
    let environment = || Environment::empty().with_home(&home);

    print("1. A service account key in GOOGLE_APPLICATION_CREDENTIALS\n");
    let with_key = environment().with_var("GOOGLE_APPLICATION_CREDENTIALS", key.to_string_lossy());
    connect_to_emulator(&emulator, with_key).await?;

    print("2. A user login in Earth Engine's login file\n");
    write(&file, &user.earthengine_file_json(Some(PROJECT)))?;
    connect_to_emulator(&emulator, environment()).await?;

    print("3. Google's client for Python, with the same login through `eectl exec`\n");
    match installed_python() {
        Some(python) => compute_in_python(&emulator, &home, python).await,
        None => {
            row("skipped", "`cargo xtask test` installs the client");
            Ok(())
        }
    }
}

/// Computes in Python, in an empty home directory, with the tokens of `eectl exec`.
async fn compute_in_python(emulator: &Emulator, home: &Path, python: PathBuf) -> Outcome {
    const PROGRAM: &str = "import ee; ee.Initialize(); print(ee.Number(1).add(2).getInfo())";
    emulator.clear_requests();
    let mut command = Command::new(build_eectl(true)?);
    command
        .args([
            "exec",
            "--quiet",
            "--clean-home",
            "--project",
            PROJECT,
            "--",
        ])
        .arg(python)
        .args(["-c", PROGRAM])
        .env_clear()
        .env("HOME", home)
        .env("USERPROFILE", home)
        .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
        // Redirects the requests to Google's hosts.
        .env(
            "PYTHONPATH",
            root().join("tests/interop/reference_clients/python_preload"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["PATH", "SystemRoot"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let run = move || output(&mut command);
    let printed = tokio::task::spawn_blocking(run)
        .await
        .map_err(|e| e.to_string())??;
    let printed = String::from_utf8_lossy(&printed);
    row(
        "command",
        &format!("eectl exec --clean-home -- python -c '{PROGRAM}'"),
    );
    row("1 + 2", printed.trim());
    if printed.trim() != "3" {
        return Err(format!("expected 1 + 2 = 3, Python printed {printed}"));
    }
    print_requests(emulator);
    Ok(())
}

/// Connects to the emulator, and prints the requests that it received.
async fn connect_to_emulator(emulator: &Emulator, environment: Environment) -> Outcome {
    emulator.clear_requests();
    let endpoints = Endpoints::emulator(emulator.address()).map_err(|e| e.to_string())?;
    let builder = EarthEngine::builder()
        .environment(environment)
        .endpoints(endpoints);
    connect_and_compute(builder).await?;
    print_requests(emulator);
    Ok(())
}

fn print_requests(emulator: &Emulator) {
    for request in emulator.requests() {
        let line = format!(
            "{} https://{}{}",
            request.method, request.host, request.path
        );
        let status = request
            .status
            .map_or("no response".into(), |status| status.to_string());
        row("request", &format!("{line}  {status}"));
    }
    print("");
}

async fn connect_and_compute(builder: EarthEngineBuilder) -> Outcome {
    let started = Instant::now();
    let ee = builder.connect().await.map_err(render_error)?;
    for (i, step) in ee.search_steps().iter().enumerate() {
        row(if i == 0 { "searched" } else { "" }, &step.to_string());
    }
    let credentials = ee.credentials();
    let principal = credentials.principal().unwrap_or("an unknown principal");
    row(
        "credential",
        &format!("{} of {principal}", credentials.kind()),
    );
    let path = credentials
        .path()
        .map(|path| format!(", {}", path.display()));
    row(
        "source",
        &format!("{}{}", credentials.source(), path.unwrap_or_default()),
    );
    for warning in credentials.warnings() {
        row("warning", &warning.message);
    }
    let token = credentials
        .token()
        .await
        .map_err(|e| render_error(e.into()))?;
    let expiry = token
        .expires_at()
        .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    row(
        "token",
        &format!(
            "expires {}",
            expiry.as_deref().unwrap_or("at an unknown time")
        ),
    );
    row(
        "project",
        &format!("{} ({})", ee.project().id, ee.project().source),
    );
    row("registration", &ee.registration().to_string());

    let expression = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
        "functionName": "Number.add",
        "arguments": {"left": {"constantValue": 1}, "right": {"constantValue": 2}},
    }}}});
    let sum: serde_json::Value = ee.compute(&expression).await.map_err(render_error)?;
    row("1 + 2", &sum.to_string());
    if sum.as_f64() != Some(3.0) {
        return Err(format!("expected 1 + 2 = 3, the server returned {sum}"));
    }
    let stats = ee.connect_stats();
    row(
        "connect",
        &format!(
            "{} requests in {:.1} ms; {:.1} ms including the computation",
            stats.requests,
            stats.elapsed.as_secs_f64() * 1000.0,
            started.elapsed().as_secs_f64() * 1000.0,
        ),
    );
    Ok(())
}

fn render_error(error: Error) -> String {
    let server_message = error
        .server_message()
        .map(|message| format!("\n  server message: {message}"));
    format!(
        "{error}{}\n  hint: {}",
        server_message.unwrap_or_default(),
        error.remedy()
    )
}

/// Creates an empty home directory in the target directory.
fn fresh_home() -> Outcome<PathBuf> {
    let home = target_dir("demo")?;
    remove_dir(&home)?;
    fs::create_dir_all(home.join(".config/earthengine")).map_err(at(&home))?;
    Ok(home)
}

/// Writes a file that only its owner can read.
pub(crate) fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(at(path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(at(path))?;
    }
    Ok(())
}

fn row(name: &str, value: &str) {
    print(&format!("   {name:<13} {value}"));
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
