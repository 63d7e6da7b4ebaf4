//! Subject tokens from an executable that the file names. It runs only if the environment allows it.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chrono::Utc;
use ee_token::internal::{quotable, sanitize, stated_reason};
use ee_token::{ErrorKind as Token, Remedy, SecretString};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::Error;
use crate::discovery::program;
use crate::input::blocking::{self, READ_TIMEOUT};
use crate::input::file::{is_transient, read_async, read_if_there, retry};
use crate::input::json::{CommandLine, FilePath, JsonObject};
use crate::input::location::Location;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::command_line;

const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
/// In milliseconds.
const TIMEOUTS: std::ops::RangeInclusive<u64> = 5_000..=120_000;
const DEFAULT_TIMEOUT: u64 = 30_000;
const MAX_OUTPUT: u64 = 1 << 20;
/// How much of the end of standard error is kept, and quoted, in bytes.
const MAX_MESSAGES: usize = 4096;
const MAX_QUOTED: usize = 900;
/// The time for messages that are still in the pipe when the executable has finished.
const LAST_MESSAGES: Duration = Duration::from_millis(100);
/// The newest supported version of the response.
const VERSION: f64 = 1.0;
/// The remedy for an executable that explains its failure.
const FOLLOW: &str =
    "Do what the command's message says. To try it, run the command in a shell as the same user.";
/// The beginning of the error for a response that reports a failure.
const REPORTED: &str = "it reports a failure";

#[derive(Deserialize)]
struct ExecutableFields {
    /// The first word is the path of a program.
    command: CommandLine,
    timeout_millis: Option<u64>,
    output_file: Option<FilePath>,
}

/// A command line and its timeout.
pub(crate) struct Executable {
    words: Vec<String>,
    timeout: Duration,
    output_file: Option<PathBuf>,
}

impl Executable {
    pub(crate) fn from_object(source: &JsonObject<'_>) -> Result<Self, Error> {
        let location = &source.location;
        let fields: ExecutableFields = source.read()?;
        let words = command_line::split(fields.command.as_str()).map_err(|why| {
            location.invalid_field("command", format_args!("is not a command line: {why}"))
        })?;
        if words.first().is_none_or(String::is_empty) {
            return Err(location.invalid_field("command", "names no program"));
        }
        let millis = fields.timeout_millis.unwrap_or(DEFAULT_TIMEOUT);
        if !TIMEOUTS.contains(&millis) {
            return Err(location.invalid_field(
                "timeout_millis",
                format_args!(
                    "is {millis}, and must be from {} to {}",
                    TIMEOUTS.start(),
                    TIMEOUTS.end()
                ),
            ));
        }
        Ok(Self {
            words,
            timeout: Duration::from_millis(millis),
            output_file: fields.output_file.map(PathBuf::from),
        })
    }

    pub(crate) async fn run(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let environment = context.environment();
        if environment.var(ALLOW) != Some("1") {
            return Err(context
                .error(
                    Token::InvalidCredential,
                    format_args!("it names an executable, which was not run because the variable {ALLOW} is not 1"),
                )
                .with_remedy(
                    Remedy::new("If you trust the file, allow its executable.")
                        .command(format!("export {ALLOW}=1")),
                ));
        }
        if let Some(token) = self.cached(context).await? {
            return Ok(token);
        }
        let Output {
            is_success,
            stdout,
            stderr,
        } = self.output(context).await?;
        let failed = |why: String| {
            let reason = reason(&stdout, &stderr);
            let reason = reason.filter(|reason| !why.contains(reason));
            match reason {
                Some(reason) => self
                    .error(context, &format!("{why}: {reason}"))
                    .with_remedy(Remedy::new(FOLLOW)),
                None if why.contains(REPORTED) => {
                    self.error(context, &why).with_remedy(Remedy::new(FOLLOW))
                }
                None => self.error(context, &why),
            }
        };
        let location = Location::Other("the executable's output".into());
        let token = Response::parse(&stdout, &location).and_then(|response| response.token());
        if let Err(status) = is_success {
            // A failed executable may explain itself in its output, or print a token nevertheless.
            let reported = token.err().map(|error| error.to_string());
            let reported = reported.filter(|error| error.contains(REPORTED));
            return Err(failed(reported.unwrap_or(format!("it failed ({status})"))));
        }
        if !stdout.trim_ascii().is_empty() {
            return token.map_err(|error| failed(error.to_string()));
        }
        // Some executables only write to the file.
        if let Some(location) = self.output_file.clone().map(Location::file)
            && let Some(text) = read_async(&location, read_if_there)
                .await
                .map_err(Error::into_token_error)?
        {
            return Response::parse(text.text.as_bytes(), &location)
                .and_then(|response| response.token())
                .map_err(|error| self.error(context, &error.to_string()));
        }
        Err(failed("it printed nothing".into()))
    }

