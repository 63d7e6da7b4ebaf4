//! `eectl task`: lists, shows, cancels and awaits the operations that Earth Engine calls tasks.

mod cancel;
mod list;
pub(super) mod wait;

use earthengine::{Operation, OperationState, Remedy};

use crate::cli::Global;
use crate::cli::task::{Task, TaskCommand};
use crate::error::CliError;

pub(crate) async fn run(global: &Global, task: &Task) -> Result<(), CliError> {
    match &task.command {
        TaskCommand::List(arguments) => list::run(global, arguments).await,
        TaskCommand::Info(arguments) => list::info(global, &arguments.ids).await,
        TaskCommand::Cancel(arguments) => cancel::run(global, &arguments.ids).await,
        TaskCommand::Wait(arguments) => wait::run(global, arguments).await,
    }
}

/// The tasks that a command is for.
enum Selection<'a> {
    Ids(&'a [String]),
    /// All tasks in one of these states.
    InState(&'static [OperationState]),
}

const UNFINISHED: &[OperationState] = &[
    OperationState::Pending,
    OperationState::Running,
    OperationState::Cancelling,
];

impl<'a> Selection<'a> {
    /// Parses IDs, or one of these words for tasks in some states.
    fn parse(
        ids: &'a [String],
        words: &[(&str, &'static [OperationState])],
    ) -> Result<Self, CliError> {
        let states = |id: &String| words.iter().find(|(word, _)| word == id).map(|(_, s)| *s);
        match ids {
            [one] => Ok(states(one).map_or(Self::Ids(ids), Self::InState)),
            many => match many.iter().find(|id| states(id).is_some()) {
                None => Ok(Self::Ids(ids)),
                Some(word) => Err(CliError::usage_with_remedy(
                    &format!("`{word}` stands for many tasks and cannot be combined with IDs"),
                    Remedy::new(format!("Use `{word}` alone, or only IDs.")),
                )),
            },
        }
    }
}

/// Returns the name of a task's type, as in Google's `earthengine` command.
fn kind(operation: &Operation) -> &str {
    match operation.metadata.kind.as_str() {
        "EXPORT_IMAGE" => "Export.image",
        "EXPORT_FEATURES" => "Export.table",
        "EXPORT_TILES" => "Export.map",
        "EXPORT_VIDEO" => "Export.video",
        "EXPORT_CLASSIFIER" => "Export.classifier",
        "INGEST" | "INGEST_IMAGE" | "INGEST_TABLE" => "Upload",
        "" => "Unknown",
        other => other,
    }
}
