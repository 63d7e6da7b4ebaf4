//! Recognizing text that stands for a value, because the program that should have replaced it did
//! not: `undefined`, `***`, `$HOME`, `${{ secrets.KEY }}`.

use std::fmt;
use std::ops::Range;

use crate::input::quote::clipped;

/// A text that stands for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// A program's word for a missing value.
    Word(String),
    /// A masked secret.
    Masked,
    /// A variable, as shells and programs write it: `$HOME`, `${HOME}`, `%HOME%`, `$env:HOME`.
    /// A default (`${HOME:-/root}`) is left out.
    Variable(String),
    /// An expression of a template, as its first and last characters.
    Template(&'static str),
    /// The substitution of a command.
    Command,
    /// `<your token>`, `/path/to/key.json`.
    Example,
    /// The name of a secret in a store of secrets.
    Reference,
}

/// Words for missing values, and of examples.
const WORDS: [&str; 22] = [
    "undefined",
    "null",
    "(null)",
    "nil",
    "<nil>",
    "none",
    "(none)",
    "nan",
    "n/a",
    "not set",
    "unset",
    "not-set",
    "not_set",
    "missing",
    "true",
    "false",
    "[object object]",
    "todo",
    "tbd",
    "changeme",
    "change-me",
    "change_me",
];
const EXAMPLES: [&str; 7] = [
    "your-",
    "your_",
    "replace-me",
    "replace_me",
    "replaceme",
    "placeholder",
    "example-",
];
/// The beginnings of names of secrets: 1Password, Vault, Secret Manager, AWS, Azure, Bitwarden, SOPS.
const REFERENCES: [&str; 17] = [
    "op://",
    "vault:",
    "vault://",
    "projects/",
    "secretmanager:",
    "sm://",
    "gcp:secretmanager",
    "gcpsm://",
    "arn:aws:",
    "ssm:",
    "ssm://",
    "awssm://",
    "@microsoft.keyvault(",
    "bws://",
    "enc[",
    "secret://",
    "keyring:",
];

impl Placeholder {
    /// Identifies a text that is a placeholder as a whole.
    pub(crate) fn identify(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let starts = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
        let is_word = !text.contains(char::is_whitespace);
        let is_only = |c: char| text.chars().count() > 2 && text.chars().all(|other| other == c);
        let has_redacted = ["redacted", "masked", "hidden"]
            .iter()
            .any(|word| lower.trim_matches(['[', ']', '<', '>', '*', '(', ')']) == *word);
        Some(match () {
            () if WORDS.contains(&lower.as_str()) => Self::Word(text.to_owned()),
            () if has_redacted || ['*', '•', '…', '.', 'x', 'X'].into_iter().any(is_only) => {
                Self::Masked
            }
            () if starts(&EXAMPLES) && is_word => Self::Example,
            () if starts(&REFERENCES) && is_word => Self::Reference,
            () => {
                let (found, range) = Self::find(text)?;
                return Some(found).filter(|_| range == (0..text.len()));
            }
        })
    }

    /// Finds the first placeholder in a text.
    pub(crate) fn find(text: &str) -> Option<(Self, Range<usize>)> {
        text.char_indices().find_map(|(at, c)| {
            let (found, length) = match c {
                '$' | '%' | '{' | '<' | '`' | '#' | '(' | '_' => Self::at_start(text.get(at..)?)?,
                _ => return None,
            };
            Some((found, at..at + length))
        })
    }

    /// Identifies a placeholder at the start of a text. Returns its length, too.
    fn at_start(text: &str) -> Option<(Self, usize)> {
        let until = |end: &str| text.find(end).map(|at| at + end.len());
        for (start, end, name) in [
            ("${{", "}}", "${{ … }}"),
            ("{{", "}}", "{{ … }}"),
            ("<%", "%>", "<% … %>"),
            ("#{", "}", "#{ … }"),
            ("((", "))", "(( … ))"),
        ] {
            if text.starts_with(start) {
                return Some((Self::Template(name), until(end)?));
            }
        }
        if let Some(inner) = text.strip_prefix("$(") {
            let end = until(")")?;
            // Kubernetes and make write a variable in this way.
            let is_variable = inner.get(name(inner).len()..)?.starts_with(')');
            return Some(match is_variable {
                true => (Self::Variable(clipped(text.get(..end)?)), end),
                false => (Self::Command, end),
            });
        }
        if text.starts_with('`') {
            let end = text.get(1..)?.find('`')?;
            return Some((Self::Command, end + 2));
        }
        if text.starts_with('<') {
            let end = until(">")?;
            return (end > 2).then_some((Self::Example, end));
        }
        // `${NAME}` and `${NAME:-default}`, `$env:NAME`, `$NAME`, `%NAME%`, `__NAME__`.
        for (start, end) in [
            ("${", "}"),
            ("$env:", ""),
            ("$Env:", ""),
            ("$", ""),
            ("%", "%"),
            ("__", "__"),
        ] {
            let Some(rest) = text.strip_prefix(start) else {
                continue;
            };
            let name = name(rest);
            let tail = rest.get(name.len()..)?;
            let is_default = start == "${" && tail.starts_with([':', '-', '?', '+', '=']);
            let length = match is_default {
                true => until(end)?,
                false if tail.starts_with(end) => start.len() + name.len() + end.len(),
                false => continue,
            };
            // `__pycache__` is a name of its own.
            let is_name = start != "__" || !name.contains(|c: char| c.is_ascii_lowercase());
            if !name.is_empty() && is_name {
                // The default may be a secret.
                let variable = clipped(&format!("{start}{name}{end}"));
                return Some((Self::Variable(variable), length));
            }
        }
        None
    }

