//! Paths in the spelling of another program or another operating system.

use std::fmt;
use std::path::Path;

use ee_token::internal::display_path;

use crate::input::placeholder::Placeholder;

/// A path that no file system call can open as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misspelled {
    spelling: Spelling,
    /// The path to write instead, if it follows from the text.
    correct: Option<String>,
}

/// The maximum number of corrections that are advised. No path is shown for a text that needs more.
const MAX_STEPS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Spelling {
    Quoted,
    OuterWhitespace,
    OuterPunctuation,
    Assignment,
    AtSign,
    FileUrl,
    OtherUrl,
    Home,
    Placeholder(Placeholder),
    /// `C:\…` outside of Windows.
    Windows,
    /// `\\wsl$\Ubuntu\home\…` outside of Windows.
    WslShare,
    NetworkShare,
    /// `/mnt/c/…` or `/c/…` on Windows.
    Unix,
    Backslashes,
    EscapedSpaces,
}

/// Returns what is wrong with the spelling of a path.
pub(crate) fn misspelled(path: &str, is_windows: bool) -> Option<Misspelled> {
    let found = |spelling, correct: Option<String>| Some(Misspelled { spelling, correct });
    let trimmed = path.trim();
    if trimmed != path {
        return found(Spelling::OuterWhitespace, Some(trimmed.to_owned()));
    }
    const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];
    if let Some((name, value)) = path.split_once('=')
        && is_variable(name.trim_start_matches("export ").trim())
    {
        return found(
            Spelling::Assignment,
            Some(value.trim_matches(QUOTES).to_owned()),
        );
    }
    let is_command = path.starts_with('`') && path.matches('`').count() == 2;
    if path.starts_with(QUOTES) && !is_command || path.ends_with(QUOTES) {
        let inner = path.replace(QUOTES, "");
        return found(Spelling::Quoted, Some(inner.trim().to_owned()));
    }
    if path.ends_with([',', ';']) {
        let rest = path.trim_end_matches([',', ';']);
        return found(Spelling::OuterPunctuation, Some(rest.to_owned()));
    }
    if let Some(rest) = path.strip_prefix('@').filter(|rest| !rest.is_empty()) {
        return found(Spelling::AtSign, Some(rest.to_owned()));
    }
    if let Some(rest) = path.strip_prefix("file:") {
        return found(Spelling::FileUrl, Some(of_file_url(rest)));
    }
    if path
        .split_once("://")
        .is_some_and(|(scheme, _)| is_scheme(scheme))
    {
        return found(Spelling::OtherUrl, None);
    }
    if path == "~" || path.starts_with("~/") || path.starts_with("~\\") {
        return found(Spelling::Home, None);
    }
    if let Some(user) = path
        .strip_prefix('~')
        .and_then(|rest| rest.split(['/', '\\']).next())
        && is_user(user)
    {
        return found(Spelling::Home, None);
    }
    if let Some(placeholder) = placeholder(path) {
        return found(Spelling::Placeholder(placeholder), None);
    }
    if is_windows {
        return of_wsl(path).and_then(|correct| found(Spelling::Unix, Some(correct)));
    }
    if let Some(correct) = of_windows(path) {
        return found(Spelling::Windows, Some(correct));
    }
    if let Some(share) = path
        .strip_prefix("\\\\")
        .or_else(|| path.strip_prefix("//wsl"))
    {
        let names = share.split(['\\', '/']).collect::<Vec<_>>();
        let is_wsl = names.first().is_some_and(|host| {
            matches!(
                host.to_ascii_lowercase().as_str(),
                "wsl$" | "wsl.localhost" | "$" | ".localhost"
            )
        });
        return match is_wsl {
            true => {
                let rest = names.get(2..).unwrap_or_default().join("/");
                found(Spelling::WslShare, Some(format!("/{rest}")))
            }
            false => found(Spelling::NetworkShare, None),
        };
    }
    if path.contains("\\ ") {
        return found(Spelling::EscapedSpaces, Some(path.replace("\\ ", " ")));
    }
    if path.contains('\\') {
        return found(Spelling::Backslashes, Some(path.replace('\\', "/")));
    }
    None
}

