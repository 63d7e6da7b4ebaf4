//! The arguments of `eectl api`, which are named as in `gh api`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// The method and the path. The method is GET, POST, PATCH, PUT or DELETE; it defaults to POST
    /// with a body or fields, and to GET otherwise. The path is relative to v1/projects/PROJECT/, or
    /// to v1/ if it starts with `projects/`; it may have a query (`?a=b`), and it may be a URL of
    /// Earth Engine
    #[arg(value_name = "[METHOD] PATH", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<String>,

    /// Set the method, instead of naming it before the path
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// Read the request body from a file, or from standard input with `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Add a query parameter (repeatable)
    #[arg(long, value_name = "K=V", value_parser = key_and_value)]
    pub(crate) query: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) fields: Fields,

    /// Add a header (repeatable)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = name_and_value)]
    pub(crate) header: Vec<(String, String)>,

    /// Print the status and headers of the response before its body
    #[arg(short, long, conflicts_with = "paginate")]
    pub(crate) include: bool,

    /// Save the response body in this file, which is replaced only when the body is complete
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["paginate", "jq"])]
    pub(crate) output: Option<PathBuf>,

    /// Fetch all pages and print them as one object, with their lists joined
    #[arg(long)]
    pub(crate) paginate: bool,
}

/// The fields of `-f` and `-F`, in the order of the command line.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) text: String,
    /// Whether `true`, `false`, `null`, numbers and `@FILE` are interpreted.
    pub(crate) is_typed: bool,
}

const RAW_FIELD: &str = "raw-field";
const FIELD: &str = "field";

impl Args for Fields {
    fn augment_args(command: Command) -> Command {
        let option = |name, short| {
            Arg::new(name)
                .short(short)
                .long(name)
                .value_name("K=V")
                .value_parser(key_and_value)
                .action(ArgAction::Append)
        };
        command
            .arg(option(RAW_FIELD, 'f').help("Add a string field to the JSON body, or a query parameter with GET or --input (repeatable); K may be `a[b]` or `a[]`"))
            .arg(option(FIELD, 'F').help("Add a typed field: true, false, null, a number, or @FILE for the contents of a file (repeatable)"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Fields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut fields = Vec::new();
        for (name, is_typed) in [(RAW_FIELD, false), (FIELD, true)] {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<(String, String)>(name);
            for (index, (key, text)) in indices.zip(values.into_iter().flatten()) {
                let field = Field {
                    key: key.clone(),
                    text: text.clone(),
                    is_typed,
                };
                fields.push((index, field));
            }
        }
        fields.sort_by_key(|(index, _)| *index);
        Ok(Self(fields.into_iter().map(|(_, field)| field).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected 'Name: value'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pair_is_split_at_its_first_separator(text in ".*[=:]?.*") {
            if let Ok((key, value)) = key_and_value(&text) {
                prop_assert!(!key.is_empty() && !key.contains('='));
                prop_assert_eq!(format!("{key}={value}"), text.clone());
            }
            if let Ok((name, value)) = name_and_value(&text) {
                let (before, after) = text.split_once(':').unwrap();
                prop_assert!(!name.is_empty());
                prop_assert_eq!((name.as_str(), value.as_str()), (before.trim(), after.trim()));
            }
        }
    }
}
