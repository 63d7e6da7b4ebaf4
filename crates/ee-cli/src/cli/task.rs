//! The arguments of `eectl task`, which are named as in Google's `earthengine` command.

use clap::{Args, Subcommand};

use crate::table::ListOptions;

#[derive(Debug, Args)]
#[command(
    after_help = "ID is the ID of a task, or the name of its operation (projects/PROJECT/operations/ID)."
)]
pub(crate) struct Task {
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List the project's tasks, newest first
    #[command(visible_alias = "ls")]
    List(ListTasks),
    /// Show tasks
    Info(TaskIds),
    /// Cancel tasks
    Cancel(CancelTasks),
    /// Wait until tasks have ended
    Wait(WaitForTasks),
}

#[derive(Debug, Args)]
pub(crate) struct ListTasks {
    /// List only tasks in these states: PENDING, RUNNING, CANCELLING, SUCCEEDED, CANCELLED, FAILED
    #[arg(short, long, value_name = "STATE", num_args = 1.., value_delimiter = ',')]
    pub(crate) status: Vec<String>,

    /// Show times, priority, computing time and results
    #[arg(short, long, alias = "long_format")]
    pub(crate) long: bool,

    /// List at most N tasks
    #[arg(short, long, value_name = "N")]
    pub(crate) max: Option<usize>,

    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
pub(crate) struct TaskIds {
    /// The tasks
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CancelTasks {
    /// The tasks; or `all`, `pending` or `running` for all tasks that have not ended, have not started,
    /// or are running
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitForTasks {
    /// The tasks; or `all` for all tasks that have not ended
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,

    /// Stop waiting after this many seconds; the tasks keep running
    #[arg(short, long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}
