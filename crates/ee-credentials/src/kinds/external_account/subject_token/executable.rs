//! Subject tokens from a program that the file names. It runs only where the environment says
//! that it may.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::Utc;
use ee_token::{ErrorKind as Token, Remedy, SecretString};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::Error;
use crate::discovery::program;
use crate::input::blocking::{self, READ_TIMEOUT};
use crate::input::file::{is_transient, read_async, read_if_there, retry};
use crate::input::json::Document;
use crate::input::location::Location;
use crate::kinds::external_account::Context;
use crate::kinds::external_account::subject_token::command_line;

const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
/// In milliseconds.
const TIMEOUTS: std::ops::RangeInclusive<u64> = 5_000..=120_000;
const DEFAULT_TIMEOUT: u64 = 30_000;
/// No answer comes near this.
const MAX_OUTPUT: u64 = 1 << 20;
/// The newest form of the answer.
const VERSION: u64 = 1;

/// A program, and for how long it may run.
pub(crate) struct Executable {
    words: Vec<String>,
    timeout: Duration,
    output_file: Option<PathBuf>,
}

impl Executable {
    pub(crate) fn from_document(source: &Document) -> Result<Self, Error> {
        let location = &source.location;
        // Its first word is the path of a program.
        source.path("command")?;
        let words = command_line::split(source.required_text("command")?).map_err(|why| {
            location.invalid_field("command", format_args!("cannot be taken apart: {why}"))
        })?;
        if words.first().is_none_or(String::is_empty) {
            return Err(location.invalid_field("command", "names no program"));
        }
        let millis = source.number("timeout_millis")?.unwrap_or(DEFAULT_TIMEOUT);
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
            output_file: source.path("output_file")?,
        })
    }

    pub(crate) async fn run(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let environment = context.environment();
        if environment.var(ALLOW) != Some("1") {
            return Err(context
                .error(
                    Token::InvalidCredential,
                    format_args!("it names a program to run, and the variable {ALLOW} is not 1: nothing was run"),
                )
                .with_remedy(
                    Remedy::new("If you know the file and trust it, allow its program.")
                        .command(format!("export {ALLOW}=1")),
                ));
        }
        if let Some(token) = self.cached(context).await? {
            return Ok(token);
        }
        let output = self.output(context).await?;
        if !output.trim_ascii().is_empty() {
            return Answer::parse(&output, Location::Other("the executable's output".into()))
                .and_then(|answer| answer.token())
                .map_err(|why| self.error(context, &why));
        }
        // Some programs write to the file alone.
        if let Some(location) = self.output_file.clone().map(Location::file)
            && let Some(text) = read_async(&location, read_if_there)
                .await
                .map_err(Error::into_token_error)?
        {
            return Answer::parse(text.text.as_bytes(), location)
                .and_then(|answer| answer.token())
                .map_err(|why| self.error(context, &why));
        }
        Err(self.error(context, "it printed nothing"))
    }

    /// The token that an earlier run left in the output file, if it is still good.
    async fn cached(&self, context: &Context) -> Result<Option<SecretString>, ee_token::Error> {
        let Some(path) = &self.output_file else {
            return Ok(None);
        };
        let location = Location::file(path);
        let Ok(Some(text)) = read_async(&location, read_if_there).await else {
            return Ok(None);
        };
        // What is no JSON object was not written by such a program, and is written again.
        let Ok(document) = Document::parse(&text.text, &location) else {
            return Ok(None);
        };
        let answer = Answer(document);
        let is_good = |answer: &Answer| -> Result<bool, Error> {
            let expires = answer.0.number("expiration_time")?;
            Ok(answer.succeeded()? && expires.is_some_and(|at| at > now()))
        };
        let told = |error: Error| self.error(context, &error.to_string());
        if !is_good(&answer).map_err(told)? {
            return Ok(None);
        }
        answer
            .token()
            .map(Some)
            .map_err(|why| self.error(context, &why))
    }

    /// What the program prints.
    async fn output(&self, context: &Context) -> Result<Zeroizing<Vec<u8>>, ee_token::Error> {
        let mut running = self.start(context).await?;
        let Some(stdout) = running.0.stdout.take() else {
            return Err(self.error(context, "its output cannot be read"));
        };
        // Room for all of it: growing would leave copies behind.
        let mut output = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT as usize + 64));
        let finished = async {
            stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await?;
            if output.len() as u64 > MAX_OUTPUT {
                return Ok(None);
            }
            running.0.wait().await.map(Some)
        };
        match tokio::time::timeout(self.timeout, finished).await {
            Err(_) => Err(self
                .error(
                    context,
                    &format!(
                        "it did not finish within {} ms, and was stopped",
                        self.timeout.as_millis()
                    ),
                )
                .with_remedy(Remedy::new(
                    "See why it hangs, or raise `timeout_millis` (up to 120000).",
                ))),
            Ok(Err(error)) => Err(self.system_error(context, "its output cannot be read", error)),
            Ok(Ok(None)) => Err(self.error(context, "it printed more than 1 MiB, and was stopped")),
            Ok(Ok(Some(status))) if status.success() => Ok(output),
            // What it printed may be a token.
            Ok(Ok(Some(status))) => Err(self.error(context, &format!("it failed ({status})"))),
        }
    }

    async fn start(&self, context: &Context) -> Result<Running, ee_token::Error> {
        let environment = context.environment();
        let [name, arguments @ ..] = self.words.as_slice() else {
            return Err(self.error(context, "it has no name"));
        };
        // A path is the file's own choice; a name is not looked for in the current directory.
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
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(email) = &context.email {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email);
        }
        if let Some(path) = &self.output_file {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path);
        }
        // A group of its own, so that it can be stopped with everything that it started.
        #[cfg(unix)]
        command.process_group(0);
        // The program's file may be on a file system that does not respond.
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

    /// The error of the system that a program cannot be run with.
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
            .with_remedy(Remedy::new("Run the command by hand, and compare what it prints with the page on external accounts."))
    }
}

