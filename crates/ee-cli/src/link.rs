//! Links that a terminal can open (OSC 8).

use std::io::IsTerminal;

use earthengine::Environment;
use earthengine::credentials::login::Url;

/// The variable that states whether the terminal supports links, as in other programs.
const FORCE: &str = "FORCE_HYPERLINK";
/// The values of `TERM_PROGRAM` of terminals with links.
const PROGRAMS: [&str; 8] = [
    "Hyper",
    "Tabby",
    "WarpTerminal",
    "WezTerm",
    "ghostty",
    "iTerm.app",
    "rio",
    "vscode",
];
/// The beginnings of `TERM` of terminals with links.
const TERMS: [&str; 6] = [
    "alacritty",
    "contour",
    "foot",
    "wezterm",
    "xterm-ghostty",
    "xterm-kitty",
];
/// The first versions of VTE (GNOME Terminal and others) and Konsole with links.
const VERSIONS: [(&str, u32); 2] = [("VTE_VERSION", 5001), ("KONSOLE_VERSION", 200_400)];

/// Returns the URL, as a link if the stream is a terminal that supports links. A long URL can then
/// be opened although it is wrapped.
pub(crate) fn link(url: &Url, stream: &impl IsTerminal) -> String {
    render(
        url,
        stream.is_terminal() && supports_links(&Environment::current()),
    )
}

/// A serialized URL contains no control characters.
fn render(url: &Url, as_link: bool) -> String {
    match as_link {
        true => format!("\u{1b}]8;;{url}\u{1b}\\{url}\u{1b}]8;;\u{1b}\\"),
        false => url.to_string(),
    }
}

/// Returns whether the terminal supports links. Others may print the sequence, so that only known
/// ones count.
fn supports_links(environment: &Environment) -> bool {
    let term = environment.var("TERM").unwrap_or_default();
    match environment.var(FORCE) {
        _ if term == "dumb" => return false,
        Some(value) => return value != "0",
        None => {}
    }
    // A multiplexer may not pass the sequence on.
    if environment.var("TMUX").is_some() || term.starts_with("screen") || term.starts_with("tmux") {
        return false;
    }
    let program = environment.var("TERM_PROGRAM").unwrap_or_default();
    let has_version = |(name, first): &(&str, u32)| {
        let version = environment.var(name).and_then(|text| text.parse().ok());
        version.is_some_and(|version: u32| version >= *first)
    };
    PROGRAMS.contains(&program)
        || TERMS.iter().any(|known| term.starts_with(known))
        || VERSIONS.iter().any(has_version)
        || environment.var("WT_SESSION").is_some()
        || environment.var("DOMTERM").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_need_a_known_terminal() {
        for (variables, expected) in [
            (&[("TERM", "xterm-256color")][..], false),
            (&[("TERM", "xterm-kitty")], true),
            (&[("TERM", "foot-extra")], true),
            (&[("TERM", "xterm"), ("VTE_VERSION", "7200")], true),
            (&[("TERM", "xterm"), ("VTE_VERSION", "4800")], false),
            (&[("TERM", "xterm"), ("VTE_VERSION", "x")], false),
            (&[("TERM_PROGRAM", "vscode")], true),
            (&[("TERM_PROGRAM", "Apple_Terminal")], false),
            (&[("WT_SESSION", "0f")], true),
            (
                &[("TERM", "tmux-256color"), ("TERM_PROGRAM", "vscode")],
                false,
            ),
            (&[("TMUX", "/tmp/x"), ("VTE_VERSION", "7200")], false),
            (&[("TERM", "xterm"), ("FORCE_HYPERLINK", "1")], true),
            (&[("TERM", "xterm-kitty"), ("FORCE_HYPERLINK", "0")], false),
            (&[("TERM", "dumb"), ("FORCE_HYPERLINK", "1")], false),
        ] {
            let environment = variables
                .iter()
                .fold(Environment::empty(), |environment, (name, value)| {
                    environment.with_var(*name, *value)
                });
            assert_eq!(supports_links(&environment), expected, "{variables:?}");
        }
    }

    #[test]
    fn link_shows_its_own_url() {
        let url = Url::parse("https://example.com/?a=\u{1b}\u{9b}\u{202e}").unwrap();
        assert_eq!(
            render(&url, false),
            "https://example.com/?a=%1B%C2%9B%E2%80%AE"
        );
        assert_eq!(
            render(&url, true),
            format!("\u{1b}]8;;{url}\u{1b}\\{url}\u{1b}]8;;\u{1b}\\")
        );
    }
}
