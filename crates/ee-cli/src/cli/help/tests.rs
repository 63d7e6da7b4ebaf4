//! Every page of the help is compared with a file in `tests/help`. To write the files again, run
//! the test with `EE_TESTS_WRITE=1`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::parse::command;
use super::*;

/// Returns the name and the help of each command, also of hidden ones: short and long.
fn all_help() -> Vec<(String, [String; 2])> {
    fn add(command: &Command, all: &mut Vec<(String, [String; 2])>) {
        let name = command.get_bin_name().unwrap_or("eectl").to_owned();
        let [mut short, mut long] = [command.clone(), command.clone()];
        let texts = [
            short.render_help().to_string(),
            long.render_long_help().to_string(),
        ];
        all.push((name, texts));
        let inner = command.get_subcommands();
        inner
            .filter(|inner| inner.get_name() != "help")
            .for_each(|inner| add(inner, all));
    }
    let mut root = with_pages(command(), DEFAULT_WIDTH);
    root.build();
    let mut all = Vec::new();
    add(&root, &mut all);
    all
}

#[test]
fn help_is_that_in_the_snapshots() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let is_written = std::env::var_os("EE_TESTS_WRITE").is_some();
    if is_written {
        fs::create_dir_all(&dir).unwrap();
    } else if !dir.exists() {
        // The published package does not contain them.
        return;
    }
    let mut files = BTreeSet::new();
    for (name, [short, long]) in all_help() {
        let file = name.replace(' ', "-") + ".txt";
        let text = format!("$ {name} -h\n{short}\n$ {name} --help\n{long}");
        let text: Vec<_> = text.lines().map(str::trim_end).collect();
        let text = text.join("\n") + "\n";
        if is_written {
            fs::write(dir.join(&file), &text).unwrap();
        }
        let expected = fs::read_to_string(dir.join(&file)).unwrap_or_default();
        assert_eq!(text, expected, "{file} differs; see the comment above");
        files.insert(file);
    }
    let found = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    for file in found.map(|name| name.into_string().unwrap()) {
        if is_written && !files.contains(&file) {
            fs::remove_file(dir.join(&file)).unwrap();
        } else {
            assert!(files.contains(&file), "{file} is of no command");
        }
    }
}

#[test]
fn no_line_is_longer_than_80_columns_and_no_word_is_broken() {
    let wide = all_words(10_000);
    for (name, texts) in all_help() {
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= DEFAULT_WIDTH, "{name}: {line}");
        }
        for word in texts.iter().flat_map(|text| text.split_whitespace()) {
            assert!(wide.contains(word), "{name}: {word} is broken");
        }
    }
}

/// Returns the words of all pages at this width.
fn all_words(width: usize) -> BTreeSet<String> {
    fn add(command: &Command, all: &mut BTreeSet<String>) {
        let [mut short, mut long] = [command.clone(), command.clone()];
        for text in [short.render_help(), long.render_long_help()] {
            all.extend(text.to_string().split_whitespace().map(str::to_owned));
        }
        command.get_subcommands().for_each(|inner| add(inner, all));
    }
    let mut root = with_pages(command(), width);
    root.build();
    let mut all = BTreeSet::new();
    add(&root, &mut all);
    all
}

#[test]
fn every_command_has_a_page_with_examples_and_statuses() {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut names = BTreeSet::new();
    let mut rest = vec![(&root, String::new())];
    while let Some((command, name)) = rest.pop() {
        for inner in command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set())
        {
            let inner_name = format!("{name} {}", inner.get_name());
            rest.push((inner, inner_name.trim_start().to_owned()));
        }
        names.insert(name);
    }
    for name in &names {
        let page = page(name).unwrap_or_else(|| panic!("`{name}` has no page"));
        assert!(!page.examples.is_empty(), "{name}");
        assert!(
            page.environment.iter().any(|group| !group.is_empty()),
            "{name}"
        );
        assert!(
            [0, 1, 2]
                .iter()
                .all(|status| page.statuses.contains(status)),
            "{name}"
        );
    }
    let named: BTreeSet<_> = pages().map(|page| page.name.to_owned()).collect();
    assert_eq!(named.len(), pages().count(), "two pages of a command");
    assert_eq!(named, names);
}

#[test]
fn examples_are_valid_command_lines() {
    for page in pages() {
        for (_, line) in page.examples {
            let Some(arguments) = line.strip_prefix("eectl ") else {
                continue;
            };
            let line = arguments.replace("\\\n", " ");
            let end = line.find(['|', '>', '<']).filter(|_| !line.contains('\''));
            let line = &line[..end.unwrap_or(line.len())];
            let args = std::iter::once("eectl".to_owned()).chain(shell_words(line));
            let args: Vec<_> = args.map(std::ffi::OsString::from).collect();
            if let Err(error) = command().try_get_matches_from(&args) {
                panic!("{line}: {error}");
            }
        }
    }
}

/// Splits a line at its spaces, except those in single quotation marks.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.trim().chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn ignored_options_are_global_options() {
    let command = command();
    let ids: BTreeSet<_> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .map(|argument| argument.get_id().as_str().to_owned())
        .collect();
    for page in pages() {
        for id in page.ignored.iter().flat_map(|group| group.iter()) {
            assert!(ids.contains(*id), "{}: {id}", page.name);
        }
    }
}