/// Returns a placeholder in the path, or as the path.
fn placeholder(path: &str) -> Option<Placeholder> {
    let is_name = |found: &Placeholder| {
        // `projects/a.json` is a path.
        !matches!(found, Placeholder::Reference) || path.contains(':')
    };
    if path.contains("path/to/") || path.contains("path\\to\\") {
        return Some(Placeholder::Example);
    }
    Placeholder::find(path)
        .map(|(found, _)| found)
        .or_else(|| Placeholder::identify(path).filter(is_name))
}

fn is_variable(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.contains('_') && name.chars().all(is_of_name)
}

/// A scheme of several letters: `C:` is a drive.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_user(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Returns the path in a `file` URL (RFC 8089).
fn of_file_url(rest: &str) -> String {
    let path = match rest.strip_prefix("//") {
        Some(after) => after.strip_prefix("localhost").unwrap_or(after),
        None => rest,
    };
    let decoded = path.replace("%20", " ");
    match decoded.strip_prefix('/') {
        Some(drive) if drive.get(1..2) == Some(":") => drive.to_owned(),
        _ => decoded,
    }
}

/// Returns the path in WSL of a path of Windows, also as Git's shell writes it (`/c/Users/…`).
fn of_windows(path: &str) -> Option<String> {
    let unrooted = path.strip_prefix('/').unwrap_or(path);
    let drive = unrooted.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = unrooted.get(1..)?.replace('\\', "/");
    let rest = match rest.strip_prefix(':') {
        Some(rest) => rest.to_owned(),
        None => Some(rest).filter(|rest| path.starts_with('/') && rest.starts_with("/Users/"))?,
    };
    let drive = drive.to_ascii_lowercase();
    rest.starts_with('/').then(|| format!("/mnt/{drive}{rest}"))
}

/// Returns the Windows path of a path of WSL (`/mnt/c/…`) or of Git's shell (`/c/…`).
fn of_wsl(path: &str) -> Option<String> {
    let rest = path
        .strip_prefix("/mnt/")
        .or_else(|| path.strip_prefix('/'))?;
    let (drive, rest) = rest.split_once('/')?;
    let is_drive = drive.len() == 1 && drive.bytes().all(|b| b.is_ascii_alphabetic());
    let drive = drive.to_ascii_uppercase();
    is_drive.then(|| format!("{drive}:\\{}", rest.replace('/', "\\")))
}

impl Misspelled {
    /// Returns how to spell the path.
    pub(crate) fn advice(&self) -> String {
        self.advice_up_to(MAX_STEPS)
    }

    fn advice_up_to(&self, steps: usize) -> String {
        let first = match &self.spelling {
            Spelling::Quoted => "Write it without the quotation marks",
            Spelling::OuterWhitespace => "Write it without the whitespace",
            Spelling::OuterPunctuation => "Write it without the punctuation at its end",
            Spelling::Assignment => "Write only the path",
            Spelling::AtSign => "Write it without the @",
            Spelling::FileUrl => "Write the path without the scheme",
            Spelling::OtherUrl => {
                "Only local files are read: download the file, and write its path"
            }
            Spelling::Home => {
                "Only a shell replaces ~ with the home directory: write the whole path"
            }
            Spelling::Placeholder(found) => return found.advice(),
            Spelling::Windows => {
                "In a container, write the path at which the file is mounted. In WSL, write"
            }
            Spelling::WslShare => "Inside of WSL, write",
            Spelling::NetworkShare => "Mount the share, and write the path below the mount point",
            Spelling::Unix => "Write it as Windows does",
            Spelling::Backslashes => "Write it with slashes",
            Spelling::EscapedSpaces => "Only a shell needs backslashes before spaces. Write",
        };
        let first = first.trim_end_matches(':');
        match (&self.correct, self.next()) {
            (Some(_), Some(next)) if steps > 1 => {
                format!("{first}. {}", next.advice_up_to(steps - 1))
            }
            (Some(correct), None) => format!("{first}: {}", display_path(Path::new(correct))),
            _ => format!("{first}."),
        }
    }

