//! Errors of commands: a message, a hint, and an exit status that scripts can rely on.

use earthengine::token::internal::{display_path, sanitize};
use earthengine::{Error, ErrorKind, Project, ProjectSource, Remedy};
use serde_json::json;

use crate::signals::Signal;
use crate::style::{Text, json_line, supports_color, write_stderr};

/// The exit status after Ctrl-C.
const CTRL_C: u8 = 130;
/// The message of a search without a result, or its beginning.
const NO_CREDENTIALS: &str = "no Google credentials were found";

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    status: u8,
    /// `None` if the command's output contains the error already. Boxed, because the result of every
    /// command has room for it.
    report: Option<Box<Report>>,
}

/// What is printed about an error.
#[derive(Debug)]
struct Report {
    code: &'static str,
    message: String,
    remedy: Remedy,
    server_message: Option<String>,
    project: Option<String>,
    project_source: Option<&'static str>,
    principal: Option<String>,
    /// The outcome of each search step, if no credentials were found.
    search_steps: Vec<String>,
}

/// Whether an error occurred while a client was set up, or in a call on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Call,
}

impl CliError {
    fn with_status(status: u8, code: &'static str, message: String, remedy: Remedy) -> Self {
        Self {
            status,
            report: Some(Box::new(Report {
                code,
                message,
                remedy,
                server_message: None,
                project: None,
                project_source: None,
                principal: None,
                search_steps: Vec::new(),
            })),
        }
    }

    /// Changes what is printed.
    fn with(mut self, change: impl FnOnce(&mut Report)) -> Self {
        if let Some(report) = &mut self.report {
            change(report);
        }
        self
    }

    /// An error of the setup of a client.
    pub(crate) fn init(error: impl Into<Error>) -> Self {
        Self::new(&error.into(), Phase::Init)
    }

    pub(crate) fn new(error: &Error, phase: Phase) -> Self {
        let kind = error.kind();
        let steps = match kind {
            ErrorKind::NoCredentials => error.search_steps(),
            _ => &[],
        };
        let status = exit_status(kind, phase);
        let remedy = error.remedy().clone();
        Self::with_status(status, kind.code(), error.to_string(), remedy).with(|report| {
            report.server_message = error.server_message().map(str::to_owned);
            report.project = error.project().map(str::to_owned);
            report.project_source = error.project_source().map(ProjectSource::as_str);
            report.principal = error.principal().map(str::to_owned);
            report.search_steps = steps.iter().map(ToString::to_string).collect();
        })
    }

    /// An error of a call for this project.
    pub(crate) fn call(error: &Error, project: &Project) -> Self {
        Self::new(error, Phase::Call).with(|report| {
            let id = report.project.get_or_insert_with(|| project.id.clone());
            if *id == project.id {
                report.project_source = Some(project.source.as_str());
            }
        })
    }

    /// A task that failed or was cancelled.
    pub(crate) fn task(error: &earthengine::rest::Error, project: &Project) -> Self {
        let remedy = error.remedy().clone();
        Self::with_status(8, "task_failed", error.to_string(), remedy).with(|report| {
            report.project = Some(project.id.clone());
            report.project_source = Some(project.source.as_str());
        })
    }

    /// Makes the first error of many calls the error of all of them.
    pub(crate) fn summarized(self, message: &str) -> Self {
        self.with(|report| {
            report.message = message.to_owned();
            report.server_message = None;
        })
    }