    /// Returns how to replace it.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::Word(_) => "The value that it was set from does not exist: check the name of that secret or variable, and whether this job may read it.".to_owned(),
            Self::Masked => "A masked secret cannot be read back: copy the value from where it was created.".to_owned(),
            Self::Variable(name) => format!("Only a shell replaces {name} with its value: write the value in its place."),
            Self::Template(name) => format!("Only the program that the template is written for replaces {name}: check that it reads this file and knows the name, or write the value in its place."),
            Self::Command => "Only a shell runs a command in its place: write the command's output.".to_owned(),
            Self::Example => "Write your own value in its place.".to_owned(),
            Self::Reference => "Have the store's own program read the secret, and set its value.".to_owned(),
        }
    }
}

/// Returns the name of a variable at the start of a text.
fn name(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let name = &text[..end];
    // `%20` is an escape, and `$1` an argument. Underscores at the end belong to `__NAME__`.
    let name = name.trim_end_matches("__");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    name
}

/// What the text is.
impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "the word {:?}", clipped(word)),
            Self::Masked => f.write_str("a masked secret"),
            Self::Variable(name) => write!(f, "{name}, which was not expanded"),
            Self::Template(name) => write!(f, "{name}, which was not replaced"),
            Self::Command => f.write_str("a command in $(…), which no shell has expanded"),
            Self::Example => f.write_str("a placeholder of an example"),
            Self::Reference => {
                f.write_str("the name of a secret in a secret store, not the secret")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_identified() {
        for (text, noun) in [
            ("undefined", "the word \"undefined\""),
            ("NULL", "the word \"NULL\""),
            ("None", "the word \"None\""),
            ("[object Object]", "the word \"[object Object]\""),
            ("***", "a masked secret"),
            ("••••••", "a masked secret"),
            ("[REDACTED]", "a masked secret"),
            ("xxxxxxxx", "a masked secret"),
            ("$TOKEN", "$TOKEN, which was not expanded"),
            ("${EE_TOKEN}", "${EE_TOKEN}, which was not expanded"),
            ("${EE_TOKEN:-}", "${EE_TOKEN}, which was not expanded"),
            ("${EE_TOKEN:-1//0g}", "${EE_TOKEN}, which was not expanded"),
            (
                "${EE_TOKEN-{\"a\": 1}",
                "${EE_TOKEN}, which was not expanded",
            ),
            ("${EE_TOKEN:=GOCSPX}", "${EE_TOKEN}, which was not expanded"),
            ("${EE_TOKEN?not set}", "${EE_TOKEN}, which was not expanded"),
            ("%EE_TOKEN%", "%EE_TOKEN%, which was not expanded"),
            ("$env:EE_TOKEN", "$env:EE_TOKEN, which was not expanded"),
            ("$(EE_TOKEN)", "$(EE_TOKEN), which was not expanded"),
            ("__EE_TOKEN__", "__EE_TOKEN__, which was not expanded"),
            ("${{ secrets.TOKEN }}", "${{ … }}, which was not replaced"),
            ("{{ .Values.token }}", "{{ … }}, which was not replaced"),
            ("<%= token %>", "<% … %>, which was not replaced"),
            ("#{token}", "#{ … }, which was not replaced"),
            ("((token))", "(( … )), which was not replaced"),
            (
                "$(cat key.json)",
                "a command in $(…), which no shell has expanded",
            ),
            (
                "`cat key.json`",
                "a command in $(…), which no shell has expanded",
            ),
            ("<refresh token>", "a placeholder of an example"),
            ("your-refresh-token", "a placeholder of an example"),
            (
                "op://vault/item/field",
                "the name of a secret in a secret store, not the secret",
            ),
            (
                "projects/1/secrets/ee/versions/latest",
                "the name of a secret in a secret store, not the secret",
            ),
            (
                "@Microsoft.KeyVault(SecretUri=https://v)",
                "the name of a secret in a secret store, not the secret",
            ),
        ] {
            let found = Placeholder::identify(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.to_string(), noun);
            assert!(found.advice().ends_with('.'), "{text}");
        }
        for text in [
            "",
            "1//0gabc",
            "ya29.abc",
            "my-project",
            "{\"a\": 1}",
            "a$HOME",
            "100%",
            "a%20b%20c",
            "$",
            "$1",
            "${",
            "<",
            "<>",
            "{{",
            "__init__.py",
            "x",
            "nonesuch",
        ] {
            assert_eq!(Placeholder::identify(text), None, "{text}");
        }
    }

    #[test]
    fn placeholders_are_found_in_paths() {
        for (text, found) in [
            ("$HOME/key.json", "$HOME"),
            ("/home/${USER}/key.json", "${USER}"),
            ("%APPDATA%\\gcloud\\key.json", "%APPDATA%"),
            ("$env:APPDATA\\gcloud", "$env:APPDATA"),
            (
                "${{ github.workspace }}/key.json",
                "${{ github.workspace }}",
            ),
            ("$(git rev-parse)/key.json", "$(git rev-parse)"),
            ("$Env:APPDATA\\gcloud", "$Env:APPDATA"),
            ("/secrets/<name>.json", "<name>"),
        ] {
            let (_, range) = Placeholder::find(text).unwrap();
            assert_eq!(&text[range], found);
        }
        for text in [
            "/home/jane/key.json",
            "C:\\Users\\a b\\key.json",
            "/a%20b%20c",
            "/Program Files (x86)/a",
            "/app/__pycache__/a",
        ] {
            assert_eq!(Placeholder::find(text), None, "{text}");
        }
    }
}
