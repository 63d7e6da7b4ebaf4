//! The Rust version in the manifests. No crate uses newer syntax, as far as the list below detects
//! it. Clippy detects newer functions, and only a build with that version is a proof.

use crate::{files, read};

/// Syntax of later versions: since when, its name, and where it begins in a text without comments
/// and literals.
type Newer = ((u32, u32), &'static str, fn(&str) -> Option<usize>);

const NEWER: [Newer; 3] = [
    ((1, 89), "an array of a length that is not said", |code| {
        code.find("; _]")
    }),
    ((1, 95), "`if let` in the guard of a match", if_let_guard),
    ((1, 95), "`cfg_select!`", |code| code.find("cfg_select!")),
];

fn stated() -> (u32, u32) {
    let mut parts = env!("CARGO_PKG_RUST_VERSION").split('.');
    let mut next = || parts.next().unwrap().parse().unwrap();
    (next(), next())
}

/// An `if let` that leads to `=>` instead of a block.
fn if_let_guard(code: &str) -> Option<usize> {
    let begins = code.match_indices("if let ").map(|(at, _)| at);
    begins.into_iter().find(|at| {
        let Some((_, scrutinee)) = code[*at..].split_once(" = ") else {
            return false;
        };
        is_guard(scrutinee)
    })
}

/// Returns whether the text after the `=` of an `if let` ends with `=>`.
fn is_guard(scrutinee: &str) -> bool {
    let mut depth = 0;
    for (at, c) in scrutinee.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                let rest = scrutinee[at + 1..].trim_start();
                // The block of an `if let` is not followed by an arrow or an operator.
                let goes_on = rest.starts_with(['.', '?', '=', '&', '{', '(']);
                if depth < 0 || depth == 0 && c == '}' && !goes_on {
                    return false;
                }
            }
            ';' | ',' if depth == 0 => return false,
            '=' if depth == 0 && scrutinee[at..].starts_with("=>") => return true,
            _ => {}
        }
    }
    false
}

/// Replaces comments and literals of the code by blanks.
fn bare(code: &str) -> String {
    let mut bare = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest).unwrap_or(0);
        if length == 0 {
            bare.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (skipped, after) = rest.split_at(length);
        bare.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { '~' }));
        rest = after;
    }
    bare
}

/// Returns the length of the comment or literal at the beginning of the code.
fn literal(code: &str) -> Option<usize> {
    let until = |from: usize, end: &str| {
        let found = code.get(from..)?.find(end);
        Some(found.map_or(code.len(), |at| from + at + end.len()))
    };
    if code.starts_with("//") {
        return Some(code.find('\n').unwrap_or(code.len()));
    }
    if code.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(raw) = code.strip_prefix("r#") {
        let hashes = 1 + raw.len() - raw.trim_start_matches('#').len();
        if !code[1 + hashes..].starts_with('"') {
            return None;
        }
        return until(2 + hashes, &format!("\"{}", "#".repeat(hashes)));
    }
    if code.starts_with("r\"") {
        return until(2, "\"");
    }
    if let Some(text) = code.strip_prefix('"') {
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return Some(end.map_or(code.len(), |at| at + 2));
    }
    // A character; a lifetime has no second quote so close.
    let inner = code.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        let rest = inner.get(2..)?.find('\'')?;
        return Some(1 + 2 + rest + 1);
    }
    let end = 1 + first.len_utf8();
    code.get(end..)?.starts_with('\'').then_some(end + 1)
}

#[test]
fn crates_use_no_newer_rust_than_stated() {
    let files = files("crates", "rs");
    assert!(files.len() > 100, "the sources were not found");
    let mut newer = Vec::new();
    for file in files {
        let code = bare(&read(&file));
        for (since, what, find) in NEWER.iter().filter(|(since, ..)| *since > stated()) {
            if let Some(at) = find(&code) {
                let line = code[..at].lines().count();
                let (major, minor) = since;
                newer.push(format!(
                    "{}:{line}: {what}, {major}.{minor}",
                    file.display()
                ));
            }
        }
    }
    assert!(newer.is_empty(), "{newer:#?}");
}

#[test]
fn if_let_guard_is_distinguished_from_an_expression() {
    let finds = |code: &str| if_let_guard(&bare(code)).is_some();
    for guard in [
        "match x { _ if let Some(y) = f(x) => y, _ => 0 }",
        "match x { A { b } if let C { d } = b.map(|e| { e }) => d }",
        "match x {\n    Some(_)\n        if let Ok(y) = match x { _ => 1 }\n            && y > 1 =>\n    {\n    }\n}",
    ] {
        assert!(finds(guard), "{guard}");
    }
    for other in [
        "if let Some(x) = y { 1 } else { 2 }",
        "match x { 0 => if let A = b { 1 } else { 2 }, 5 => 3 }",
        "match x { 0 => { if let A = b { 1 } } 5 => 3 }",
        "if let A { b } = match c { _ => d } { e }",
        "let x = \"_ if let A = b => c\"; // _ if let A = b => c",
        "let Some(x) = y else { return }; let z = |c: char| '\"' == c; if let A = b { '=' }",
        "if let A = b && let C = d { match e { _ => f } }",
    ] {
        assert!(!finds(other), "{other}");
    }
}
