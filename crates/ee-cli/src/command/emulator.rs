//! `eectl emulator`: runs the emulator of Google's hosts.

mod config;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use earthengine::Remedy;
use earthengine::token::internal::display_path;

use crate::cli::{Emulator as Arguments, Global};
use crate::error::CliError;
use crate::output::{print, print_status};
use config::{Accounts, Config};

pub(crate) async fn run(global: &Global, arguments: &Arguments) -> Result<(), CliError> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config::demo(),
    };
    if arguments.config.is_none() && arguments.write_credentials.is_none() {
        // Its key would be unused, and takes time to generate.
        config.service_account.clear();
    }
    let emulator = config
        .builder()
        .port(arguments.port)
        .start()
        .await
        .map_err(|e| CliError::io(&format!("cannot listen on port {}", arguments.port), &e))?;
    let accounts = config.create(&emulator);
    if let Some(dir) = &arguments.write_credentials {
        let project = config.project.first().map(|project| project.id.as_str());
        write_credentials(&accounts, project, dir)?;
    }
    print(format!("{}\n", emulator.address()))?;
    if !global.quiet {
        print_status(&format!(
            "To use the emulator, run:\n\n    export EARTHENGINE_EMULATOR_HOST={}\n\n{}Press Ctrl-C to stop.",
            emulator.address(),
            describe(&config, arguments.write_credentials.as_deref())
        ));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|e| CliError::io("cannot wait for Ctrl-C", &e))
}

/// Returns a line for each project, account and client, and for the credentials, which may be in a
/// directory.
fn describe(config: &Config, dir: Option<&Path>) -> String {
    let mut rows = Vec::new();
    let projects = config.project.iter();
    rows.extend(projects.map(|project| ("project", project.describe())));
    let users = config.user.iter();
    rows.extend(users.map(|user| ("user", user.email.clone())));
    let clients = config.oauth_client.iter();
    rows.extend(clients.map(|client| ("OAuth client", client.id.clone())));
    if let Some(machine) = &config.machine {
        rows.push(("machine", format!("runs as {}", machine.service_account)));
    }
    let how = match (dir, config.user.first()) {
        (Some(dir), _) => format!("in {}", display_path(dir)),
        (None, Some(user)) => format!(
            "--write-credentials DIR, or `eectl auth login` as {}",
            user.email
        ),
        (None, None) => "--write-credentials DIR".to_owned(),
    };
    rows.push(("credentials", how));
    rows.into_iter()
        .map(|(name, value)| format!("{name:<13} {value}\n"))
        .collect()
}

/// Writes one credential file of each kind, and one for each further account.
fn write_credentials(
    accounts: &Accounts,
    project: Option<&str>,
    dir: &Path,
) -> Result<(), CliError> {
    let mut files = Vec::new();
    for (number, account) in accounts.service_accounts.iter().enumerate() {
        let name = match number {
            0 => "service_account.json".to_owned(),
            _ => format!("{}.json", account.email()),
        };
        files.push((name, account.json_key()));
    }
    for (number, user) in accounts.users.iter().enumerate() {
        let file = user.earthengine_file_json(project);
        if number == 0 {
            let adc = user.authorized_user_json();
            files.push(("authorized_user.json".to_owned(), adc));
            files.push(("earthengine_credentials.json".to_owned(), file));
        } else {
            files.push((format!("{}.json", user.email()), file));
        }
    }
    if files.is_empty() {
        return Err(CliError::usage_with_remedy(
            "there is no account whose credentials could be written",
            Remedy::new("Add a [[user]] or a [[service_account]] to the file of --config."),
        ));
    }
    fs::create_dir_all(dir)
        .map_err(|e| CliError::io(&format!("cannot create {}", display_path(dir)), &e))?;
    for (name, text) in files {
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
