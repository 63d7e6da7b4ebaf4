//! `eectl task list` and `eectl task info`.

use earthengine::{Operation, OperationState, Remedy};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use super::kind;
use crate::cli::Global;
use crate::cli::task::ListTasks;
use crate::command::session::{Failures, MAX_STARTED, Session};
use crate::error::CliError;
use crate::output::{print, print_json, print_status, strip_unsafe_chars};
use crate::table::Table;
use crate::waiting::Progress;
use crate::words::{count, time};

const STATES: [(&str, OperationState); 8] = [
    ("PENDING", OperationState::Pending),
    ("RUNNING", OperationState::Running),
    ("CANCELLING", OperationState::Cancelling),
    ("SUCCEEDED", OperationState::Succeeded),
    ("CANCELLED", OperationState::Cancelled),
    ("FAILED", OperationState::Failed),
    // The Python client's names.
    ("READY", OperationState::Pending),
    ("COMPLETED", OperationState::Succeeded),
];

pub(super) async fn run(global: &Global, arguments: &ListTasks) -> Result<(), CliError> {
    let states = arguments.status.iter().map(|word| state(word));
    let states: Vec<&OperationState> = states.collect::<Result<_, _>>()?;
    let session = Session::connect(global).await?;
    let mut items = session.ee.operations().list().page_size(500).items();
    let mut found: Vec<Operation> = Vec::new();
    let progress = Progress::new("listing tasks");
    while arguments.max.is_none_or(|max| found.len() < max) {
        progress.set(found.len());
        match items.next().await {
            None => break,
            Some(Ok(operation)) if states.is_empty() || states.contains(&operation.state()) => {
                found.push(operation);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(session.error("list the tasks", error)),
        }
    }
    drop(progress);
    if global.json {
        return print_json(&json!(found));
    }
    if arguments.list.is_csv() {
        return csv(&found).print_csv();
    }
    if found.is_empty() && !global.quiet {
        print_status("no tasks found");
    }
    print(
        found
            .iter()
            .map(|task| line(task, arguments.long))
            .collect::<String>(),
    )
}

fn state(word: &str) -> Result<&'static OperationState, CliError> {
    let found = STATES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, state)| state).ok_or_else(|| {
        CliError::usage_with_remedy(
            &format!("{word:?} is not a state of tasks"),
            Remedy::new("Use PENDING, RUNNING, CANCELLING, SUCCEEDED, CANCELLED or FAILED."),
        )
    })
}

fn csv(tasks: &[Operation]) -> Table {
    let mut table = Table::new([
        "id",
        "type",
        "state",
        "description",
        "created",
        "started",
        "updated",
        "error",
    ]);
    for task in tasks {
        let metadata = &task.metadata;
        let error = task.error.as_ref().map(|error| error.message.as_str());
        let cells = [
            task.id(),
            kind(task),
            task.state().as_str(),
            metadata.description.as_str(),
            metadata.create_time.as_deref().unwrap_or_default(),
            metadata.start_time.as_deref().unwrap_or_default(),
            metadata.update_time.as_deref().unwrap_or_default(),
            error.unwrap_or_default(),
        ];
        table.row(cells.map(str::to_owned));
    }
    table
}

/// Formats a line of the table.
fn line(task: &Operation, is_long: bool) -> String {
    let metadata = &task.metadata;
    let error = task
        .error
        .as_ref()
        .map_or("", |error| error.message.as_str());
    let mut line = format!(
        "{:<24}  {:<12}  {:<10}  {:<40}",
        strip_unsafe_chars(task.id()),
        strip_unsafe_chars(kind(task)),
        strip_unsafe_chars(task.state().as_str()),
        shortened(&metadata.description),
    );
    if is_long {
        let number =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |n| format!("{n:.1}"));
        line += &format!(
            "  {:<19}  {:<19}  {:<19}  {:>10}  {:>4}  {}",
            time(metadata.create_time.as_deref()),
            time(metadata.start_time.as_deref()),
            time(metadata.update_time.as_deref()),
            number(metadata.batch_eecu_usage_seconds),
            metadata
                .priority
                .map_or_else(|| "-".to_owned(), |priority| priority.to_string()),
            strip_unsafe_chars(&metadata.destination_uris.join(" ")),
        );
    }
    if !error.is_empty() {
        line += &format!("  {}", strip_unsafe_chars(error));
    }
    format!("{}\n", line.trim_end())
}

/// Shortens a description to the width of its column.
fn shortened(text: &str) -> String {
    let text = strip_unsafe_chars(text);
    match text.char_indices().nth(40) {
        None => text,
        Some(_) => text.chars().take(39).chain(['…']).collect(),
    }
}