/// A program that runs, and is stopped with its whole group when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The number is the group's until the program was waited for.
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

/// What a program answers, in JSON.
pub(crate) struct Answer(Document);

impl Answer {
    pub(crate) fn parse(bytes: &[u8], location: Location) -> Result<Self, String> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| format!("{location}: it is not UTF-8 text"))?;
        Document::parse(text, &location)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Whether it says that there is a token. Its version must be known.
    fn succeeded(&self) -> Result<bool, Error> {
        let location = &self.0.location;
        match self.0.number("version")? {
            None => return Err(location.invalid("the field `version` is missing")),
            Some(version) if version > VERSION => {
                return Err(location.invalid(format_args!(
                    "the field `version` is {version}, and only {VERSION} is known"
                )));
            }
            Some(_) => {}
        }
        self.0
            .flag("success")?
            .ok_or_else(|| location.invalid("the field `success` is missing"))
    }

    pub(crate) fn token(&self) -> Result<SecretString, String> {
        self.checked_token().map_err(|error| error.to_string())
    }

    fn checked_token(&self) -> Result<SecretString, Error> {
        let location = &self.0.location;
        if !self.succeeded()? {
            let code = match self.0.number("code") {
                Ok(Some(number)) => number.to_string(),
                _ => self.0.required_sentence("code")?,
            };
            let said = self.0.required_sentence("message")?;
            return Err(location.invalid(format_args!(
                "it says that it failed: {}: {}",
                without_tokens(&code),
                without_tokens(&said)
            )));
        }
        if self
            .0
            .number("expiration_time")?
            .is_some_and(|at| at < now())
        {
            return Err(location.invalid("the token has expired (`expiration_time`)"));
        }
        match self.0.required_text("token_type")? {
            "urn:ietf:params:oauth:token-type:jwt" | "urn:ietf:params:oauth:token-type:id_token" => {
                self.0.required_secret("id_token")
            }
            "urn:ietf:params:oauth:token-type:saml2" => self.0.required_secret("saml_response"),
            _ => Err(location.invalid(
                "the field `token_type` is none of urn:ietf:params:oauth:token-type:jwt, …:id_token and …:saml2",
            )),
        }
    }
}

/// NumericSeconds since 1970.
fn now() -> u64 {
    Utc::now().timestamp().unsigned_abs()
}

/// A sentence of the program's without what looks like a token: nobody knows the one that it was
/// about to give, and programs put it into their messages. Such a word is long, and has letters and
/// digits: large ones and small ones, or no dash. Paths and UUIDs stay.
fn without_tokens(text: &str) -> String {
    const LONG: usize = 24;
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_+=".contains(c);
    text.split_inclusive(|c| !is_of_token(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c| !is_of_token(c));
            let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
            let both_cases = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
            let looks_like_one = word.len() >= LONG
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_alphabetic)
                && (both_cases || !word.contains('-'));
            if looks_like_one {
                format!("[redacted]{}", &piece[word.len()..])
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::without_tokens;

    #[test]
    fn words_that_look_like_tokens_go_and_paths_ids_and_prose_stay() {
        for (text, clean) in [
            (
                "cannot renew 3Xy7Pq9LmN2bVcR8tKwZ5sDf: expired",
                "cannot renew [redacted]: expired",
            ),
            ("id=aB3defghijklmnopqrstuvwx", "[redacted]"),
            ("no 0123456789abcdef0123456789abcdef", "no [redacted]"),
            (
                "no file /home/Ada/.config/Tokens2/of-the-day.json",
                "no file /home/Ada/.config/Tokens2/of-the-day.json",
            ),
            (
                "request 0f8fad5b-d9cb-469f-a165-70867728950e failed",
                "request 0f8fad5b-d9cb-469f-a165-70867728950e failed",
            ),
            ("Zürich is 47.37° north", "Zürich is 47.37° north"),
            ("", ""),
        ] {
            assert_eq!(without_tokens(text), clean);
        }
    }
}