    pub(crate) fn code(&self) -> &'static str {
        self.report.as_ref().map_or("", |report| report.code)
    }

    pub(crate) fn message(&self) -> &str {
        self.report.as_ref().map_or("", |report| &report.message)
    }

    /// Adds the project of the command line, if the error names none.
    pub(crate) fn or_project(self, project: Option<&str>) -> Self {
        self.with(|report| {
            if let (None, Some(project)) = (&report.project, project) {
                report.project = Some(project.to_owned());
                report.project_source = Some(ProjectSource::Explicit.as_str());
            }
        })
    }

    /// A signal, with the exit status that shells use for it. Users know that they pressed Ctrl-C,
    /// so it is reported only as JSON.
    pub(crate) fn stopped(signal: Signal) -> Self {
        let message = signal.message().to_owned();
        let remedy = Remedy::new("Run the command again to finish it.");
        Self::with_status(128 + signal.number(), "interrupted", message, remedy)
    }

    /// An invalid command line. clap's messages have paragraphs: the error, tips and the usage.
    pub(crate) fn usage(error: &impl ToString) -> Self {
        let text = error.to_string();
        let mut paragraphs = text.split("\n\n").map(|paragraph| {
            let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
            lines.join(" ")
        });
        let message = paragraphs.next().unwrap_or_default();
        let tips = paragraphs.filter_map(|p| Some(format!("Tip: {}. ", p.strip_prefix("tip: ")?)));
        let help = "See `eectl --help`, or --help after a command.";
        Self::usage_with_remedy(
            message.trim_start_matches("error: "),
            Remedy::new(tips.collect::<String>() + help),
        )
    }

    pub(crate) fn usage_with_remedy(message: &str, remedy: Remedy) -> Self {
        Self::with_status(2, "usage", message.to_owned(), remedy)
    }

    pub(crate) fn io(message: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let remedy = Remedy::new(match error.kind() {
            Io::NotFound => "Check the path.",
            Io::PermissionDenied => "Check the permissions of the file and its directory.",
            Io::AddrInUse => "Use another port, or stop the program that uses this one.",
            Io::BrokenPipe => "Let the program that reads the output read all of it.",
            Io::StorageFull => "Free some space, then try again.",
            _ => "Check the file system and the path, then try again.",
        });
        Self::with_status(1, "io", format!("{message}: {error}"), remedy)
    }

    /// The reader of standard output has closed the pipe, as `head` does. Nothing is printed, and
    /// the exit status is that of a program that SIGPIPE ends.
    pub(crate) fn closed_pipe() -> Self {
        Self::silent(128 + 13)
    }

    /// An error that the command's output contains already; it prints nothing.
    pub(crate) fn already_reported(kind: Option<ErrorKind>) -> Self {
        Self::silent(kind.map_or(1, |kind| exit_status(kind, Phase::Init)))
    }

    /// The exit status of a command that `eectl exec` ran, which printed its own errors.
    pub(crate) fn of_command(status: u8) -> Self {
        Self::silent(status)
    }

    fn silent(status: u8) -> Self {
        let report = None;
        Self { status, report }
    }

    /// A command that cannot be run, with the exit status that shells use for it.
    pub(crate) fn cannot_run(command: &std::path::Path, error: &std::io::Error) -> Self {
        let shown = display_path(command);
        let (status, remedy) = match error.kind() {
            std::io::ErrorKind::NotFound => (
                127,
                "Check the spelling of the command, and that it is in PATH.",
            ),
            _ => (
                126,
                "Check that the file is a program that you may execute.",
            ),
        };
        let message = format!("cannot run {shown}: {error}");
        Self::with_status(status, "io", message, Remedy::new(remedy))
    }

    pub(crate) fn exit_status(&self) -> u8 {
        self.status
    }

    /// Prints the error to standard error, as text or as one JSON object that names the command.
    pub(crate) fn print(&self, as_json: bool, is_verbose: bool, command: &str) {
        let Some(report) = &self.report else { return };
        if as_json {
            write_stderr(&json_line(report.json(command)));
        } else if self.status != CTRL_C {
            let lists_search = is_verbose || command == "auth status";
            write_stderr(&report.render_text(supports_color(&std::io::stderr()), lists_search));
        }
    }

    /// Both printed forms.
    #[cfg(test)]
    pub(crate) fn rendered(&self) -> [String; 2] {
        let report = self.report.as_ref().unwrap();
        [
            report.render_text(false, true),
            report.json("init").to_string(),
        ]
    }
}

/// An error of a login or its file.
impl From<earthengine::credentials::Error> for CliError {
    fn from(error: earthengine::credentials::Error) -> Self {
        use earthengine::credentials::ErrorKind as Kind;
        let (code, status) = match error.kind() {
            Kind::LoginDenied => ("login_denied", 4),
            Kind::LoginFailed => ("login_failed", 4),
            Kind::LoginTimeout => ("login_timeout", 4),
            Kind::LoginUnavailable => ("login_unavailable", 4),
            Kind::CredentialsFile => ("io", 1),
            Kind::InvalidOptions => ("usage", 2),
            _ => return Self::init(error),
        };
        Self::with_status(status, code, error.to_string(), error.remedy().clone()).with(|report| {
            report.server_message = error.server_message().map(str::to_owned);
            report.principal = error.principal().map(str::to_owned);
        })
    }
}

