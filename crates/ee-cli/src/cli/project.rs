//! The arguments of `eectl project`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Project {
    #[command(subcommand)]
    pub(crate) command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// List your projects and whether Earth Engine is ready in each
    List,
    /// Pick a project from a list and set it
    Select,
    /// Set the project for your programs, including those in Python
    Set(ProjectId),
    /// Remove the project that was set
    Unset,
    /// Show the project that programs use and its source, without sending it a request
    Show,
    /// Verify that Earth Engine can be used in a project
    Check(OptionalProjectId),
}

#[derive(Debug, Args)]
pub(crate) struct ProjectId {
    /// The project's ID or number
    #[arg(value_name = "PROJECT")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct OptionalProjectId {
    /// The project's ID or number; defaults to the project that programs use
    #[arg(value_name = "PROJECT")]
    pub(crate) id: Option<String>,
}
