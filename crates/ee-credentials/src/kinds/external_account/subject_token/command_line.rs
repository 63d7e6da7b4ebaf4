//! A command line taken apart as a POSIX shell would, and nothing else of a shell: no variables,
//! no globs, no pipes. (Python's `shlex.split`, which the reference client uses.)

/// The words of a command line, or why there are none.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut characters, word.get_or_insert_default(), '\'')?,
            '"' => quoted(&mut characters, word.get_or_insert_default(), '"')?,
            '\\' => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// What stands up to the closing quote. A backslash counts before `"` and itself, between
/// double quotes only.
fn quoted(
    characters: &mut std::str::Chars<'_>,
    word: &mut String,
    quote: char,
) -> Result<(), &'static str> {
    loop {
        match characters.next() {
            None => return Err("a quote in it is not closed"),
            Some(character) if character == quote => return Ok(()),
            Some('\\') if quote == '"' => match characters.next() {
                None => return Err("a quote in it is not closed"),
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
            },
            Some(other) => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_python_finds() {
        for (line, words) in [
            ("", &[][..]),
            ("  a  b\tc\n", &["a", "b", "c"]),
            ("/bin/x --y='a b' \"c d\"e", &["/bin/x", "--y=a b", "c de"]),
            (r#"a\ b 'c\d' "e\"f\g""#, &["a b", r"c\d", r#"e"f\g"#]),
            ("'' \"\"", &["", ""]),
            (
                "a;b $(c) | d > e `f` *",
                &["a;b", "$(c)", "|", "d", ">", "e", "`f`", "*"],
            ),
            ("a#b #c", &["a#b", "#c"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(line).is_err(), "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn words_in_quotes_are_the_words_again(words in proptest::collection::vec(".{0,20}", 0..6)) {
            let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
            let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
            assert_eq!(split(&line), Ok(words));
        }

        #[test]
        fn a_path_as_commands_show_it_is_one_word_and_the_path_again(path in "(?s).{0,40}") {
            let shown = ee_token::display_path(path.as_ref());
            let line = crate::input::shell::shell_quoted(path.as_ref());
            assert_eq!(split(&line), Ok(vec![shown]));
        }
    }
}
