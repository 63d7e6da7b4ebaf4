//! What can be said after `eectl project`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Project {
    #[command(subcommand)]
    pub(crate) command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Lists the projects of this login, with whether Earth Engine can be used in each
    List,
    /// Lets you pick one of them, and sets it
    Select,
    /// Sets the project for this user's programs, those in Python included
    Set(ProjectId),
    /// Removes the project that was set
    Unset,
    /// Shows the project that programs use, and where it comes from; sends nothing to Earth Engine
    Show,
    /// Checks that a project may be used: this one, or the one that programs use
    Check(MaybeProjectId),
}

#[derive(Debug, Args)]
pub(crate) struct ProjectId {
    /// The project's id or number
    #[arg(value_name = "PROJECT")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct MaybeProjectId {
    /// The project's id or number
    #[arg(value_name = "PROJECT")]
    pub(crate) id: Option<String>,
}
