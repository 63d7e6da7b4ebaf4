//! `eectl auth login`: logs a person in, into the file that the Python client shares.

use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use clap::Args;
use earthengine::credentials::LoginFile;
use earthengine::credentials::login::{
    LoginFlow, LoginMode, LoginOutcome, PromptFuture, SavedLogin, SystemBrowser, Terminal, Url,
};
use earthengine::token::{HttpClient, display_path};
use earthengine::{Credentials, Environment, Remedy, Scopes, SecretString};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{json_line, note, note_json, path_json, print, print_raw, warnings_as_json};

const GOOGLE: &str = "https://www.googleapis.com/auth/";

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// localhost, localhost:PORT, notebook, gcloud, gcloud-legacy, colab or appdefault; without
    /// it, the one that fits this machine
    #[arg(long, alias = "auth_mode", alias = "auth-mode", value_name = "MODE")]
    mode: Option<LoginMode>,

    /// The port of this machine that the browser is sent back to; 0 for any that is free
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Logs in even if there are credentials that work
    #[arg(long)]
    force: bool,

    /// How long the person is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// The second of two steps, after `--mode=notebook --quiet`: the code that the page showed,
    /// or - for standard input
    #[arg(long, value_name = "CODE")]
    authorization_code: Option<String>,

    /// The verifier, if the first step was done elsewhere; - for a line of standard input,
    /// before the code
    #[arg(long, value_name = "V", requires = "authorization_code")]
    code_verifier: Option<String>,
}

pub(crate) async fn run(global: &Global, login: &Login) -> Result<(), CliError> {
    if global.credentials.is_some() {
        return Err(CliError::usage(
            &"a login goes into Earth Engine's own file: --credentials cannot be given with it",
        ));
    }
    log_in(global, login, mode(login)?).await
}

/// `--port` is another way to write `--mode=localhost:PORT`.
fn mode(login: &Login) -> Result<Option<LoginMode>, CliError> {
    match (login.mode, login.port) {
        (mode, None) => Ok(mode),
        (None | Some(LoginMode::Localhost { port: None }), port) => {
            Ok(Some(LoginMode::Localhost { port }))
        }
        (Some(mode), Some(_)) => Err(CliError::usage(&format!(
            "--port belongs to --mode=localhost, and not to {mode}"
        ))),
    }
}

async fn log_in(global: &Global, login: &Login, mode: Option<LoginMode>) -> Result<(), CliError> {
    let environment = Environment::current();
    environment
        .check_certificate_paths()
        .map_err(|e| CliError::login(&e))?;
    let endpoints = environment.endpoints().map_err(|e| CliError::login(&e))?;
    let http = HttpClient::new(endpoints);
    let browser = SystemBrowser::new(&environment);
    let store = LoginFile::open(&environment).map_err(|e| CliError::login(&e))?;
    let mut flow = LoginFlow::new(environment, http)
        .scopes(Scopes::new(&global.scopes))
        .force(login.force)
        .quiet(global.quiet)
        .timeout(Duration::from_secs(login.timeout));
    if let Some(mode) = mode {
        flow = flow.mode(mode);
    }
    let outcome = match &login.authorization_code {
        Some(code) => second_step(&flow, &store, login.code_verifier.as_deref(), code).await?,
        None => first_step(&flow, &store, &Console::new(global), &browser).await?,
    };
    if global.json {
        // It may contain the verifier of a login that has begun.
        return print_raw(json_line(as_json(&outcome, global)));
    }
    if let (LoginOutcome::LoggedIn(saved), false) = (&outcome, global.quiet) {
        for warning in &saved.warnings {
            note(&format!("warning: {warning}\n    {}", warning.remedy));
        }
    }
    print(render_text(&outcome, global))
}

/// The first of two steps, which for most ways of logging in is the only one.
async fn first_step(
    flow: &LoginFlow,
    store: &LoginFile,
    console: &Console,
    browser: &SystemBrowser,
) -> Result<LoginOutcome, CliError> {
    let outcome = flow.run(console, browser).await;
    let outcome = outcome.map_err(|error| CliError::login(&error))?;
    if let LoginOutcome::AwaitingCode(begun) = &outcome {
        // Other users may read the arguments of the second step's command.
        let kept = store.save_code_verifier(&begun.code_verifier);
        kept.map_err(|error| CliError::login(&error))?;
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
        Some(given) => given_or_read(given).await,
        None => store
            .load_code_verifier()
            .map_err(|error| CliError::login(&error))?
            .ok_or_else(not_begun)?,
    };
    let code = given_or_read(code).await;
    let saved = flow.finish_notebook(&verifier, &code).await;
    saved
        .map(LoginOutcome::LoggedIn)
        .map_err(|error| CliError::login(&error))
}

fn not_begun() -> CliError {
    CliError::of_usage(
        "no login has begun here that this code could belong to",
        Remedy::new("Begin one; or give the verifier, too, if it was begun elsewhere.")
            .command("eectl auth login --mode=notebook --quiet"),
    )
}

