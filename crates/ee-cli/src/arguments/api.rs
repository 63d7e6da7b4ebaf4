//! What can be said after `eectl api`; the flags are those of `gh api` where it has the same.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// GET, POST, PATCH, PUT or DELETE (without one: POST with a body or fields, GET otherwise),
    /// then the path: `config` is put under v1/projects/P/, `projects/…` under v1/
    #[arg(value_name = "[METHOD] PATH", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<String>,

    /// The method, in the place of one before the path
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// A file with the request's body, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// A query parameter (repeatable)
    #[arg(long, value_name = "K=V", value_parser = key_and_value)]
    pub(crate) query: Vec<(String, String)>,

    /// A text field of the JSON body, or with GET or --input a query parameter (repeatable);
    /// K may be `a[b]` or `a[]`
    #[arg(short = 'f', long, value_name = "K=V", value_parser = key_and_value)]
    pub(crate) raw_field: Vec<(String, String)>,

    /// The same, with a meaning for true, false, null, numbers, and @FILE for a file's text
    /// (repeatable)
    #[arg(short = 'F', long, value_name = "K=V", value_parser = key_and_value)]
    pub(crate) field: Vec<(String, String)>,

    /// A header of the request (repeatable)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = name_and_value)]
    pub(crate) header: Vec<(String, String)>,

    /// Prints the status and the headers of the reply before its body
    #[arg(short, long, conflicts_with = "paginate")]
    pub(crate) include: bool,

    /// Asks for all pages, and prints them as one object whose lists are joined
    #[arg(long)]
    pub(crate) paginate: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as Name: value".to_owned()),
    }
}
