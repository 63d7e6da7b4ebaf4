//! How a command fails: one sentence, what to do, and an exit status that scripts can rely on.

use earthengine::token::sanitize;
use earthengine::{Error, ErrorKind, Remedy};
use serde_json::json;

use crate::output::{Text, has_colours, json_line, write_note};
use crate::signals::ClientEvent;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    code: &'static str,
    message: String,
    said: Option<String>,
    /// What each place held, where nothing was found.
    searched: Vec<String>,
    /// Boxed, since every result of every command has room for it.
    remedy: Option<Box<Remedy>>,
    status: u8,
}

/// Whether a refusal came while a client was set up, or from a call on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    Call,
}

impl CliError {
    pub(crate) fn new(error: &Error, stage: Phase) -> Self {
        let message = error.to_string();
        let said = error
            .server_message()
            .filter(|said| !message.contains(said))
            .map(str::to_owned);
        Self {
            code: error.kind().code(),
            message,
            said,
            searched: match error.kind() {
                ErrorKind::NoCredentials => error
                    .search_steps()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                _ => Vec::new(),
            },
            remedy: error.remedy().cloned().map(Box::new),
            status: exit_status(error.kind(), stage),
        }
    }

    /// A login, or its file, that came to nothing.
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
            code,
            message: error.to_string(),
            said: None,
            searched: Vec::new(),
            remedy: error.remedy().cloned().map(Box::new),
            status,
        }
    }

    /// A signal, with the status that shells give it.
    pub(crate) fn stopped(signal: ClientEvent) -> Self {
        Self {
            code: "interrupted",
            message: signal.message().to_owned(),
            said: None,
            searched: Vec::new(),
            remedy: None,
            status: 128 + signal.number(),
        }
    }

    /// A command line that is wrong. What clap says has paragraphs: what is wrong, tips, and how
    /// the command is used.
    pub(crate) fn usage(error: &impl ToString) -> Self {
        let text = error.to_string();
        let mut paragraphs = text.split("\n\n").map(|paragraph| {
            let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
            lines.join(" ")
        });
        let what = paragraphs.next().unwrap_or_default();
        let tips = paragraphs.filter_map(|p| Some(format!("Tip: {}. ", p.strip_prefix("tip: ")?)));
        let help = "See `eectl --help`, or --help after a command.";
        Self {
            code: "usage",
            message: what.trim_start_matches("error: ").to_owned(),
            said: None,
            searched: Vec::new(),
            remedy: Some(Box::new(Remedy::new(tips.collect::<String>() + help))),
            status: 2,
        }
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self {
            code: "io",
            message: format!("{what}: {error}"),
            said: None,
            searched: Vec::new(),
            remedy: None,
            status: 1,
        }
    }

    /// A failure that the command's own output has told of already.
    pub(crate) fn told(kind: Option<ErrorKind>) -> Self {
        Self {
            code: "told",
            message: String::new(),
            said: None,
            searched: Vec::new(),
            remedy: None,
            status: kind.map_or(1, |kind| exit_status(kind, Phase::Init)),
        }
    }

    /// Something that a person or the terminal stands in the way of.
    pub(crate) fn of_usage(message: &str, remedy: Remedy) -> Self {
        Self {
            remedy: Some(Box::new(remedy)),
            ..Self::usage(&message)
        }
    }

    pub(crate) fn exit_status(&self) -> u8 {
        self.status
    }

    /// Prints it on standard error, in words or as one JSON object.
    pub(crate) fn print(&self, as_json: bool) {
        if self.message.is_empty() {
            return;
        }
        write_note(&if as_json {
            json_line(self.json())
        } else {
            self.words(has_colours(&std::io::stderr()))
        });
    }

    fn json(&self) -> serde_json::Value {
        let message = match &self.said {
            Some(said) => format!("{} (the server said: {said})", self.message),
            None => self.message.clone(),
        };
        let remedy = self.remedy.as_deref().map(in_one_line).unwrap_or_default();
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

    /// All that is ever said of it.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> [String; 2] {
        [self.words(false), self.json().to_string()]
    }

    fn words(&self, colour: bool) -> String {
        let mut text = Text::default();
        text.paint(colour, "1;31", "error:");
        text.add(&format!(" {}\n", self.message));
        if let Some(said) = &self.said {
            text.add(&format!("  the server said: {said}\n"));
        }
        for place in &self.searched {
            text.add(&format!("  {place}\n"));
        }
        if let Some(remedy) = &self.remedy {
            text.paint(colour, "1;36", "hint:");
            text.add(&format!(" {}\n", remedy.text));
            for line in remedy.command.iter().chain(&remedy.url) {
                text.add(&format!("    {line}\n"));
            }
        }
        text.into_string()
    }
}

/// A remedy as one text, for JSON; its URL stands in a field of its own.
pub(crate) fn in_one_line(remedy: &Remedy) -> String {
    match &remedy.command {
        Some(command) => format!("{} Run: {command}", remedy.text),
        None => remedy.text.to_string(),
    }
}

/// The exit status for a kind of error; a missing permission is the project's trouble while
/// the project is verified, and the call's later.
fn exit_status(kind: ErrorKind, stage: Phase) -> u8 {
    match kind {
        ErrorKind::NoCredentials => 3,
        ErrorKind::Usage | ErrorKind::Io => 1,
        ErrorKind::Network | ErrorKind::NetworkBlocked | ErrorKind::Timeout => 7,
        kind if kind.is_credential_error() => 4,
        kind if kind.is_project_error() => 5,
        ErrorKind::PermissionDenied if stage == Phase::Init => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> CliError {
        let error = Error::new(ErrorKind::ApiDisabled, "the API is off").with_remedy(
            Remedy::new("Enable it.")
                .command("gcloud x")
                .url("https://example.com/"),
        );
        CliError::new(&error, Phase::Init)
    }

    #[test]
    fn json_has_the_promised_fields() {
        assert_eq!(
            failure().json(),
            json!({"error": {"code": "api_disabled", "message": "the API is off",
                "remedy": "Enable it. Run: gcloud x", "url": "https://example.com/"}})
        );
    }

    #[test]
    fn words_say_what_happened_and_what_to_do_and_colour_is_extra() {
        let plain = failure().words(false);
        assert_eq!(
            plain,
            "error: the API is off\nhint: Enable it.\n    gcloud x\n    https://example.com/\n"
        );
        assert!(failure().words(true).contains("\u{1b}["));
    }

    #[test]
    fn exit_statuses_are_the_promised_ones() {
        for (kind, stage, status) in [
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
            assert_eq!(exit_status(kind, stage), status, "{kind:?} {stage:?}");
        }
    }

    /// The rows of the page about errors: kind, code and the first exit status.
    fn rows_of(page: &str) -> Vec<(&str, &str, u8)> {
        page.lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let digits = |c: char| c.is_ascii_digit();
                let exit = cells[3].split(|c| !digits(c)).next().unwrap();
                let code = cells[2].trim_matches('`');
                (cells[1].trim_matches('`'), code, exit.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn the_page_about_errors_has_every_kind_with_its_code_and_exit_status() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/errors.md");
        // The package as it is published comes without the book.
        let Ok(page) = std::fs::read_to_string(page) else {
            return;
        };
        let told = rows_of(&page);
        for kind in ErrorKind::ALL {
            let name = format!("{kind:?}");
            let row = (name.as_str(), kind.code(), exit_status(*kind, Phase::Init));
            assert!(told.contains(&row), "{row:?} is not in {told:?}");
        }
        assert_eq!(told.len(), ErrorKind::ALL.len(), "a row too many: {told:?}");
    }
}