/// What an option says; a line of standard input for `-`.
async fn given_or_read(given: &str) -> SecretString {
    if given != "-" {
        return given.into();
    }
    let line = read_line().await.ok().flatten();
    line.unwrap_or_else(|| String::new().into())
}

/// The terminal: results on standard output, everything else on standard error, with --json
/// as one object a line.
struct Console {
    quiet: bool,
    json: bool,
}

impl Console {
    fn new(global: &Global) -> Self {
        Self {
            quiet: global.quiet,
            json: global.json,
        }
    }
}

impl Terminal for Console {
    fn print(&self, text: &str) {
        match (self.quiet, self.json) {
            (true, _) => {}
            (false, true) => note_json(json!({ "note": text })),
            (false, false) => note(text),
        }
    }

    fn show_url(&self, url: &Url, advice: &str) {
        match (self.quiet, self.json) {
            (_, true) => {
                let page = json!({"url": url.as_str(), "advice": advice});
                note_json(json!({ "page": page }));
            }
            (false, false) => note(&format!("\n    {url}\n\n{advice}")),
            // For the program that asked us to be quiet. If nobody reads it, nobody comes.
            (true, false) => drop(print_raw(format!("{url}\n"))),
        }
    }

    fn prompt<'a>(&'a self, prompt: &'a str) -> PromptFuture<'a> {
        let mut stderr = io::stderr().lock();
        // Without a terminal there is nobody to read it.
        let _ = write!(stderr, "\n{prompt}").and_then(|()| stderr.flush());
        Box::pin(read_line())
    }
}

/// Reads a line of standard input, on a thread that nobody needs to wait for.
async fn read_line() -> io::Result<Option<SecretString>> {
    let (line, read) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let result = io::stdin().lock().read_line(&mut text);
        let result = result.map(|bytes| (bytes > 0).then(|| SecretString::from(text)));
        // The login may be over.
        let _ = line.send(result);
    });
    read.await.unwrap_or(Ok(None))
}

fn as_json(outcome: &LoginOutcome, global: &Global) -> Value {
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
            if let Some(end) = saved.expires_at {
                json["expires_at"] = json!(end.to_rfc3339());
            }
            json
        }
        LoginOutcome::AlreadyLoggedIn(credentials) => {
            let mut credential = json!({
                "kind": credentials.kind().as_str(),
                "source": credentials.origin().as_str(),
            });
            if let Some(path) = credentials.path() {
                credential["path"] = path_json(path);
            }
            if let Some(principal) = credentials.principal() {
                credential["principal"] = json!(principal);
            }
            json!({"outcome": "reused", "credential": credential})
        }
        LoginOutcome::AwaitingCode(begun) => json!({
            "outcome": "begun",
            "url": begun.url.as_str(),
            "code_verifier": begun.code_verifier.expose_secret(),
            "command": next_command(global),
        }),
        _ => json!({"outcome": "not_needed"}),
    }
}

fn render_text(outcome: &LoginOutcome, global: &Global) -> String {
    match outcome {
        LoginOutcome::LoggedIn(saved) => saved_in_words(saved),
        LoginOutcome::AlreadyLoggedIn(credentials) => reused_in_words(credentials),
        LoginOutcome::AwaitingCode(begun) => format!(
            "Open this page in a browser, log in, and copy the code that it shows:\n\n    {}\n\n\
             Then run this, with the code in its place. The login lasts 7 days.\n\n    {}\n",
            begun.url,
            next_command(global)
        ),
        _ => "no login is needed: Application Default Credentials are always looked for\n".into(),
    }
}

fn saved_in_words(saved: &SavedLogin) -> String {
    let mut text = format!(
        "logged in     {}\nstored in     {}\nscopes        {}\n",
        saved.mode.name(),
        display_path(&saved.path),
        short(&saved.granted)
    );
    if !saved.missing.is_empty() {
        text += &format!("not granted   {}\n", short(&saved.missing));
    }
    if let Some(end) = saved.expires_at {
        text += &format!("lasts until   {}\n", end.format("%Y-%m-%d %H:%M UTC"));
    }
    text
}

fn reused_in_words(credentials: &Credentials) -> String {
    let path = credentials
        .path()
        .map(|path| format!(", {}", display_path(path)));
    format!(
        "logged in already: {} ({}{}); --force logs in again\n",
        credentials.kind(),
        credentials.origin(),
        path.unwrap_or_default()
    )
}

fn short(scopes: &Scopes) -> String {
    let short = scopes.iter().map(|s| s.strip_prefix(GOOGLE).unwrap_or(s));
    short.collect::<Vec<_>>().join(" ")
}

fn next_command(global: &Global) -> String {
    let scopes = match global.scopes.as_slice() {
        [] => String::new(),
        scopes => format!(" --scopes={}", scopes.join(",")),
    };
    format!("eectl auth login{scopes} --authorization-code=PASTE_THE_CODE_HERE")
}
