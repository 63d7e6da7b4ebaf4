//! The vocabulary of the project: one plain term per idea, American spelling, short names.

use crate::{files, read};

/// Phrases with a plain standard term. `*` stands for any word.
#[rustfmt::skip]
const PHRASES: &[&str] = &[
    "all the same", "are told", "behind * back", "everybody", "for the moment",
    "if nothing else is said", "if nothing is said", "in the place of", "in whose name",
    "is none", "is over", "is told", "looked over", "looks over", "nobody", "passed over",
    "somebody", "take no notice", "takes no notice", "turned away", "turned back", "was told",
    "were told", "whereabouts", "whoever",
];
/// Texts that may not be in a line, because of their punctuation.
const LABELS: &[&str] = &["what to do:", "time-out"];

/// The beginnings of words in British spelling.
#[rustfmt::skip]
const BRITISH: &[&str] = &[
    "analyse", "analysing", "behaviour", "centre", "colour", "favour", "grey", "honour", "labour",
    "licence", "neighbour",
];
/// The stems of verbs in `-ise`.
#[rustfmt::skip]
const BRITISH_VERBS: &[&str] = &[
    "authoris", "capitalis", "customis", "emphasis", "finalis", "generalis", "initialis",
    "localis", "materialis", "maximis", "minimis", "normalis", "optimis", "organis", "prioritis",
    "randomis", "realis", "recognis", "sanitis", "serialis", "specialis", "standardis",
    "summaris", "synchronis", "tokenis", "utilis", "visualis",
];

const MAX_NAME_LENGTH: usize = 60;

/// Quotations, by file.
const QUOTATIONS: &[(&str, &str)] = &[
    // This list.
    ("tests/architecture/words.rs", ""),
];

/// Parts that are not checked yet.
const NOT_YET_REWRITTEN: &[&str] = &[];

/// The extensions of checked files.
const EXTENSIONS: [&str; 6] = ["rs", "md", "toml", "py", "js", "cjs"];

/// Returns the checked files, relative to the root.
fn checked_files() -> Vec<String> {
    let mut all = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for dir in ["crates", "docs", "tests", "xtask"] {
        for extension in EXTENSIONS {
            let found = files(dir, extension).into_iter();
            all.extend(found.map(|path| path.display().to_string().replace('\\', "/")));
        }
    }
    all.retain(|path| !starts_with_any(path, NOT_YET_REWRITTEN));
    all
}

fn starts_with_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// A word of a text.
struct Word<'a> {
    text: &'a str,
    line: usize,
    /// Whether it continues the phrase of the previous word, possibly on the next line of a comment.
    continues: bool,
}

/// Splits a text into words. `_` separates words, too.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphabetic) {
        let (gap, tail) = rest.split_at(start);
        line += gap.matches('\n').count();
        let is_gap = |c: char| c.is_whitespace() || "/!#>*".contains(c);
        let end = tail.find(|c: char| !c.is_alphabetic() && c != '\'');
        let end = end.unwrap_or(tail.len());
        words.push(Word {
            text: tail[..end].trim_end_matches("'s"),
            line,
            continues: !gap.is_empty() && gap.chars().all(is_gap),
        });
        rest = &tail[end..];
    }
    words
}

fn is_british(word: &str) -> bool {
    let is_verb = |stem: &&str| {
        let ending = word.strip_prefix(*stem);
        ending.is_some_and(|ending| ending.starts_with(['a', 'e', 'i']))
    };
    starts_with_any(word, BRITISH) || BRITISH_VERBS.iter().any(is_verb) && !word.ends_with("istic")
}

/// Returns the phrases of the lists in a text, with their lines.
fn findings(text: &str) -> Vec<(usize, String)> {
    let words = words(text);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let lower = word.text.to_lowercase();
        let is_match = |phrase: &&&str| {
            let mut parts = phrase.split(' ').enumerate();
            parts.all(|(offset, part)| {
                words.get(at + offset).is_some_and(|next| {
                    let is_equal = part == "*" || next.text.eq_ignore_ascii_case(part);
                    is_equal && (offset == 0 || next.continues)
                })
            })
        };
        let phrases = PHRASES.iter().filter(is_match);
        found.extend(phrases.map(|phrase| (word.line, (*phrase).to_owned())));
        if is_british(&lower) {
            found.push((word.line, lower));
        }
    }
    for (index, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        let labels = LABELS.iter().filter(|label| line.contains(*label));
        found.extend(labels.map(|label| (index + 1, (*label).to_owned())));
    }
    found
}

#[test]
fn texts_use_the_standard_terms() {
    let mut all = Vec::new();
    let files = checked_files();
    assert!(files.len() > 200, "the files were not found");
    for path in &files {
        let text = read(path);
        let lines: Vec<&str> = text.lines().collect();
        for (line, phrase) in findings(&text) {
            let is_quotation = QUOTATIONS
                .iter()
                .any(|(file, quotation)| path == file && lines[line - 1].contains(quotation));
            if !is_quotation {
                all.push(format!("{path}:{line}: {phrase}"));
            }
        }
    }
    assert!(
        all.is_empty(),
        "{} findings:\n{}",
        all.len(),
        all.join("\n")
    );
}

#[test]
fn phrases_are_found_in_comments_and_names() {
    let text = "fn ask_nobody() {}\n/// A token that is\n/// over. Behaviour\nx.is_none() is, over";
    let expected = [(1, "nobody"), (2, "is over"), (3, "behaviour")];
    let found = findings(text);
    let found: Vec<_> = found
        .iter()
        .map(|(line, text)| (*line, text.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn function_names_are_short() {
    let mut long = Vec::new();
    for path in checked_files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
    {
        for (index, line) in read(&path).lines().enumerate() {
            let Some((_, rest)) = line.split_once("fn ") else {
                continue;
            };
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            if name.len() > MAX_NAME_LENGTH {
                long.push(format!("{path}:{}: {name}", index + 1));
            }
        }
    }
    assert!(
        long.is_empty(),
        "{} names:\n{}",
        long.len(),
        long.join("\n")
    );
}