    /// Returns the token of an earlier run from the output file, if it is still valid.
    async fn cached(&self, context: &Context) -> Result<Option<SecretString>, ee_token::Error> {
        let Some(path) = &self.output_file else {
            return Ok(None);
        };
        let location = Location::file(path);
        let Ok(Some(text)) = read_async(&location, read_if_there).await else {
            return Ok(None);
        };
        // The executable overwrites other text.
        let Ok(response) = Response::parse(text.text.as_bytes(), &location) else {
            return Ok(None);
        };
        response
            .unexpired_token()
            .map_err(|error| self.error(context, &error.to_string()))
    }

    /// Runs the executable and returns its output.
    async fn output(&self, context: &Context) -> Result<Output, ee_token::Error> {
        let mut running = self.start(context).await?;
        let (Some(out), Some(err)) = (running.0.stdout.take(), running.0.stderr.take()) else {
            return Err(self.error(context, "its output cannot be read"));
        };
        // Growing would leave copies behind.
        let mut stdout = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT as usize + 64));
        let mut stderr = Zeroizing::new(Vec::with_capacity(2 * MAX_MESSAGES));
        let finished = async {
            out.take(MAX_OUTPUT + 1).read_to_end(&mut stdout).await?;
            if stdout.len() as u64 > MAX_OUTPUT {
                return Ok(None);
            }
            running.0.wait().await.map(Some)
        };
        let finished = tokio::time::timeout(self.timeout, finished);
        let finished = with_messages(finished, read_end(err, &mut stderr)).await;
        match finished {
            Err(_) => {
                let reason = of_messages(&stderr);
                let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
                let millis = self.timeout.as_millis();
                let why = format!("it did not finish within {millis} ms and was stopped{reason}");
                Err(self.error(context, &why).with_remedy(Remedy::new(
                    "Find out why it hangs, or raise `timeout_millis` (up to 120000).",
                )))
            }
            Ok(Err(error)) => Err(self.system_error(context, "its output cannot be read", error)),
            Ok(Ok(None)) => Err(self.error(context, "it printed more than 1 MiB and was stopped")),
            Ok(Ok(Some(status))) => Ok(Output {
                is_success: status.success().then_some(()).ok_or(status),
                stdout,
                stderr,
            }),
        }
    }

    async fn start(&self, context: &Context) -> Result<Running, ee_token::Error> {
        let environment = context.environment();
        let [name, arguments @ ..] = self.words.as_slice() else {
            return Err(self.error(context, "it has no name"));
        };
        // A name is not searched for in the current directory.
        let program = if Path::new(name).components().count() > 1 {
            std::path::absolute(name).ok()
        } else {
            program::find(&environment, name)
        };
        let program = program.ok_or_else(|| {
            self.error(
                context,
                "it is not in an absolute directory of the search path (PATH)",
            )
            .with_remedy(Remedy::new(
                "Write the absolute path of the program in `command`.",
            ))
        })?;
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.variables())
            .env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", &context.audience)
            .env(
                "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE",
                &context.subject_token_type,
            )
            .env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
            .env("GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "0")
            .env(
                "GOOGLE_EXTERNAL_ACCOUNT_ID",
                context.email.as_deref().unwrap_or_default(),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(email) = &context.email {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email);
        }
        if let Some(path) = &self.output_file {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path);
        }
        // A process group, so that its child processes are stopped too.
        #[cfg(unix)]
        command.process_group(0);
        // The executable may be on a file system that does not respond.
        let runtime = Handle::try_current().ok();
        let spawned = blocking::run(&program, READ_TIMEOUT, move || {
            let _entered = runtime.as_ref().map(Handle::enter);
            command.spawn().map(Running)
        });
        spawned
            .await
            .and_then(|spawned| spawned)
            .map_err(|error| self.system_error(context, "it cannot be run", error))
    }

    /// Returns the error for an executable that the system cannot run.
    fn system_error(&self, context: &Context, what: &str, error: io::Error) -> ee_token::Error {
        let why = format!("{what}: {error}");
        let (kind, remedy) = if is_transient(&error) {
            (Token::Io, retry(&error))
        } else {
            let check = "Check `command`: its first word is the path of a program.";
            (Token::InvalidCredential, Remedy::new(check))
        };
        self.error_of_kind(kind, context, &why)
            .with_remedy(remedy)
            .with_source(error)
    }

    fn error(&self, context: &Context, why: &str) -> ee_token::Error {
        self.error_of_kind(Token::InvalidCredential, context, why)
    }

    fn error_of_kind(&self, kind: Token, context: &Context, why: &str) -> ee_token::Error {
        let name = self.words.first().map_or("", String::as_str);
        context
            .error(
                kind,
                format_args!("`credential_source.executable.command` ({name}): {why}"),
            )
            .with_remedy(Remedy::new("Run the command in a shell, and compare its output with the documentation of external accounts."))
    }
}

/// What a finished executable printed.
struct Output {
    is_success: Result<(), ExitStatus>,
    stdout: Zeroizing<Vec<u8>>,
    /// The end of standard error.
    stderr: Zeroizing<Vec<u8>>,
}