/// An error of the broker.
impl From<ee_broker::Error> for CliError {
    fn from(error: ee_broker::Error) -> Self {
        let (status, code) = match error.kind() {
            ee_broker::ErrorKind::InvalidOptions => (2, "usage"),
            _ => (1, "io"),
        };
        Self::with_status(status, code, error.to_string(), error.remedy().clone())
    }
}

impl Report {
    /// Returns the server's message unless the error's contains it.
    fn more_from_server(&self) -> Option<&str> {
        let said = self.server_message.as_deref();
        said.filter(|said| !self.message.contains(said))
    }

    fn json(&self, command: &str) -> serde_json::Value {
        let message = match self.more_from_server() {
            Some(said) => format!("{} (the server said: {said})", self.message),
            None => self.message.clone(),
        };
        let remedy = remedy_line(&self.remedy);
        let mut error = json!({"code": self.code, "message": sanitize(&message, &[]), "remedy": sanitize(&remedy, &[])});
        let known = [
            ("url", self.remedy.url.as_deref()),
            ("command", Some(command).filter(|name| !name.is_empty())),
            ("project", self.project.as_deref()),
            ("project_source", self.project_source),
            ("principal", self.principal.as_deref()),
            ("server_message", self.server_message.as_deref()),
        ];
        for (name, text) in known {
            if let Some(text) = text {
                error[name] = json!(sanitize(text, &[]));
            }
        }
        json!({ "error": error })
    }

    /// Formats the error. `lists_search` adds the steps of a search without a result.
    fn render_text(&self, color: bool, lists_search: bool) -> String {
        let mut text = Text::default();
        text.paint(color, "1;31", "error:");
        let message = match self.message.strip_prefix(NO_CREDENTIALS) {
            Some(rest) => &format!("not logged in{rest}"),
            None => &self.message,
        };
        text.add(&format!(" {message}\n"));
        if let Some(said) = self.more_from_server() {
            text.add(&format!("  the server said: {said}\n"));
        }
        if lists_search {
            for step in &self.search_steps {
                text.add(&format!("  {step}\n"));
            }
        }
        text.paint(color, "1;36", "hint:");
        // What the general remedy says is in the help and on the page about logging in.
        if self.message == NO_CREDENTIALS && !lists_search {
            text.add(" Run `eectl auth login`; `eectl auth status` shows where credentials were searched.\n");
            return text.into_string();
        }
        text.add(&format!(" {}\n", self.remedy.text));
        for line in self.remedy.command.iter().chain(&self.remedy.url) {
            text.add(&format!("    {line}\n"));
        }
        text.into_string()
    }
}

/// Formats a remedy as one line for JSON, where its URL has a field of its own.
pub(crate) fn remedy_line(remedy: &Remedy) -> String {
    match &remedy.command {
        Some(command) => format!("{} Run: {command}", remedy.text),
        None => remedy.text.to_string(),
    }
}

