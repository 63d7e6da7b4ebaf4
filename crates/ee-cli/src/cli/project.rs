//! The arguments of `eectl project`.

use clap::{Args, Subcommand};

use crate::table::ListOptions;

#[derive(Debug, Args)]
pub(crate) struct Project {
    #[command(subcommand)]
    pub(crate) command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// List your projects and whether Earth Engine is ready in each
    #[command(visible_alias = "ls")]
    List(ListProjects),
    /// Pick a project from a list and set it
    Select,
    /// Set the project for your programs, including those in Python
    Set(SetProject),
    /// Remove the project that was set
    Unset,
    /// Show the project that programs use and its source, without sending it a request
    Show,
    /// Verify that Earth Engine can be used in a project
    Check(OptionalProjectId),
    /// Show and change the Earth Engine configuration of the project
    Config(ProjectConfig),
}

#[derive(Debug, Args)]
pub(crate) struct ProjectConfig {
    #[command(subcommand)]
    pub(crate) command: ProjectConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectConfigCommand {
    /// Print the configuration as JSON
    Get,
    /// Change the configuration
    Set(SetProjectConfig),
}

#[derive(Debug, Args)]
pub(crate) struct SetProjectConfig {
    /// Run at most this many exports at the same time
    #[arg(
        long,
        value_name = "N",
        alias = "max_concurrent_exports",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) max_concurrent_exports: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ListProjects {
    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
pub(crate) struct SetProject {
    /// The project's ID or number
    #[arg(value_name = "PROJECT")]
    pub(crate) id: String,

    /// Do not check whether Earth Engine can be used in the project
    #[arg(long)]
    pub(crate) no_verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OptionalProjectId {
    /// The project's ID or number; defaults to the project that programs use
    #[arg(value_name = "PROJECT", conflicts_with = "project")]
    pub(crate) id: Option<String>,
}
