//! `eectl auth login`: logs a user in and saves the login where the Python client finds it.

pub(crate) mod console;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use earthengine::credentials::login::{
    LoginFlow, LoginMode, LoginOutcome, SavedLogin, SystemBrowser,
};
use earthengine::credentials::{AccountName, Accounts, LoginFile};
use earthengine::token::HttpClient;
use earthengine::token::internal::display_path;
use earthengine::{Credentials, Environment, Remedy, Scopes, SecretString};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::command::account::selected_account;
use crate::command::project::after_login;
use crate::error::CliError;
use crate::output::{
    path_json, print, print_json_with_secrets, print_status, strip_unsafe_chars, warn,
    warnings_as_json,
};
use console::{Console, read_line};

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Log in this way: localhost, localhost:PORT, notebook, gcloud, gcloud-legacy, colab or
    /// appdefault; defaults to the one that fits this machine
    #[arg(long, alias = "auth_mode", alias = "auth-mode", value_name = "MODE")]
    mode: Option<LoginMode>,

    /// Listen for the browser's callback on this port; 0 selects a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Log in even if working credentials exist
    #[arg(long)]
    force: bool,

    /// Wait this long for the user to finish in the browser
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// Finish a login started with `--mode=notebook --quiet`: the code shown by the page, or `-`
    /// to read it from standard input
    #[arg(long, value_name = "CODE")]
    authorization_code: Option<String>,

    /// Set the code verifier of a login started elsewhere; `-` reads a line of standard input,
    /// before the code
    #[arg(long, value_name = "V", requires = "authorization_code")]
    code_verifier: Option<String>,

    /// Request the scopes openid and email, too, so that `eectl auth status` shows the address
    #[arg(long)]
    with_email: bool,

    /// Do not go on to the project; without a terminal, login never does
    #[arg(long)]
    no_project: bool,
}

/// The scopes that reveal the user's email address.
const EMAIL_SCOPES: [&str; 2] = ["openid", "email"];

pub(crate) async fn run(global: &Global, login: &Login) -> Result<(), CliError> {
    if global.credentials.is_some() {
        return Err(CliError::usage(
            &"--credentials cannot be used with login, which writes Earth Engine's own file",
        ));
    }
    log_in(global, login, mode(login)?).await
}

/// Returns the login mode. `--port=N` means `--mode=localhost:N`.
fn mode(login: &Login) -> Result<Option<LoginMode>, CliError> {
    match (login.mode, login.port) {
        (mode, None) => Ok(mode),
        (None | Some(LoginMode::Localhost { port: None }), port) => {
            Ok(Some(LoginMode::Localhost { port }))
        }
        (Some(mode), Some(_)) => Err(CliError::usage(&format!(
            "--port can be used only with --mode=localhost, not with {mode}"
        ))),
    }
}

async fn log_in(global: &Global, login: &Login, mode: Option<LoginMode>) -> Result<(), CliError> {
    let environment = Environment::current();
    environment.check_certificate_paths()?;
    let endpoints = environment.endpoints()?;
    let http = HttpClient::new(endpoints);
    let browser = SystemBrowser::new(&environment);
    let account = selected_account(global, &environment)?;
    let accounts = Accounts::open(&environment)?;
    let store = accounts.file(account.as_ref());
    let active = accounts.active().ok().flatten();
    let mut flow = LoginFlow::new(environment, http)
        .scopes(requested_scopes(global, login))
        .force(login.force)
        .quiet(global.quiet)
        .timeout(Duration::from_secs(login.timeout));
    if let Some(mode) = mode {
        flow = flow.mode(mode);
    }
    if let Some(name) = &account {
        flow = flow.account(name.as_str());
    }
    let outcome = match &login.authorization_code {
        Some(code) => second_step(&flow, &store, login.code_verifier.as_deref(), code).await?,
        None => first_step(&flow, &store, &Console::new(global), &browser).await?,
    };
    if global.json {
        // The code verifier of a pending login must not be redacted.
        return print_json_with_secrets(&as_json(&outcome, global, login));
    }
    if let (LoginOutcome::LoggedIn(saved), false) = (&outcome, global.quiet) {
        warn(&saved.warnings);
    }
    print(render_text(&outcome, global, login))?;
    if !global.quiet
        && let Some(note) = account_note(&outcome, account.as_ref(), active.as_ref())
    {
        print_status(&note);
    }
    let is_logged_in = matches!(
        outcome,
        LoginOutcome::LoggedIn(_) | LoginOutcome::AlreadyLoggedIn(_)
    );
    match is_logged_in && !global.quiet {
        true if goes_on(login) => after_login::run(global, &outcome).await,
        true => after_login::print_next(&store),
        false => Ok(()),
    }
}

