//! Errors of commands: a message, a hint, and an exit status that scripts can rely on.

use earthengine::token::internal::sanitize;
use earthengine::{Error, ErrorKind, Remedy};
use serde_json::json;

use crate::signals::Signal;
use crate::style::{Text, json_line, supports_color, write_stderr};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    code: &'static str,
    message: String,
    server_message: Option<String>,
    /// The outcome of each search step, if no credentials were found.
    search_steps: Vec<String>,
    /// Boxed, because the result of every command has room for it.
    remedy: Option<Box<Remedy>>,
    status: u8,
}

/// Whether an error occurred while a client was set up, or in a call on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Call,
}

impl CliError {
    fn with_status(status: u8, code: &'static str, message: String) -> Self {
        Self {
            code,
            message,
            server_message: None,
            search_steps: Vec::new(),
            remedy: None,
            status,
        }
    }

    pub(crate) fn new(error: &Error, phase: Phase) -> Self {
        let message = error.to_string();
        let server_message = error
            .server_message()
            .filter(|text| !message.contains(text))
            .map(str::to_owned);
        let steps = match error.kind() {
            ErrorKind::NoCredentials => error.search_steps(),
            _ => &[],
        };
        Self {
            server_message,
            search_steps: steps.iter().map(ToString::to_string).collect(),
            remedy: error.remedy().cloned().map(Box::new),
            ..Self::with_status(
                exit_status(error.kind(), phase),
                error.kind().code(),
                message,
            )
        }
    }

    /// An error of a login or its file.
    pub(crate) fn login(error: &earthengine::credentials::Error) -> Self {
        use earthengine::credentials::ErrorKind as Kind;
        let (code, status) = match error.kind() {
            Kind::LoginDenied => ("login_denied", 4),
            Kind::LoginFailed => ("login_failed", 4),
            Kind::LoginTimeout => ("login_timeout", 4),
            Kind::LoginUnavailable => ("login_unavailable", 4),
            Kind::CredentialsFile => ("io", 1),
            Kind::InvalidOptions => ("usage", 2),
            _ => return Self::new(&error.clone().into(), Phase::Init),
        };
        Self {
            remedy: error.remedy().cloned().map(Box::new),
            ..Self::with_status(status, code, error.to_string())
        }
    }

    /// A signal, with the exit status that shells use for it.
    pub(crate) fn stopped(signal: Signal) -> Self {
        let message = signal.message().to_owned();
        Self::with_status(128 + signal.number(), "interrupted", message)
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
        Self {
            remedy: Some(Box::new(remedy)),
            ..Self::with_status(2, "usage", message.to_owned())
        }
    }

    pub(crate) fn io(message: &str, error: &std::io::Error) -> Self {
        Self::with_status(1, "io", format!("{message}: {error}"))
    }

    /// An error that the command's output contains already; it prints nothing.
    pub(crate) fn already_reported(kind: Option<ErrorKind>) -> Self {
        let status = kind.map_or(1, |kind| exit_status(kind, Phase::Init));
        Self::with_status(status, "", String::new())
    }

    pub(crate) fn exit_status(&self) -> u8 {
        self.status
    }

    /// Prints the error to standard error, as text or as one JSON object.
    pub(crate) fn print(&self, as_json: bool) {
        if self.message.is_empty() {
            return;
        }
        write_stderr(&if as_json {
            json_line(self.json())
        } else {
            self.render_text(supports_color(&std::io::stderr()))
        });
    }

    fn json(&self) -> serde_json::Value {
        let message = match &self.server_message {
            Some(text) => format!("{} (the server said: {text})", self.message),
            None => self.message.clone(),
        };
        let remedy = self.remedy.as_deref().map(remedy_line).unwrap_or_default();
        let mut error = json!({"code": self.code, "message": sanitize(&message, &[]), "remedy": sanitize(&remedy, &[])});
        if let Some(url) = self
            .remedy
            .as_ref()
            .and_then(|remedy| remedy.url.as_deref())
        {
            error["url"] = json!(url);
        }
        json!({ "error": error })
    }

    /// Both printed forms.
    #[cfg(test)]
    pub(crate) fn rendered(&self) -> [String; 2] {
        [self.render_text(false), self.json().to_string()]
    }

    fn render_text(&self, color: bool) -> String {
        let mut text = Text::default();
        text.paint(color, "1;31", "error:");
        text.add(&format!(" {}\n", self.message));
        if let Some(message) = &self.server_message {
            text.add(&format!("  the server said: {message}\n"));
        }
        for step in &self.search_steps {
            text.add(&format!("  {step}\n"));
        }
        if let Some(remedy) = &self.remedy {
            text.paint(color, "1;36", "hint:");
            text.add(&format!(" {}\n", remedy.text));
            for line in remedy.command.iter().chain(&remedy.url) {
                text.add(&format!("    {line}\n"));
            }
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
        ErrorKind::Usage | ErrorKind::Io => 1,
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
        CliError::new(&error, Phase::Init)
    }

    #[test]
    fn json_has_the_documented_fields() {
        assert_eq!(
            error_with_remedy().json(),
            json!({"error": {"code": "api_disabled", "message": "the API is off",
                "remedy": "Enable it. Run: gcloud x", "url": "https://example.com/"}})
        );
    }

    #[test]
    fn text_has_error_and_hint_with_or_without_color() {
        let plain = error_with_remedy().render_text(false);
        assert_eq!(
            plain,
            "error: the API is off\nhint: Enable it.\n    gcloud x\n    https://example.com/\n"
        );
        assert!(error_with_remedy().render_text(true).contains("\u{1b}["));
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
