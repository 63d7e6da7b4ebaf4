//! `cargo xtask demo`: the main job, step by step, as a transcript.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use earthengine::{EarthEngine, EarthEngineBuilder, Endpoints, Environment, Error};
use ee_emulator::{Emulator, Project};
use serde_json::json;

use crate::process::{Outcome, target};

const PROJECT: &str = "ee-demo-project";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs against Google, with whatever credentials this machine has
    #[arg(long)]
    live: bool,
    /// The Cloud project, with --live
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
    print("Against Google, with the credentials of this machine\n");
    let mut builder = EarthEngine::builder();
    if let Some(project) = project {
        builder = builder.project(project);
    }
    main_job(builder).await.map(drop)
}

async fn emulated() -> Outcome {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start()
        .await
        .map_err(|e| format!("the emulator cannot be started: {e}"))?;
    print(&format!(
        "Google's hosts are emulated on {}\n",
        emulator.address()
    ));

    let account = emulator
        .create_service_account(&format!("demo@{PROJECT}.iam.gserviceaccount.com"), PROJECT);
    let person = emulator.create_user("jane@example.com");
    let home = fresh_home()?;
    let key = home.join("key.json");
    write(&key, &account.json_key())?;
    let file = home.join(".config/earthengine/credentials");
    let environment = || Environment::empty().with_home(&home);

    print("1. A service account's key, named by GOOGLE_APPLICATION_CREDENTIALS\n");
    let with_key = environment().with_var("GOOGLE_APPLICATION_CREDENTIALS", key.to_string_lossy());
    emulated_job(&emulator, with_key).await?;

    print("2. A person's login, in Earth Engine's own credentials file\n");
    write(&file, &person.earthengine_file_json(Some(PROJECT)))?;
    emulated_job(&emulator, environment()).await
}

/// The main job against the emulator, and the requests that it took there.
async fn emulated_job(emulator: &Emulator, environment: Environment) -> Outcome {
    emulator.clear_requests();
    let endpoints = Endpoints::emulator(emulator.address()).map_err(|e| e.to_string())?;
    let builder = EarthEngine::builder()
        .environment(environment)
        .endpoints(endpoints);
    main_job(builder).await?;
    for request in emulator.requests() {
        let line = format!(
            "{} https://{}{}",
            request.method, request.host, request.path
        );
        let status = request
            .status
            .map_or("unanswered".into(), |status| status.to_string());
        row("request", &format!("{line}  {status}"));
    }
    print("");
    Ok(())
}

async fn main_job(builder: EarthEngineBuilder) -> Outcome {
    let started = Instant::now();
    let ee = builder.connect().await.map_err(explained)?;
    for (i, step) in ee.search_steps().iter().enumerate() {
        row(if i == 0 { "searched" } else { "" }, &step.to_string());
    }
    let credentials = ee.credentials();
    let who = credentials
        .principal()
        .unwrap_or("a person whose name the credential does not hold");
    row("credential", &format!("{} of {who}", credentials.kind()));
    let place = credentials
        .path()
        .map(|path| format!(", {}", path.display()));
    row(
        "found",
        &format!("{}{}", credentials.origin(), place.unwrap_or_default()),
    );
    for warning in credentials.warnings() {
        row("warning", &warning.message);
    }
    let token = credentials.token().await.map_err(|e| explained(e.into()))?;
    let expiry = token
        .expires_at()
        .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    row(
        "token",
        &format!(
            "expires {}",
            expiry
                .as_deref()
                .unwrap_or("at a time that it does not tell")
        ),
    );
    row(
        "project",
        &format!("{} ({})", ee.project().id, ee.project().source),
    );
    row("registration", ee.registration().as_str());

    let expression = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
        "functionName": "Number.add",
        "arguments": {"left": {"constantValue": 1}, "right": {"constantValue": 2}},
    }}}});
    let sum: serde_json::Value = ee.compute(&expression).await.map_err(explained)?;
    row("1 + 2", &sum.to_string());
    if sum.as_f64() != Some(3.0) {
        return Err(format!("1 + 2 is 3, and the answer was {sum}"));
    }
    let effort = ee.connect_stats();
    row(
        "effort",
        &format!(
            "{} requests and {:.1} ms to the verified client; {:.1} ms with the value",
            effort.requests,
            effort.elapsed.as_secs_f64() * 1000.0,
            started.elapsed().as_secs_f64() * 1000.0,
        ),
    );
    Ok(())
}

fn explained(error: Error) -> String {
    let said = error
        .server_message()
        .map(|said| format!("\n  the server said: {said}"));
    let remedy = error.remedy().map(|remedy| format!("\n  hint: {remedy}"));
    format!(
        "{error}{}{}",
        said.unwrap_or_default(),
        remedy.unwrap_or_default()
    )
}

/// An empty home folder under the target folder.
fn fresh_home() -> Outcome<PathBuf> {
    let home = std::path::absolute(target().join("demo")).map_err(|e| e.to_string())?;
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
    }
    fs::create_dir_all(home.join(".config/earthengine"))
        .map_err(|e| format!("{}: {e}", home.display()))?;
    Ok(home)
}

fn write(path: &PathBuf, text: &str) -> Outcome {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|e| format!("{}: {e}", path.display()))?;
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