    /// Returns what else is wrong with the spelling.
    fn next(&self) -> Option<Self> {
        let correct = self.correct.as_deref()?;
        misspelled(correct, self.spelling == Spelling::Unix || cfg!(windows))
    }

    /// Returns the path to write instead, if it follows from the text.
    pub(crate) fn correct(&self) -> Option<&str> {
        // Whether it is that of WSL, only the user knows.
        let is_certain = self.spelling != Spelling::Windows && self.next().is_none();
        self.correct.as_deref().filter(|_| is_certain)
    }
}

/// What the value is.
impl fmt::Display for Misspelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.spelling {
            Spelling::Quoted => "a path in quotation marks",
            Spelling::OuterWhitespace => "a path with a space or a line break around it",
            Spelling::OuterPunctuation => "a path with a comma or a semicolon at its end",
            Spelling::Assignment => "an assignment to a variable, not a path",
            Spelling::AtSign => "a path after an @",
            Spelling::FileUrl | Spelling::OtherUrl => "a URL, not a path",
            Spelling::Home => "a path with ~, which was not expanded",
            Spelling::Placeholder(found) => return write!(f, "{found}"),
            Spelling::Windows => "a path of Windows, and this is another system",
            Spelling::WslShare => "a path of Windows to a file in WSL, and this is WSL itself",
            Spelling::NetworkShare => "a network path of Windows, and this is another system",
            Spelling::Unix => "a path of WSL, and this is Windows",
            Spelling::Backslashes => {
                "a path with backslashes, as on Windows, and this is another system"
            }
            Spelling::EscapedSpaces => "a path with backslashes before its spaces",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_other_programs_are_named_with_the_correct_path() {
        let check = |path: &str, noun: &str, advice: &str| {
            let found = misspelled(path, false).unwrap_or_else(|| panic!("{path}"));
            assert!(found.to_string().contains(noun), "{path}: {found}");
            let actual = found.advice();
            assert!(actual.contains(advice), "{path}: {actual}");
        };
        for (path, noun, advice) in [
            ("\"/home/j/k.json\"", "quotation marks", ": /home/j/k.json"),
            ("'/home/j/k.json'", "quotation marks", ": /home/j/k.json"),
            ("\"/home/j/k.json", "quotation marks", ": /home/j/k.json"),
            ("“/home/j/k.json”", "quotation marks", ": /home/j/k.json"),
            ("\"C:\\k.json\"", "quotation marks", "write: /mnt/c/k.json"),
            ("/home/j/k.json\r", "line break", ": /home/j/k.json"),
            (" /home/j/k.json", "space", ": /home/j/k.json"),
            (
                "GOOGLE_APPLICATION_CREDENTIALS=/k.json",
                "an assignment",
                "path: /k.json",
            ),
            (
                "export EE_CONFIG_FILE='/k.json'",
                "an assignment",
                "path: /k.json",
            ),
            ("@/home/j/k.json", "an @", ": /home/j/k.json"),
            ("file:///home/j/k.json", "a URL", ": /home/j/k.json"),
            (
                "file://localhost/home/j/a%20k.json",
                "a URL",
                ": /home/j/a k.json",
            ),
            ("file:/home/j/k.json", "a URL", ": /home/j/k.json"),
            (
                "file:///C:/Users/k.json",
                "a URL",
                "write: /mnt/c/Users/k.json",
            ),
            ("gs://bucket/k.json", "a URL", "download"),
            ("https://example.com/k.json", "a URL", "download"),
            ("~/k.json", "~, which was not expanded", "whole path"),
            ("~jane/k.json", "~, which was not expanded", "whole path"),
            ("~\\k.json", "~, which was not expanded", "whole path"),
            (
                "${{ github.workspace }}/k.json",
                "${{ … }}, which was not replaced",
                "template",
            ),
            (
                "{{ .Values.path }}",
                "{{ … }}, which was not replaced",
                "template",
            ),
            ("$(git x)/k.json", "a command", "Only a shell"),
            ("/path/to/key.json", "an example", "your own"),
            ("/secrets/<name>.json", "an example", "your own"),
            ("undefined", "the word \"undefined\"", "does not exist"),
            ("***", "a masked secret", "masked"),
            (
                "C:\\Users\\Jane\\k.json",
                "Windows",
                "write: /mnt/c/Users/Jane/k.json",
            ),
            ("d:/k.json", "Windows", "write: /mnt/d/k.json"),
            (
                "\\\\wsl$\\Ubuntu\\home\\j\\k.json",
                "in WSL",
                "write: /home/j/k.json",
            ),
            (
                "\\\\wsl.localhost\\Ubuntu\\home\\j\\k.json",
                "in WSL",
                "write: /home/j/k.json",
            ),
            ("\\\\server\\share\\k.json", "a network path", "Mount"),
            (
                "/c/Users/Jane/k.json",
                "Windows",
                "write: /mnt/c/Users/Jane/k.json",
            ),
            (
                "/C:/Users/Jane/k.json",
                "Windows",
                "write: /mnt/c/Users/Jane/k.json",
            ),
            ("'~/k.json'", "quotation marks", "marks. Only a shell"),
            ("\"$HOME\"/k.json", "quotation marks", "marks. Only a shell"),
            ("/home/j/k.json;", "semicolon", ": /home/j/k.json"),
            ("/home/j/k.json,,", "comma", ": /home/j/k.json"),
            ("secrets\\k.json", "backslashes", ": secrets/k.json"),
            (
                "/home/j/My\\ Files/k.json",
                "before its spaces",
                "Write: /home/j/My Files/k.json",
            ),
        ] {
            check(path, noun, advice);
        }
        for (path, variable) in [
            ("$HOME/k.json", "$HOME"),
            ("${HOME}/k.json", "${HOME}"),
            ("/home/$USER/k.json", "$USER"),
            ("%APPDATA%\\gcloud\\k.json", "%APPDATA%"),
            ("$env:APPDATA\\k.json", "$env:APPDATA"),
            ("$(HOME)/k.json", "$(HOME)"),
        ] {
            let noun = format!("{variable}, which was not expanded");
            check(path, &noun, "Only a shell");
        }
        for (path, correct) in [
            ("/mnt/c/Users/Jane/k.json", "C:\\Users\\Jane\\k.json"),
            ("/c/Users/Jane/k.json", "C:\\Users\\Jane\\k.json"),
        ] {
            let found = misspelled(path, true).unwrap();
            assert_eq!(found.correct(), Some(correct));
        }
    }

