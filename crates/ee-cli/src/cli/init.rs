//! The command line of `eectl init`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Keep retrying for up to SECONDS while API enablement, a role or a registration propagates
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
}
