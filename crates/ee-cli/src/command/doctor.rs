//! `eectl doctor`: runs and prints the library's checks.

use earthengine::{Check, CheckStatus, Diagnosis};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::cli::Global;
use crate::error::{CliError, remedy_line};
use crate::output::{print, print_json, strip_unsafe_chars};
use crate::style::{Text, supports_color};
use crate::words::count;

pub(crate) async fn run(global: &Global) -> Result<(), CliError> {
    let builder = super::builder(global);
    let diagnosis = if global.json {
        let diagnosis = builder.diagnose().await;
        print_json(&as_json(&diagnosis))?;
        diagnosis
    } else {
        let color = supports_color(&std::io::stdout());
        let (stop, stopped) = oneshot::channel();
        let mut stop = Some(stop);
        let checks = builder.diagnose_with(|check| {
            if let Err(error) = print(render_text(check, color))
                && let Some(stop) = stop.take()
            {
                // The checks end before the receiver is dropped.
                let _ = stop.send(error);
            }
        });
        // Checks whose result cannot be printed are not worth waiting for.
        let diagnosis = tokio::select! {
            biased;
            Ok(error) = stopped => return Err(error),
            diagnosis = checks => diagnosis,
        };
        print(summary(&diagnosis, color))?;
        diagnosis
    };
    if diagnosis.is_ok() {
        return Ok(());
    }
    let failure = diagnosis.first_failure();
    Err(CliError::already_reported(
        failure.and_then(|check| check.error),
    ))
}

fn as_json(diagnosis: &Diagnosis) -> Value {
    let checks = diagnosis.checks.iter().map(|check| {
        let mut object = json!({
            "name": check.name,
            "status": check.status.as_str(),
            "message": check.message,
        });
        if let Some(remedy) = &check.remedy {
            object["remedy"] = json!(remedy_line(remedy));
            if let Some(url) = &remedy.url {
                object["url"] = json!(url);
            }
        }
        object
    });
    json!({"ok": diagnosis.is_ok(), "checks": checks.collect::<Vec<_>>()})
}

/// Formats a check and its hint. The status is a word, so that nothing depends on color.
fn render_text(check: &Check, color: bool) -> Text {
    let code = match check.status {
        CheckStatus::Ok => "32",
        CheckStatus::Warning => "33",
        CheckStatus::Failed => "1;31",
        _ => "2",
    };
    let status = format!("{:<8}", check.status.as_str());
    // The message of a search step names the source.
    let (name, _) = check.name.split_once('.').unwrap_or((&check.name, ""));
    let mut text = Text::default();
    text.paint(color, code, &status);
    text.add(&format!(
        " {name:<16} {}\n",
        strip_unsafe_chars(&check.message)
    ));
    if let Some(remedy) = &check.remedy {
        const INDENT: &str = "         ";
        text.add(INDENT);
        text.paint(color, "1;36", "hint:");
        text.add(&format!(" {}\n", remedy.text));
        for line in remedy.command.iter().chain(&remedy.url) {
            text.add(&format!("{INDENT}    {line}\n"));
        }
    }
    text
}

fn summary(diagnosis: &Diagnosis, color: bool) -> Text {
    let mut text = Text::default();
    let failed: Vec<_> = diagnosis
        .checks
        .iter()
        .filter(|check| check.status == CheckStatus::Failed)
        .map(|check| check.name.as_str())
        .collect();
    match failed.len() {
        0 if diagnosis.is_ok() => text.paint(color, "1;32", "No problems found."),
        0 => text.paint(color, "1;31", "Not every check could run."),
        number => text.paint(color, "1;31", &format!("{} failed", count(number, "check"))),
    }
    if !failed.is_empty() {
        let them = if failed.len() == 1 { "it" } else { "them" };
        let names = failed.join(", ");
        text.add(&format!(
            ": {names}. Fix {them} and run `eectl doctor` again."
        ));
    }
    text.add("\n");
    text
}
