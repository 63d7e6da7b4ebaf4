//! `eectl emulator`: runs the emulator of Google's hosts.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use earthengine::token::internal::display_path;
use ee_emulator::{Emulator, Project};

use crate::cli::{Emulator as Arguments, Global};
use crate::error::CliError;
use crate::output::{print, print_status};

const PROJECT: &str = "ee-demo-project";
const SERVICE_ACCOUNT: &str = "demo@ee-demo-project.iam.gserviceaccount.com";
const USER: &str = "jane@example.com";

pub(crate) async fn run(global: &Global, arguments: &Arguments) -> Result<(), CliError> {
    let emulator = Emulator::builder()
        .port(arguments.port)
        .project(Project::new(PROJECT))
        .start()
        .await
        .map_err(|e| CliError::io(&format!("cannot listen on port {}", arguments.port), &e))?;
    // The consent page offers this user.
    emulator.create_user(USER);
    if let Some(dir) = &arguments.write_credentials {
        write_credentials(&emulator, dir)?;
    }
    print(format!("{}\n", emulator.address()))?;
    if !global.quiet {
        print_status(&format!(
            "To use the emulator, run:\n\n    export EARTHENGINE_EMULATOR_HOST={}\n\nproject       {PROJECT}\ncredentials   --write-credentials DIR, or `eectl auth login` as {USER}\nPress Ctrl-C to stop.",
            emulator.address()
        ));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|e| CliError::io("cannot wait for Ctrl-C", &e))
}

/// Writes one credential file of each kind.
fn write_credentials(emulator: &Emulator, dir: &Path) -> Result<(), CliError> {
    let account = emulator.create_service_account(SERVICE_ACCOUNT, PROJECT);
    let user = emulator.create_user(USER);
    fs::create_dir_all(dir)
        .map_err(|e| CliError::io(&format!("cannot create {}", display_path(dir)), &e))?;
    for (name, text) in [
        ("service_account.json", account.json_key()),
        ("authorized_user.json", user.authorized_user_json()),
        (
            "earthengine_credentials.json",
            user.earthengine_file_json(Some(PROJECT)),
        ),
    ] {
        let path = dir.join(name);
        private_file(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| CliError::io(&format!("cannot write {}", display_path(&path)), &e))?;
    }
    Ok(())
}

/// Creates a file that only its owner can read, replacing an existing one and following no link.
fn private_file(path: &Path) -> std::io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