/// Returns the exit status for a kind of error. A denied permission is a project error while the
/// project is verified, and an API error in a later call.
fn exit_status(kind: ErrorKind, phase: Phase) -> u8 {
    match kind {
        ErrorKind::NoCredentials => 3,
        ErrorKind::Usage | ErrorKind::Io | ErrorKind::File => 1,
        ErrorKind::Network | ErrorKind::NetworkBlocked | ErrorKind::Timeout => 7,
        kind if kind.is_credential_error() => 4,
        kind if kind.is_project_error() => 5,
        ErrorKind::PermissionDenied if phase == Phase::Init => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_with_remedy() -> CliError {
        let error = Error::new(ErrorKind::ApiDisabled, "the API is off").with_remedy(
            Remedy::new("Enable it.")
                .command("gcloud x")
                .url("https://example.com/"),
        );
        let error = error
            .with_principal("jane@example.com")
            .with_server_message("No.");
        CliError::new(&error, Phase::Init)
    }

    #[test]
    fn json_has_the_documented_fields() {
        let [_, json] = error_with_remedy()
            .or_project(Some("my-project"))
            .rendered();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json,
            json!({"error": {"code": "api_disabled", "message": "the API is off (the server said: No.)",
                "remedy": "Enable it. Run: gcloud x", "url": "https://example.com/", "command": "init",
                "project": "my-project", "project_source": "flag", "principal": "jane@example.com",
                "server_message": "No."}})
        );
    }

    #[test]
    fn text_has_error_and_hint_with_or_without_color() {
        let error = error_with_remedy();
        let report = error.report.as_ref().unwrap();
        assert_eq!(
            report.render_text(false, false),
            "error: the API is off\n  the server said: No.\nhint: Enable it.\n    gcloud x\n    https://example.com/\n"
        );
        assert!(report.render_text(true, false).contains("\u{1b}["));
    }

    #[test]
    fn every_error_of_a_command_has_a_remedy() {
        use std::io::ErrorKind as Io;
        let io = [
            Io::NotFound,
            Io::PermissionDenied,
            Io::AddrInUse,
            Io::BrokenPipe,
            Io::StorageFull,
            Io::Other,
        ];
        let io = io.map(|kind| CliError::io("cannot write", &kind.into()));
        let logins = earthengine::credentials::ErrorKind::ALL.iter();
        let logins = logins
            .map(|kind| CliError::from(earthengine::credentials::Error::new(*kind, "failed")));
        let kinds = ErrorKind::ALL.iter();
        let kinds = kinds.map(|kind| CliError::new(&Error::new(*kind, "failed"), Phase::Call));
        let others = [
            CliError::stopped(Signal::Interrupt),
            CliError::usage(&"missing command"),
            CliError::cannot_run("x".as_ref(), &Io::NotFound.into()),
            CliError::cannot_run("x".as_ref(), &Io::PermissionDenied.into()),
        ];
        let brokers = ee_broker::ErrorKind::ALL.iter();
        let brokers = brokers.map(|kind| CliError::from(ee_broker::Error::new(*kind, "failed")));
        for error in io
            .into_iter()
            .chain(logins)
            .chain(kinds)
            .chain(others)
            .chain(brokers)
        {
            let report = error.report.as_ref().unwrap();
            assert!(report.remedy.text.len() > 10, "{report:?}");
            assert!(
                report.render_text(false, true).contains("hint: "),
                "{report:?}"
            );
        }
    }

    #[test]
    fn exit_statuses_match_the_documentation() {
        for (kind, phase, status) in [
            (ErrorKind::NoCredentials, Phase::Init, 3),
            (ErrorKind::InvalidCredentials, Phase::Init, 4),
            (ErrorKind::ClockSkew, Phase::Call, 4),
            (ErrorKind::InvalidProject, Phase::Init, 5),
            (ErrorKind::ApiDisabled, Phase::Call, 5),
            (ErrorKind::PermissionDenied, Phase::Init, 5),
            (ErrorKind::PermissionDenied, Phase::Call, 6),
            (ErrorKind::NotFound, Phase::Call, 6),
            (ErrorKind::Timeout, Phase::Init, 7),
            (ErrorKind::Io, Phase::Init, 1),
        ] {
            assert_eq!(exit_status(kind, phase), status, "{kind:?} {phase:?}");
        }
    }

    /// Parses the tables of kinds: kind, code, the first exit status, and whether it is transient.
    fn error_rows(page: &str) -> Vec<(&str, &str, u8, bool)> {
        let (_, kinds) = page.split_once("## Kinds\n").unwrap();
        let (kinds, _) = kinds.split_once("\n## ").unwrap();
        kinds
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let digits = |c: char| c.is_ascii_digit();
                let exit = cells[3].split(|c| !digits(c)).next().unwrap();
                let [kind, code] = [1, 2].map(|column| cells[column].trim_matches('`'));
                (kind, code, exit.parse().unwrap(), cells[4] == "yes")
            })
            .collect()
    }

    #[test]
    fn error_codes_page_lists_every_kind() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/error-codes.md");
        // The published package does not contain the book.
        let Ok(page) = std::fs::read_to_string(page) else {
            return;
        };
        let rows = error_rows(&page);
        for kind in ErrorKind::ALL {
            let name = format!("{kind:?}");
            let exit = exit_status(*kind, Phase::Init);
            let row = (name.as_str(), kind.code(), exit, kind.is_transient());
            assert!(rows.contains(&row), "{row:?} is not in {rows:?}");
        }
        assert_eq!(rows.len(), ErrorKind::ALL.len(), "extra rows: {rows:?}");
    }
}
