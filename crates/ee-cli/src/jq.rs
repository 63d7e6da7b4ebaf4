//! `--jq`: filters JSON with an expression, as in `gh`.

use std::fmt::Write as _;

use earthengine::Remedy;
use jaq_core::compile::Undefined;
use jaq_core::load::{Arena, Error as LoadError, File, Loader};
use jaq_core::{Compiler, Ctx, Exn, Vars, data};
use jaq_json::{Val, read};
use serde_json::Value;

use crate::error::CliError;
use crate::style::escape_unsafe;

type Data = data::JustLut<Val>;

/// The string formats of jq that the library lacks.
const FORMATS: &str = r#"
def @csv: map(if type == "string" then "\"" + gsub("\""; "\"\"") + "\"" elif . == null then "" else tostring end) | join(",");
def @tsv: map(if type == "string" then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r") elif . == null then "" else tostring end) | join("\t");
"#;

/// A compiled expression.
pub(crate) struct Filter(jaq_core::Filter<Data>);

impl Filter {
    pub(crate) fn new(expression: &str) -> Result<Self, CliError> {
        let definitions = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs());
        let functions = jaq_core::funs::<Data>()
            .chain(jaq_std::funs::<Data>())
            .chain(jaq_json::funs::<Data>());
        let arena = Arena::default();
        let invalid = |reason: &str| invalid_expression(expression, reason);
        // Without the formats, positions and quotations would not be those of the user.
        let code = format!("{FORMATS}{expression}");
        let file = File {
            code: code.as_str(),
            path: (),
        };
        let modules = Loader::new(definitions).load(&arena, file).map_err(|all| {
            let first = all.into_iter().next();
            invalid(&first.map_or_else(String::new, |(_, error)| load_reason(&error)))
        })?;
        let filter = Compiler::default()
            .with_funs(functions)
            .compile(modules)
            .map_err(|all| {
                let first = all.into_iter().flat_map(|(_, errors)| errors).next();
                invalid(&first.map_or_else(String::new, |(name, what)| undefined(name, &what)))
            })?;
        Ok(Self(filter))
    }

    /// Applies the expression. Strings are printed as they are, other values as JSON, each on a
    /// line of its own.
    pub(crate) fn apply(&self, json: &[u8]) -> Result<String, CliError> {
        let value = read::parse_single(json).map_err(|_| {
            CliError::usage_with_remedy(
                "--jq needs JSON, and the output is not JSON",
                Remedy::new("Run the command without --jq to see the output."),
            )
        })?;
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new([]));
        let mut text = String::new();
        for result in self.0.id.run((context, value)) {
            match result {
                Ok(Val::TStr(string)) => {
                    text += &escape_unsafe(&String::from_utf8_lossy(&string));
                    text.push('\n');
                }
                // Writing to a string cannot fail.
                Ok(value) => drop(writeln!(text, "{}", escape_unsafe(&value.to_string()))),
                Err(exception) => match error_message(exception) {
                    Some(message) => return Err(failed(&message)),
                    // `halt` ends the output.
                    None => break,
                },
            }
        }
        Ok(text)
    }

    pub(crate) fn apply_to_value(&self, value: &Value) -> Result<String, CliError> {
        self.apply(value.to_string().as_bytes())
    }
}

fn error_message(exception: Exn<'_, Val>) -> Option<String> {
    exception.get_err().ok().map(|error| error.to_string())
}

fn load_reason(error: &LoadError<&str>) -> String {
    let last = match error {
        LoadError::Lex(errors) => errors.last().map(|(what, rest)| (what.as_str(), *rest)),
        LoadError::Parse(errors) => errors.last().map(|(what, rest)| (what.as_str(), *rest)),
        LoadError::Io(_) => return "modules cannot be loaded".to_owned(),
    };
    let Some((expected, rest)) = last else {
        return String::new();
    };
    match rest.trim() {
        "" => format!("expected {expected} at its end"),
        rest => format!("expected {expected} at `{}`", first_chars(rest)),
    }
}

fn undefined(name: &str, what: &Undefined) -> String {
    match what {
        Undefined::Filter(0) => format!("there is no function `{}`", first_chars(name)),
        Undefined::Filter(arguments) => {
            format!("there is no function `{}/{arguments}`", first_chars(name))
        }
        other => format!("there is no {} `{}`", other.as_str(), first_chars(name)),
    }
}

fn first_chars(text: &str) -> String {
    text.chars().take(40).collect()
}

fn invalid_expression(expression: &str, reason: &str) -> CliError {
    CliError::usage_with_remedy(
        &format!(
            "the expression of --jq is invalid: {}: {reason}",
            first_chars(expression)
        ),
        Remedy::new("See https://jqlang.org/manual/ for the language."),
    )
}

fn failed(message: &str) -> CliError {
    CliError::usage_with_remedy(
        &format!("the expression of --jq does not fit the output: {message}"),
        Remedy::new("Run the command with --json, without --jq, to see its output."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &[u8] = br#"{"a": [1, 2.50, "x\u001b[2J"], "n": 12345678901234567890, "s": "say \"hi\"", "z": null}"#;

    fn run(expression: &str) -> Result<String, CliError> {
        Filter::new(expression)?.apply(INPUT)
    }

    #[test]
    fn strings_are_raw_and_other_values_are_json() {
        for (expression, expected) in [
            (".s", "say \"hi\"\n"),
            (".a[0], .z", "1\nnull\n"),
            (".n", "12345678901234567890\n"),
            ("[.s]", "[\"say \\\"hi\\\"\"]\n"),
            (".a | length", "3\n"),
            ("keys | join(\" \")", "a n s z\n"),
            (".missing // \"none\"", "none\n"),
            ("empty", ""),
            (".a[0], halt, .a[1]", "1\n"),
            ("[.s, .a[0], .z] | @csv", "\"say \"\"hi\"\"\",1,\n"),
            ("[.s, \"a\\tb\"] | @tsv", "say \"hi\"\ta\\tb\n"),
            (".s | test(\"^say\")", "true\n"),
        ] {
            assert_eq!(run(expression).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(run(".a[2]").unwrap(), "x\\u001b[2J\n");
        assert_eq!(run("[.a[2]]").unwrap(), "[\"x\\u001b[2J\"]\n");
    }

    #[test]
    fn invalid_expressions_and_misfits_are_usage_errors() {
        for (expression, part) in [
            (".a[", "closing bracket"),
            ("\"\\(.a", "expected"),
            ("foo", "no function `foo`"),
            ("foo(1)", "no function `foo/1`"),
            ("$x", "no variable `$x`"),
            (")", "expected"),
            (".s | .[]", "does not fit"),
            (".a.b", "does not fit"),
            ("error(\"stop\")", "stop"),
        ] {
            let error = run(expression).err().unwrap();
            assert_eq!(error.exit_status(), 2, "{expression}");
            let [text, _] = error.rendered();
            assert!(text.contains(part), "{expression}: {text}");
        }
        assert_eq!(
            Filter::new(".")
                .unwrap()
                .apply(b"<html>")
                .err()
                .unwrap()
                .exit_status(),
            2
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_expressions_end_with_a_result(expression in "[.a-c\\[\\]|,()\"$@0-9 ]{0,12}") {
            if let Err(error) = run(&expression) {
                proptest::prop_assert_eq!(error.exit_status(), 2);
            }
        }
    }
}
