//! What can be said after `eectl api`; the flags are those of `gh api` where it has the same.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

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

    #[command(flatten)]
    pub(crate) fields: Fields,

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

/// The fields of both options, in the order in which they were given.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) text: String,
    /// Whether `true`, numbers and `@FILE` are more than text.
    pub(crate) has_meaning: bool,
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
            .arg(option(RAW_FIELD, 'f').help("A text field of the JSON body, or with GET or --input a query parameter (repeatable); K may be `a[b]` or `a[]`"))
            .arg(option(FIELD, 'F').help("The same, with a meaning for true, false, null, numbers, and @FILE for a file's text (repeatable)"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Fields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut fields = Vec::new();
        for (name, has_meaning) in [(RAW_FIELD, false), (FIELD, true)] {
            let places = matches.indices_of(name).into_iter().flatten();
            let given = matches.get_many::<(String, String)>(name);
            for (place, (key, text)) in places.zip(given.into_iter().flatten()) {
                let field = Field {
                    key: key.clone(),
                    text: text.clone(),
                    has_meaning,
                };
                fields.push((place, field));
            }
        }
        fields.sort_by_key(|(place, _)| *place);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_a_pair_nothing_is_lost_and_its_name_ends_at_the_first_sign(text in ".*[=:]?.*") {
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
