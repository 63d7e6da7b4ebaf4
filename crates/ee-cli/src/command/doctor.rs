//! `eectl doctor`: the library's checks, drawn.

use earthengine::{Check, CheckStatus, Diagnosis};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::error::{CliError, in_one_line};
use crate::output::{Text, has_colours, plain, print, print_json};

pub(crate) async fn run(global: &Global) -> Result<(), CliError> {
    let builder = super::builder(global);
    let diagnosis = if global.json {
        let diagnosis = builder.diagnose().await;
        print_json(&as_json(&diagnosis))?;
        diagnosis
    } else {
        let colour = has_colours(&std::io::stdout());
        let mut printed = Ok(());
        let diagnosis = builder
            .diagnose_with(|check| {
                if printed.is_ok() {
                    printed = print(render_text(check, colour));
                }
            })
            .await;
        printed?;
        print(summary(&diagnosis, colour))?;
        diagnosis
    };
    if diagnosis.is_ok() {
        return Ok(());
    }
    let failure = diagnosis.first_failure();
    Err(CliError::told(failure.and_then(|check| check.error)))
}

fn as_json(diagnosis: &Diagnosis) -> Value {
    let checks = diagnosis.checks.iter().map(|check| {
        let mut object = json!({
            "name": check.name,
            "status": check.status.as_str(),
            "message": check.message,
        });
        if let Some(remedy) = &check.remedy {
            object["remedy"] = json!(in_one_line(remedy));
            if let Some(url) = &remedy.url {
                object["url"] = json!(url);
            }
        }
        object
    });
    json!({"ok": diagnosis.is_ok(), "checks": checks.collect::<Vec<_>>()})
}

/// A line for the check, and more for what to do. The status is a word; colour is extra.
fn render_text(check: &Check, colour: bool) -> Text {
    let code = match check.status {
        CheckStatus::Ok => "32",
        CheckStatus::Warning => "33",
        CheckStatus::Failed => "1;31",
        _ => "2",
    };
    let status = format!("{:<8}", check.status.as_str());
    // The places that were searched have long names: one column for all of them is enough.
    let (name, place) = match check.name.split_once('.') {
        Some((name, place)) => (name, format!("{place}: ")),
        None => (check.name.as_str(), String::new()),
    };
    let mut text = Text::default();
    text.paint(colour, code, &status);
    text.add(&format!(" {name:<16} {place}{}\n", plain(&check.message)));
    if let Some(remedy) = &check.remedy {
        const INDENT: &str = "         ";
        text.add(INDENT);
        text.paint(colour, "1;36", "hint:");
        text.add(&format!(" {}\n", remedy.text));
        for line in remedy.command.iter().chain(&remedy.url) {
            text.add(&format!("{INDENT}    {line}\n"));
        }
    }
    text
}

fn summary(diagnosis: &Diagnosis, colour: bool) -> Text {
    let mut text = Text::default();
    if diagnosis.is_ok() {
        text.paint(colour, "1;32", "A program can run.");
    } else {
        text.paint(colour, "1;31", "A program cannot run.");
        if let Some(check) = diagnosis.first_failure() {
            text.add(&format!(" First mend: {}.", check.name));
        }
    }
    text.add("\n");
    text
}
