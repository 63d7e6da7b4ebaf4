//! `eectl task wait`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use earthengine::{ErrorKind, Operation, OperationState, rest};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::{Selection, UNFINISHED};
use crate::cli::Global;
use crate::cli::task::WaitForTasks;
use crate::command::session::{Failures, Session};
use crate::error::CliError;
use crate::output::{print, print_json, print_status, strip_unsafe_chars};
use crate::waiting::Progress;
use crate::words::count;

/// How often a task is polled, at first and later.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(super) async fn run(global: &Global, arguments: &WaitForTasks) -> Result<(), CliError> {
    let selection = Selection::parse(&arguments.ids, &[("all", UNFINISHED)])?;
    let session = Session::connect(global).await?;
    let ids = session.selected(selection).await?;
    if ids.is_empty() && !(global.json || global.quiet) {
        print_status("no tasks to wait for");
    }
    session
        .wait_for(&ids, arguments.timeout.map(Duration::from_secs))
        .await
}

impl Session<'_> {
    /// Waits until tasks have ended, printing each as it does. Fails if a task failed, was cancelled or
    /// did not end in time.
    pub(in crate::command) async fn wait_for(
        &self,
        ids: &[String],
        timeout: Option<Duration>,
    ) -> Result<(), CliError> {
        let started = Instant::now();
        let watch = Arc::new(Watch::new(ids));
        let watch = &watch;
        let mut waits: FuturesUnordered<_> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| async move {
                let watch = watch.clone();
                let on_progress = move |task: &Operation| watch.saw(index, task);
                (index, id, self.wait_for_one(id, timeout, on_progress).await)
            })
            .collect();
        // In the order of the command line, for the result in JSON.
        let mut ended: Vec<Option<Value>> = vec![None; ids.len()];
        let mut failed: Vec<Option<CliError>> = ids.iter().map(|_| None).collect();
        while let Some((index, id, result)) = waits.next().await {
            let task = match &result {
                Ok(task) => Some(task),
                Err(error) => error.operation(),
            };
            if let (Some(task), Some(slot)) = (task, ended.get_mut(index)) {
                *slot = Some(json!(task));
                if !self.global.json {
                    print(line(task, started.elapsed()))?;
                }
            }
            if let (Err(error), Some(slot)) = (result, failed.get_mut(index)) {
                *slot = Some(self.wait_error(id, error));
            }
        }
        if self.global.json {
            let ended: Vec<Value> = ended.into_iter().flatten().collect();
            if !ended.is_empty() || ids.is_empty() {
                print_json(&Value::Array(ended))?;
            }
        }
        let mut failures = Failures::default();
        for (id, error) in ids.iter().zip(failed) {
            if let Some(error) = error {
                failures.push(id, error);
            }
        }
        failures.into_result_of(self.global.json, ids.len(), "task", "did not succeed")
    }

    async fn wait_for_one(
        &self,
        id: &str,
        timeout: Option<Duration>,
        on_progress: impl FnMut(&Operation) + Send + 'static,
    ) -> Result<Operation, rest::Error> {
        let (min, max) = POLL_INTERVAL;
        let wait = self.ee.operations().wait(id).poll_interval(min, max);
        let mut wait = wait.on_progress(on_progress);
        if let Some(timeout) = timeout {
            wait = wait.deadline(timeout);
        }
        wait.await
    }

    fn wait_error(&self, id: &str, error: rest::Error) -> CliError {
        match error.kind() {
            rest::ErrorKind::OperationFailed | rest::ErrorKind::OperationCancelled => {
                CliError::task(&error, self.ee.project())
            }
            rest::ErrorKind::Timeout if error.operation().is_some() => {
                let error = earthengine::Error::from(error);
                debug_assert_eq!(error.kind(), ErrorKind::Timeout);
                CliError::call(&error, self.ee.project())
            }
            _ => self.task_error("wait for", id, error),
        }
    }
}

/// Shows on the terminal what the tasks do.
struct Watch {
    ids: Vec<String>,
    /// The states and completed fractions, as last polled.
    seen: Mutex<Vec<Option<(String, f64)>>>,
    progress: Progress,
}

impl Watch {
    fn new(ids: &[String]) -> Self {
        let ids: Vec<String> = ids.iter().map(|id| last_segment(id).to_owned()).collect();
        let seen = vec![None; ids.len()];
        Self {
            progress: Progress::timed(&activity(&ids, &seen)),
            seen: Mutex::new(seen),
            ids,
        }
    }

    /// Records what a poll returned.
    fn saw(&self, index: usize, task: &Operation) {
        let fraction = match task.done {
            true => 1.0,
            false => task.metadata.progress.unwrap_or_default(),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = seen.get_mut(index) {
            *slot = Some((state(task).to_owned(), fraction));
        }
        self.progress.set_activity(&activity(&self.ids, &seen));
    }
}

/// Describes the tasks: `waiting for 3 tasks: 1 SUCCEEDED, 2 RUNNING, 60 %`. The percentage is the
/// mean of their progress.
fn activity(ids: &[String], seen: &[Option<(String, f64)>]) -> String {
    let what = match ids {
        [id] => format!("the task {id}"),
        many => count(many.len(), "task"),
    };
    let known: Vec<&(String, f64)> = seen.iter().flatten().collect();
    let mut states: Vec<(&str, usize)> = Vec::new();
    for (state, _) in &known {
        match states.iter_mut().find(|(known, _)| known == state) {
            Some((_, number)) => *number += 1,
            None => states.push((state, 1)),
        }
    }
    if states.is_empty() {
        return format!("waiting for {what}");
    }
    let states: Vec<String> = states
        .into_iter()
        .map(|(state, number)| match ids.len() {
            1 => state.to_owned(),
            _ => format!("{number} {state}"),
        })
        .collect();
    let done: f64 = known.iter().map(|(_, fraction)| fraction).sum();
    #[allow(clippy::cast_precision_loss, reason = "there are few tasks")]
    let percentage = (100.0 * done / ids.len() as f64).clamp(0.0, 100.0);
    let states = states.join(", ");
    format!("waiting for {what}: {states}, {percentage:.0} %")
}

/// Returns the ID of a task that is given by its ID or name.
fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn state(task: &Operation) -> &str {
    match task.state() {
        OperationState::Unspecified if task.done => "DONE",
        state => state.as_str(),
    }
}

fn line(task: &Operation, elapsed: Duration) -> String {
    let state = state(task);
    let description = match task.metadata.description.as_str() {
        "" => String::new(),
        text => format!(" ({text})"),
    };
    let line = format!(
        "{}{description} {state} after {} s",
        task.id(),
        elapsed.as_secs()
    );
    format!("{}\n", strip_unsafe_chars(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_names_states_and_the_mean_progress() {
        let seen = |state: &str, fraction| Some((state.to_owned(), fraction));
        let one = ["A".to_owned()];
        assert_eq!(activity(&one, &[None]), "waiting for the task A");
        assert_eq!(
            activity(&one, &[seen("RUNNING", 0.456)]),
            "waiting for the task A: RUNNING, 46 %"
        );
        let three = ["A", "B", "C"].map(str::to_owned);
        assert_eq!(
            activity(
                &three,
                &[seen("RUNNING", 0.5), seen("SUCCEEDED", 1.0), None]
            ),
            "waiting for 3 tasks: 1 RUNNING, 1 SUCCEEDED, 50 %"
        );
    }
}
