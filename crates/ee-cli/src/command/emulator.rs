//! `eectl emulator`: Google's hosts on loopback, for trying things out.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use earthengine::token::display_path;
use ee_emulator::{Emulator, Project};

use crate::cli::{Emulator as Arguments, Global};
use crate::error::CliError;
use crate::output::{note, print};

const PROJECT: &str = "ee-demo-project";
const SERVICE_ACCOUNT: &str = "demo@ee-demo-project.iam.gserviceaccount.com";
const PERSON: &str = "jane@example.com";

pub(crate) async fn run(global: &Global, arguments: &Arguments) -> Result<(), CliError> {
    let emulator = Emulator::builder()
        .port(arguments.port)
        .project(Project::new(PROJECT))
        .start()
        .await
        .map_err(|e| {
            CliError::io(
                &format!("port {} cannot be listened on", arguments.port),
                &e,
            )
        })?;
    // Somebody whom the consent page can offer.
    emulator.create_user(PERSON);
    if let Some(folder) = &arguments.write_credentials {
        write_credentials(&emulator, folder)?;
    }
    print(format!("{}\n", emulator.address()))?;
    if !global.quiet {
        note(&format!(
            "export EARTHENGINE_EMULATOR_HOST={}   # sends eectl and every program of this library here\nproject {PROJECT} is registered; credentials: --write-credentials DIR, or eectl auth login as {PERSON}; stop with Ctrl-C",
            emulator.address()
        ));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|e| CliError::io("Ctrl-C cannot be waited for", &e))
}

/// Writes one file of each kind that the emulator accepts.
fn write_credentials(emulator: &Emulator, folder: &Path) -> Result<(), CliError> {
    let account = emulator.create_service_account(SERVICE_ACCOUNT, PROJECT);
    let person = emulator.create_user(PERSON);
    fs::create_dir_all(folder)
        .map_err(|e| CliError::io(&format!("{} cannot be made", display_path(folder)), &e))?;
    for (name, text) in [
        ("service_account.json", account.json_key()),
        ("authorized_user.json", person.authorized_user_json()),
        (
            "earthengine_credentials.json",
            person.earthengine_file_json(Some(PROJECT)),
        ),
    ] {
        let path = folder.join(name);
        private_file(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| CliError::io(&format!("{} cannot be written", display_path(&path)), &e))?;
    }
    Ok(())
}

/// Creates a file that only its owner may read, in place of the one before. Never through a link.
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
