//! `eectl completions` and `eectl man`: generated from the definition of the command line.

use clap::CommandFactory as _;
use earthengine::token::internal::display_path;

use crate::cli::{Arguments, Completions, Global, Man};
use crate::error::CliError;
use crate::output::{print_raw, print_status};

pub(crate) fn completions(arguments: &Completions) -> Result<(), CliError> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "eectl", &mut script);
    print_raw(script)
}

pub(crate) fn pages(global: &Global, arguments: &Man) -> Result<(), CliError> {
    let command = Arguments::command();
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|e| CliError::io("cannot render the manual page", &e))?;
        return print_raw(page);
    };
    let write_error =
        |e: std::io::Error| CliError::io(&format!("cannot write to {}", display_path(dir)), &e);
    std::fs::create_dir_all(dir).map_err(write_error)?;
    clap_mangen::generate_to(command, dir).map_err(write_error)?;
    if !global.quiet {
        print_status(&format!(
            "to view the pages, run: man -l {}/eectl.1",
            display_path(dir)
        ));
    }
    Ok(())
}
