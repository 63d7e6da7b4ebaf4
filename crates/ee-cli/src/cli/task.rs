//! The arguments of `eectl task` and `eectl upload`, which are named as in Google's `earthengine`
//! command.

use std::path::PathBuf;

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

#[derive(Debug, Args)]
pub(crate) struct Upload {
    #[command(subcommand)]
    pub(crate) what: UploadCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UploadCommand {
    /// Import GeoTIFF or TFRecord files in Cloud Storage as an image
    Image(Import),
    /// Import CSV files or shapefiles in Cloud Storage as a table
    Table(Import),
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The files in Cloud Storage to import, without a manifest: gs://BUCKET/FILE; one for a table
    #[arg(value_name = "URI", requires = "asset_id")]
    pub(crate) uris: Vec<String>,

    /// Read the manifest (the API's ImageManifest or TableManifest, in JSON) from this file, or from
    /// standard input with `-`
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "asset_id",
        conflicts_with_all = ["asset_id", "property", "time_start", "time_end"]
    )]
    pub(crate) manifest: Option<PathBuf>,

    /// Name the new asset, without a manifest
    #[arg(long, value_name = "ASSET", alias = "asset_id", requires = "uris")]
    pub(crate) asset_id: Option<String>,

    /// Set a property of the new asset, as in `asset set` (repeatable)
    #[arg(short, long, value_name = "[(TYPE)]NAME=VALUE")]
    pub(crate) property: Vec<String>,

    /// Set the start of the time range of the new asset, as in `asset set`
    #[arg(long, value_name = "TIME", alias = "time_start")]
    pub(crate) time_start: Option<String>,

    /// Set the end of the time range of the new asset
    #[arg(long, value_name = "TIME", alias = "time_end")]
    pub(crate) time_end: Option<String>,

    /// Replace an existing asset
    #[arg(short, long, visible_alias = "overwrite")]
    pub(crate) force: bool,

    /// Wait until the import has ended, or for this many seconds
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1)]
    pub(crate) wait: Option<Option<u64>>,

    /// Start the import at most once for this ID of letters, digits and dashes, however often the
    /// command is run; defaults to a new ID
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,

    /// Describe the import in the list of tasks
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}
