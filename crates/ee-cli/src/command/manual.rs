//! `eectl completions` and `eectl man`: generated from the definition of the command line.

use std::fs;
use std::io;

use clap::Command;
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};
use earthengine::token::internal::display_path;

use crate::cli::help::{DEFAULT_WIDTH, Section, page, sections, with_pages};
use crate::cli::{Completions, Global, Man, command, script};
use crate::error::CliError;
use crate::output::{print_raw, print_status};

pub(crate) fn completions(arguments: &Completions) -> Result<(), CliError> {
    print_raw(script(arguments.shell)?)
}

pub(crate) fn pages(global: &Global, arguments: &Man) -> Result<(), CliError> {
    let root = with_pages(with_all_help(command()), DEFAULT_WIDTH);
    let mut root = root.disable_help_subcommand(true);
    root.build();
    let Some(dir) = &arguments.dir else {
        let page = render(&root, "", &[]);
        return print_raw(page.map_err(|e| CliError::io("cannot render the manual page", &e))?);
    };
    let write_error =
        |e: io::Error| CliError::io(&format!("cannot write to {}", display_path(dir)), &e);
    fs::create_dir_all(dir).map_err(write_error)?;
    for (file, text) in all_pages(&root).map_err(write_error)? {
        fs::write(dir.join(file), text).map_err(write_error)?;
    }
    if !global.quiet {
        print_status(&format!(
            "to view the pages, run: man -l {}/eectl.1",
            display_path(dir)
        ));
    }
    Ok(())
}

/// Shows the help of options that `-h` omits, which the pages would leave empty.
fn with_all_help(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    command.mut_subcommands(with_all_help)
}

/// Returns the file name and the text of each page, without those of hidden commands.
fn all_pages(root: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    let mut rest = vec![(root, String::new(), Vec::new())];
    while let Some((command, name, above)) = rest.pop() {
        pages.push((page_name(command) + ".1", render(command, &name, &above)?));
        let mut with_this = above.clone();
        with_this.push(page_name(command));
        for inner in shown_subcommands(command) {
            let name = format!("{name} {}", inner.get_name());
            rest.push((inner, name.trim_start().to_owned(), with_this.clone()));
        }
    }
    Ok(pages)
}

fn shown_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
}

/// Returns the name of a page: `eectl-project-list`.
fn page_name(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

/// Renders a page. `above` has the names of the pages of the commands that contain this one.
fn render(command: &Command, name: &str, above: &[String]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let man = Page::new(command.clone());
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if shown_subcommands(command).next().is_some() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::default();
    for section in page(name).map(sections).into_iter().flatten() {
        add_section(&mut roff, &section);
    }
    let below = shown_subcommands(command).map(page_name);
    let related: Vec<_> = above.iter().cloned().chain(below).collect();
    if !related.is_empty() {
        roff.control("SH", ["SEE ALSO"]);
        let related: Vec<_> = related.iter().map(|name| format!("{name}(1)")).collect();
        roff.text([roman(related.join(", "))]);
    }
    roff.to_writer(&mut text)?;
    Ok(text)
}

fn add_section(roff: &mut Roff, section: &Section) {
    roff.control("SH", [section.title.to_uppercase().as_str()]);
    for (term, what) in &section.entries {
        if section.is_commands {
            roff.control("PP", []);
            roff.text([roman(format!("{what}:"))]);
            roff.control("RS", ["4"]);
            roff.control("nf", []);
            for line in term.lines() {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
            roff.control("RE", []);
        } else {
            roff.control("TP", []);
            roff.text([bold(term.as_str())]);
            roff.text([roman(*what)]);
        }
    }
}
