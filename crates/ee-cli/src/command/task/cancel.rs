//! `eectl task cancel`.

use earthengine::{Operation, OperationState};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use super::Selection;
use crate::cli::Global;
use crate::command::session::{Failures, MAX_STARTED, Session};
use crate::error::CliError;
use crate::output::{print, print_json, print_status};
use crate::waiting::Progress;

/// The words for many tasks. Tasks that are being cancelled already are left alone.
const WORDS: &[(&str, &[OperationState])] = &[
    ("all", &[OperationState::Pending, OperationState::Running]),
    ("pending", &[OperationState::Pending]),
    ("running", &[OperationState::Running]),
];

pub(super) async fn run(global: &Global, ids: &[String]) -> Result<(), CliError> {
    let selection = Selection::parse(ids, WORDS)?;
    let session = Session::connect(global).await?;
    let ids = session.selected(selection).await?;
    let is_empty = ids.is_empty();
    let total = ids.len();
    let requests = stream::iter(ids).map(|id| async {
        let result = session.cancel(&id).await;
        (id, result)
    });
    let mut requests = requests.buffered(MAX_STARTED);
    let mut results: Vec<Value> = Vec::new();
    let mut failures = Failures::default();
    let progress = Progress::of("canceling tasks", total);
    while let Some((id, result)) = requests.next().await {
        progress.advance();
        match result {
            Ok(None) => {
                results.push(json!({"id": id, "cancelled": true}));
                if !global.json {
                    print(format!("canceling {id}\n"))?;
                }
            }
            Ok(Some(state)) => {
                results.push(json!({"id": id, "cancelled": false, "state": state.as_str()}));
                if !(global.json || global.quiet) {
                    print_status(&format!("{id} is {state} already"));
                }
            }
            Err(error) => failures.push(&id, error),
        }
    }
    drop(progress);
    if global.json && (failures.is_empty() || !results.is_empty()) {
        print_json(&Value::Array(results))?;
    }
    if is_empty && !(global.json || global.quiet) {
        print_status("no tasks to cancel");
    }
    failures.into_result_of(global.json, total, "task", "could not be canceled")
}

impl Session<'_> {
    /// Returns the IDs of the selected tasks; those in some states newest first.
    pub(super) async fn selected(&self, selection: Selection<'_>) -> Result<Vec<String>, CliError> {
        let states = match selection {
            Selection::Ids(ids) => return Ok(ids.to_vec()),
            Selection::InState(states) => states,
        };
        let mut tasks = self.ee.operations().list().page_size(500).items();
        let progress = Progress::new("listing tasks");
        let mut found = Vec::new();
        while let Some(task) = tasks.next().await {
            let task = task.map_err(|error| self.error("list the tasks", error))?;
            progress.advance();
            if states.contains(task.state()) {
                found.push(task.id().to_owned());
            }
        }
        Ok(found)
    }

    /// Cancels a task. Returns its state if it has ended, or is being cancelled.
    async fn cancel(&self, id: &str) -> Result<Option<OperationState>, CliError> {
        let operations = self.ee.operations();
        let failed = |error| self.task_error("cancel", id, error);
        let task: Operation = operations.get(id).await.map_err(failed)?;
        let can_cancel = !task.done && task.state() != &OperationState::Cancelling;
        if !can_cancel {
            return Ok(Some(task.state().clone()));
        }
        operations.cancel(id).await.map_err(failed)?;
        Ok(None)
    }
}