/// Describes what the outcome means for the accounts, if it may not be what the user expects.
fn account_note(
    outcome: &LoginOutcome,
    account: Option<&AccountName>,
    active: Option<&AccountName>,
) -> Option<String> {
    match (outcome, account, active) {
        (LoginOutcome::LoggedIn(_), None, Some(active)) => Some(format!(
            "note: this login has no name; the account {active} is kept and no longer active\n    eectl auth switch {active}"
        )),
        (LoginOutcome::AlreadyLoggedIn(_), Some(name), active) if active != Some(name) => Some(
            format!("note: {name} is not the active account\n    eectl auth switch {name}"),
        ),
        _ => None,
    }
}

/// Returns whether the login goes on to the project: on a terminal, unless the user declines.
fn goes_on(login: &Login) -> bool {
    !login.no_project && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Returns the scopes of the command line; empty for the default ones.
fn requested_scopes(global: &Global, login: &Login) -> Scopes {
    let given = Scopes::new(&global.scopes);
    if !login.with_email {
        return given;
    }
    let own = match given.is_empty() {
        true => Scopes::earth_engine(),
        false => given,
    };
    Scopes::new(own.iter().chain(EMAIL_SCOPES))
}

/// Runs the first step of a login, which in most modes is the only one.
async fn first_step(
    flow: &LoginFlow,
    store: &LoginFile,
    console: &Console,
    browser: &SystemBrowser,
) -> Result<LoginOutcome, CliError> {
    let outcome = flow.run(console, browser).await?;
    if let LoginOutcome::AwaitingCode(pending) = &outcome {
        // Other users can read the arguments of the second step's command, so the verifier is
        // passed on in a file.
        store.save_code_verifier(&pending.code_verifier)?;
    }
    Ok(outcome)
}

async fn second_step(
    flow: &LoginFlow,
    store: &LoginFile,
    verifier: Option<&str>,
    code: &str,
) -> Result<LoginOutcome, CliError> {
    let verifier = match verifier {
        Some(argument) => secret_argument(argument).await,
        None => store.load_code_verifier()?.ok_or_else(no_pending_login)?,
    };
    let code = secret_argument(code).await;
    let saved = flow.finish_notebook(&verifier, &code).await?;
    Ok(LoginOutcome::LoggedIn(saved))
}

fn no_pending_login() -> CliError {
    CliError::usage_with_remedy(
        "no login is waiting for a code on this machine",
        Remedy::new("Start one, or pass --code-verifier if it was started elsewhere.")
            .command("eectl auth login --mode=notebook --quiet"),
    )
}

/// Returns the value of an option, read from standard input if it is `-`.
async fn secret_argument(argument: &str) -> SecretString {
    if argument != "-" {
        return argument.into();
    }
    let line = read_line().await.ok().flatten();
    line.unwrap_or_else(|| String::new().into())
}

fn as_json(outcome: &LoginOutcome, global: &Global, login: &Login) -> Value {
    match outcome {
        LoginOutcome::LoggedIn(saved) => {
            let mut json = json!({
                "outcome": "saved",
                "mode": saved.mode.name(),
                "path": path_json(&saved.path),
                "scopes": saved.granted.iter().collect::<Vec<_>>(),
                "missing_scopes": saved.missing.iter().collect::<Vec<_>>(),
                "warnings": warnings_as_json(&saved.warnings),
            });
            if let Some(expiry) = saved.expires_at {
                json["expires_at"] = json!(expiry.to_rfc3339());
            }
            if let Some(name) = &saved.account {
                json["account"] = json!(name.as_str());
            }
            if let Some(name) = &saved.previous_account {
                json["previous_account"] = json!(name.as_str());
            }
            if let Some(email) = &saved.email {
                json["email"] = json!(email);
            }
            json
        }
        LoginOutcome::AlreadyLoggedIn(credentials) => {
            let mut credential = json!({
                "kind": credentials.kind().as_str(),
                "source": credentials.source().as_str(),
            });
            if let Some(path) = credentials.path() {
                credential["path"] = path_json(path);
            }
            if let Some(principal) = credentials.principal() {
                credential["principal"] = json!(principal);
            }
            json!({"outcome": "reused", "credential": credential})
        }
        LoginOutcome::AwaitingCode(pending) => json!({
            "outcome": "begun",
            "url": pending.url.as_str(),
            "code_verifier": pending.code_verifier.expose_secret(),
            "command": second_command(global, login),
        }),
        _ => json!({"outcome": "not_needed"}),
    }
}

fn render_text(outcome: &LoginOutcome, global: &Global, login: &Login) -> String {
    match outcome {
        LoginOutcome::LoggedIn(saved) => render_saved(saved),
        LoginOutcome::AlreadyLoggedIn(credentials) => render_existing(credentials),
        LoginOutcome::AwaitingCode(pending) => format!(
            "Open this page in a browser, log in, and copy the code that it shows:\n\n    {}\n\n\
             Then run this command with the code. The login expires after 7 days.\n\n    {}\n",
            pending.url,
            second_command(global, login)
        ),
        _ => "no login needed: Application Default Credentials are always searched\n".into(),
    }
}

fn render_saved(saved: &SavedLogin) -> String {
    let email = saved
        .email
        .as_ref()
        .map(|email| format!(", {}", strip_unsafe_chars(email)));
    let account = saved
        .account
        .as_ref()
        .map(|name| match &saved.previous_account {
            Some(previous) => {
                format!("account       {name} (active; the previous login is kept as {previous})\n")
            }
            None => format!("account       {name} (active)\n"),
        });
    let mut text = format!(
        "logged in     {}{}\n{}saved to      {}\nscopes        {}\n",
        saved.mode.name(),
        email.unwrap_or_default(),
        account.unwrap_or_default(),
        display_path(&saved.path),
        short_names(&saved.granted)
    );
    if !saved.missing.is_empty() {
        text += &format!("not granted   {}\n", short_names(&saved.missing));
    }
    if let Some(expiry) = saved.expires_at {
        text += &format!("expires       {}\n", expiry.format("%Y-%m-%d %H:%M UTC"));
    }
    text
}

fn render_existing(credentials: &Credentials) -> String {
    format!(
        "already logged in: {} ({}); use --force to log in again\n",
        credentials.kind().description(),
        crate::words::credential_source(credentials)
    )
}

fn short_names(scopes: &Scopes) -> String {
    let names = scopes.iter().map(crate::words::short_scope);
    names.collect::<Vec<_>>().join(" ")
}

fn second_command(global: &Global, login: &Login) -> String {
    let account = match &global.account {
        Some(name) => format!(" --account={name}"),
        None => String::new(),
    };
    let email = if login.with_email {
        " --with-email"
    } else {
        ""
    };
    let scopes = match global.scopes.as_slice() {
        [] => String::new(),
        scopes => format!(" --scopes={}", scopes.join(",")),
    };
    format!("eectl auth login{account}{scopes}{email} --authorization-code=PASTE_THE_CODE_HERE")
}
