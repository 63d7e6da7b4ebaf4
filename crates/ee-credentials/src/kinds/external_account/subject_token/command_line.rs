//! Splitting a command line into words like a POSIX shell, without variables, globs or pipes. The
//! reference client uses Python's `shlex.split`.

/// Splits a command line, or returns why it is invalid.
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

/// Reads up to the closing quote. Between double quotes, a backslash escapes `"` and itself.
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
    fn words_match_python_shlex() {
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
        fn quoted_words_round_trip(words in proptest::collection::vec(".{0,20}", 0..6)) {
            let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
            let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
            assert_eq!(split(&line), Ok(words));
        }

        #[test]
        fn displayed_path_is_one_word(path in "(?s).{0,40}") {
            let shown = ee_token::internal::display_path(path.as_ref());
            let line = crate::input::shell::shell_quoted(path.as_ref());
            assert_eq!(split(&line), Ok(vec![shown]));
        }
    }
}
