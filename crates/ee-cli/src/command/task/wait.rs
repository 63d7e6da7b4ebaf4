//! `eectl task wait`.

use std::time::{Duration, Instant};

use earthengine::{ErrorKind, Operation, OperationState, rest};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::{Selection, UNFINISHED};
use crate::cli::Global;
use crate::cli::task::WaitForTasks;
use crate::command::session::{Failures, Session, count};
use crate::error::CliError;
use crate::output::{print, print_json, print_status, strip_unsafe_chars};

/// How often a task is polled, at first and later.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(super) async fn run(global: &Global, arguments: &WaitForTasks) -> Result<(), CliError> {
    let selection = Selection::parse(&arguments.ids, &[("all", UNFINISHED)])?;
    let session = Session::connect(global).await?;
    let ids = match selection {
        Selection::Ids(ids) => ids.to_vec(),
        Selection::InState(states) => session.tasks_in(states).await?,
    };
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
        let mut waits: FuturesUnordered<_> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| async move { (index, id, self.wait_for_one(id, timeout).await) })
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
        let what = format!(
            "{} of {} did not succeed",
            failures.len(),
            count(ids.len(), "task")
        );
        failures.into_result(self.global.json, &what)
    }

    async fn wait_for_one(
        &self,
        id: &str,
        timeout: Option<Duration>,
    ) -> Result<Operation, rest::Error> {
        let (min, max) = POLL_INTERVAL;
        let mut wait = self.ee.operations().wait(id).poll_interval(min, max);
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

fn line(task: &Operation, elapsed: Duration) -> String {
    let state = match task.state() {
        OperationState::Unspecified if task.done => "DONE",
        state => state.as_str(),
    };
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
