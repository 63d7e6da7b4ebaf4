//! `eectl completions` and `eectl man`: what is written out of the command line's own description.

use clap::CommandFactory as _;
use earthengine::token::display_path;

use crate::cli::{Arguments, Completions, Global, Man};
use crate::error::CliError;
use crate::output::{note, print_raw};

pub(crate) fn completions(arguments: &Completions) -> Result<(), CliError> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "eectl", &mut script);
    print_raw(script)
}

pub(crate) fn pages(global: &Global, arguments: &Man) -> Result<(), CliError> {
    let command = Arguments::command();
    let Some(folder) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|e| CliError::io("the manual page cannot be made", &e))?;
        return print_raw(page);
    };
    let cannot = |e: std::io::Error| {
        CliError::io(&format!("{} cannot be written", display_path(folder)), &e)
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(command, folder).map_err(cannot)?;
    if !global.quiet {
        note(&format!(
            "see them with: man -l {}/eectl.1",
            display_path(folder)
        ));
    }
    Ok(())
}