pub(super) async fn info(global: &Global, ids: &[String]) -> Result<(), CliError> {
    let session = Session::connect(global).await?;
    let operations = &session.ee.operations();
    let requests = stream::iter(ids).map(|id| async move { (id, operations.get(id).await) });
    let mut requests = requests.buffered(MAX_STARTED);
    let mut tasks: Vec<Operation> = Vec::new();
    let mut failures = Failures::default();
    while let Some((id, result)) = requests.next().await {
        match result {
            Ok(task) => tasks.push(task),
            Err(error) => failures.push(id, session.task_error("read", id, error)),
        }
    }
    if global.json {
        if failures.is_empty() || !tasks.is_empty() {
            print_json(&json!(tasks))?;
        }
    } else {
        let blocks: Vec<String> = tasks.iter().map(block).collect();
        print(blocks.join("\n"))?;
    }
    let what = format!("{} could not be read", count(failures.len(), "task"));
    failures.into_result(global.json, &what)
}

/// Formats what is known about a task.
fn block(task: &Operation) -> String {
    let metadata = &task.metadata;
    let number = |value: Option<f64>| value.map(|number| format!("{number:.1}"));
    let text = |value: &str| Some(value.to_owned()).filter(|text| !text.is_empty());
    let moment = |value: &Option<String>| value.as_deref().map(|value| time(Some(value)));
    let progress = metadata
        .progress
        .map(|progress| format!("{:.0} %", progress * 100.0));
    let warnings = metadata.notifications.iter();
    let warnings: Vec<&str> = warnings.map(|warning| warning.detail.as_str()).collect();
    let lines = [
        ("state", text(task.state().as_str())),
        ("type", text(kind(task))),
        ("description", text(&metadata.description)),
        ("progress", progress),
        ("created", moment(&metadata.create_time)),
        ("started", moment(&metadata.start_time)),
        ("updated", moment(&metadata.update_time)),
        ("ended", moment(&metadata.end_time)),
        ("attempt", metadata.attempt.map(|n| n.to_string())),
        ("priority", metadata.priority.map(|n| n.to_string())),
        ("EECU-seconds", number(metadata.batch_eecu_usage_seconds)),
        ("results", text(&metadata.destination_uris.join(" "))),
        ("script", metadata.script_uri.clone()),
        ("warnings", text(&warnings.join("; "))),
        (
            "error",
            task.error.as_ref().and_then(|error| text(&error.message)),
        ),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| {
        Some(format!("  {name:<12}  {}\n", strip_unsafe_chars(&value?)))
    });
    format!(
        "{}\n{}",
        strip_unsafe_chars(task.id()),
        lines.collect::<String>()
    )
}

impl Session<'_> {
    /// Converts the error of a call for a task. An invalid ID is a usage error.
    pub(super) fn task_error(
        &self,
        what: &str,
        id: &str,
        error: earthengine::rest::Error,
    ) -> CliError {
        use earthengine::rest::ErrorKind;
        let error = match error.kind() {
            ErrorKind::InvalidRequest => return crate::command::session::invalid_argument(&error),
            ErrorKind::NotFound => error.with_remedy(
                Remedy::new("Check the ID and the project; this lists the project's tasks:")
                    .command("eectl task list"),
            ),
            _ => error,
        };
        self.error(&format!("{what} the task {id}"), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_a_task_are_shown() {
        let task: Operation = serde_json::from_value(json!({
            "name": "projects/p/operations/A",
            "metadata": {
                "state": "RUNNING",
                "scriptUri": "https://code.earthengine.google.com/1",
                "notifications": [
                    {"severity": "WARNING", "detail": "The region is large."},
                    {"severity": "SEVERE", "detail": "The task is\u{1b} slow."},
                ],
            },
        }))
        .unwrap();
        assert_eq!(
            block(&task),
            "A\n  state         RUNNING\n  type          Unknown\n  \
             script        https://code.earthengine.google.com/1\n  \
             warnings      The region is large.; The task is slow.\n"
        );
    }

    #[test]
    fn description_fits_its_column() {
        for (text, shown) in [
            ("", 0),
            ("ä", 1),
            (&"ä".repeat(40), 40),
            (&"ä".repeat(41), 40),
        ] {
            assert_eq!(shortened(text).chars().count(), shown, "{text}");
        }
        assert!(shortened(&"x".repeat(41)).ends_with("x…"));
    }

    #[test]
    fn states_of_both_clients_are_known() {
        assert_eq!(state("completed").unwrap(), &OperationState::Succeeded);
        assert_eq!(state("READY").unwrap(), &OperationState::Pending);
        assert!(state("DONE").is_err());
    }
}