    #[test]
    fn advice_on_many_mistakes_is_short() {
        for part in [",", ", ", " ,;", "@", "file:", "A_B=", "file:\"@", "/c/"] {
            for long in [format!("/k{}", part.repeat(20_000)), part.repeat(20_000)] {
                let advice = misspelled(&long, false).map(|found| found.advice());
                let words = advice.unwrap_or_default().replace(part, "");
                assert!(words.len() < 200, "{part}: {words}");
            }
        }
        let found = misspelled("@file:///k.json, ,;", false).unwrap();
        let steps = "Write it without the punctuation at its end. Write it without the whitespace. \
            Write it without the punctuation at its end. Write it without the @.";
        assert_eq!(found.advice(), steps);
    }

    #[test]
    fn paths_of_this_system_are_correct() {
        for path in [
            "/home/jane/key.json",
            "key.json",
            "./key.json",
            "../key.json",
            "a=b.json",
            "my key.json",
            "/home/ÄÖÜ 森/ключ.json",
            "/Program Files (x86)/a",
            "/a%20b",
            "/data/100%/k.json",
            "x",
            "/home/jane/a~/k.json",
            "~",
            "/home/it's/k.json",
            "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}/key.json",
            "{project}/key.json",
            "projects/a.json",
            "",
        ] {
            assert_eq!(
                misspelled(path, false).filter(|_| path != "~"),
                None,
                "{path}"
            );
        }
        for path in [
            "C:\\Users\\Jane\\k.json",
            "\\\\server\\share\\k.json",
            "/k.json",
            "secrets\\k.json",
        ] {
            assert_eq!(misspelled(path, true), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_checked_without_panic(text in "(?s)[~$%{}<>`\"'\\\\/:=@a-cA-C_ ()]{0,40}", is_windows: bool) {
            let _ = misspelled(&text, is_windows);
        }
    }
}