/// Returns the reason that an executable states on standard error or, as text, on standard output.
fn reason(stdout: &[u8], stderr: &[u8]) -> Option<String> {
    let stdout = stdout.trim_ascii();
    // A single word may be a token.
    let is_text = stdout.contains(&b' ') || stdout.starts_with(b"{");
    let of_stdout = || stated_reason(stdout, &[]).filter(|_| is_text);
    of_messages(stderr).or_else(of_stdout)
}

/// Returns the reason at the end of standard error, from a new line or word on.
fn of_messages(stderr: &[u8]) -> Option<String> {
    // Before it is cut: half a secret would not be recognized.
    let text = sanitize(&String::from_utf8_lossy(stderr), &[]);
    let start = text.len().saturating_sub(MAX_QUOTED);
    let start = (start..).find(|at| text.is_char_boundary(*at));
    let start = start.unwrap_or_default();
    let end = &text[start..];
    let lines = end.split_once(['\n', ' ']).map_or("", |(_, lines)| lines);
    let quoted = if start == 0 { end } else { lines };
    stated_reason(quoted.as_bytes(), &[])
}

/// Waits for `finished` and reads messages at the same time, so that a full pipe does not block the
/// executable. A process that keeps the pipe open does not delay the result.
async fn with_messages<T>(
    finished: impl Future<Output = T>,
    messages: impl Future<Output = ()>,
) -> T {
    let (mut finished, mut messages) = (pin!(finished), pin!(messages));
    let mut is_read = false;
    let result = poll_fn(|cx| {
        is_read = is_read || messages.as_mut().poll(cx).is_ready();
        finished.as_mut().poll(cx)
    });
    let result = result.await;
    if !is_read {
        let _ = tokio::time::timeout(LAST_MESSAGES, messages).await;
    }
    result
}

/// Reads to the end and keeps the last [`MAX_MESSAGES`] bytes.
async fn read_end(mut source: impl AsyncRead + Unpin, end: &mut Vec<u8>) {
    let mut piece = Zeroizing::new([0; MAX_MESSAGES]);
    while let Ok(length @ 1..) = source.read(&mut *piece).await {
        end.extend_from_slice(&piece[..length]);
        let excess = end.len().saturating_sub(MAX_MESSAGES);
        end.drain(..excess);
    }
}

/// A running process, which is stopped with its process group on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The ID belongs to the group until the process is reaped.
        #[cfg(unix)]
        if let Some(group) = self
            .0
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// The JSON response of an executable.
pub(crate) struct Response<'a>(JsonObject<'a>);

impl<'a> Response<'a> {
    pub(crate) fn parse(bytes: &'a [u8], location: &Location) -> Result<Self, Error> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| location.invalid("it is not UTF-8 text"))?;
        JsonObject::parse(text, location).map(Self)
    }

    /// Returns the token, unless it has expired or has no expiry.
    fn unexpired_token(&self) -> Result<Option<SecretString>, Error> {
        let expires_at = self.0.field::<Option<f64>>("expiration_time")?;
        match self.succeeded()? && expires_at.is_some_and(|at| at > now()) {
            true => self.token().map(Some),
            false => Ok(None),
        }
    }

    fn succeeded(&self) -> Result<bool, Error> {
        let version: f64 = self.0.field("version")?;
        if version > VERSION {
            return Err(self.0.location.invalid(format_args!(
                "the field `version` is {version}, and only {VERSION} is supported"
            )));
        }
        self.0.field("success")
    }

    pub(crate) fn token(&self) -> Result<SecretString, Error> {
        let location = &self.0.location;
        if !self.succeeded()? {
            let code = match self.0.field::<u64>("code") {
                Ok(number) => number.to_string(),
                Err(_) => self.message("code")?,
            };
            let message = self.message("message")?;
            return Err(location.invalid(format_args!("{REPORTED}: {code}: {message}")));
        }
        let expires_at = self.0.field::<Option<f64>>("expiration_time")?;
        if expires_at.is_some_and(|at| at < now()) {
            return Err(location.invalid("the token has expired (`expiration_time`)"));
        }
        match self.0.field::<String>("token_type")?.as_str() {
            "urn:ietf:params:oauth:token-type:jwt" | "urn:ietf:params:oauth:token-type:id_token" => {
                self.0.field("id_token")
            }
            "urn:ietf:params:oauth:token-type:saml2" => self.0.field("saml_response"),
            _ => Err(location.invalid(
                "the field `token_type` must be urn:ietf:params:oauth:token-type:jwt, …:id_token or …:saml2",
            )),
        }
    }

    /// Returns text that an error may quote.
    fn message(&self, field: &str) -> Result<String, Error> {
        let text: SecretString = self.0.field(field)?;
        Ok(quotable(text.expose_secret(), &[]))
    }
}

/// Returns the current time in seconds since 1970.
fn now() -> f64 {
    Utc::now().timestamp() as f64
}
