//! What the machine has to log in with: programs, a display, a notebook around us.

use std::path::PathBuf;

use crate::{Environment, Os};

/// Browsers in a terminal cannot show the consent page.
const TEXT_BROWSERS: [&str; 5] = ["elinks", "links", "lynx", "w3m", "www-browser"];
/// What says on Linux that there is a display.
const DISPLAYS: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "MIR_SOCKET"];
/// What opens pages on Linux, the first that is there.
const OPENERS: [&str; 8] = [
    "xdg-open",
    "wslview",
    "x-www-browser",
    "firefox",
    "google-chrome",
    "chromium",
    "chromium-browser",
    "konqueror",
];

/// Where a program is on the search path.
pub(super) fn program(environment: &Environment, name: &str) -> Option<PathBuf> {
    let endings: &[&str] = match environment.os() {
        Os::Windows => &[".exe", ".cmd", ".bat"],
        _ => &[""],
    };
    std::env::split_paths(environment.raw("PATH")?)
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| {
            endings
                .iter()
                .map(move |end| folder.join(format!("{name}{end}")))
        })
        .find(|path| is_executable(path))
}

fn is_executable(path: &std::path::Path) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    #[cfg(unix)]
    let may_run = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may_run = true;
    metadata.is_file() && may_run
}

/// The command that opens a page in a graphical browser, its last word being the page's place;
/// `None` where there is no such browser.
pub(super) fn browser_command(environment: &Environment) -> Option<Vec<String>> {
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    match environment.os() {
        Os::Windows => words(&["rundll32", "url.dll,FileProtocolHandler", PAGE]),
        // Somebody who came over the network sees nothing of this machine's screen.
        Os::MacOs if environment.var("SSH_CONNECTION").is_some() => None,
        Os::MacOs => words(&["open", PAGE]),
        Os::Linux => {
            DISPLAYS
                .iter()
                .find(|name| environment.var(name).is_some())?;
            match environment.var("BROWSER") {
                // As a list, separated by colons, of commands with %s for the page.
                Some(list) => list.split(':').find_map(|entry| chosen(environment, entry)),
                None => OPENERS
                    .iter()
                    .find(|name| program(environment, name).is_some())
                    .and_then(|name| words(&[name, PAGE])),
            }
        }
    }
}

/// Stands for the page's address.
pub(super) const PAGE: &str = "%s";

fn chosen(environment: &Environment, entry: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = entry.split_whitespace().map(str::to_owned).collect();
    let first = words.first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    // Cloud Shell's BROWSER is echo.
    if TEXT_BROWSERS.contains(&name) || name == "echo" {
        return None;
    }
    let is_there = first.contains('/') || program(environment, first).is_some();
    if !words.iter().any(|word| word.contains(PAGE)) {
        words.push(PAGE.to_owned());
    }
    is_there.then_some(words)
}

/// Whether this runs inside Google Colab.
pub(super) fn is_colab(environment: &Environment) -> bool {
    environment.var("COLAB_RELEASE_TAG").is_some()
        || environment.var("VERTEX_PRODUCT") == Some("COLAB_ENTERPRISE")
        || environment.var("CLOUDSDK_CONFIG") == Some("/content/.config")
        || environment.var("USE_AUTH_EPHEM") == Some("1")
}

/// Whether this runs in a cell of a Jupyter notebook: its kernels say so to their children.
pub(super) fn is_jupyter(environment: &Environment) -> bool {
    ["JPY_PARENT_PID", "JPY_SESSION_NAME"]
        .iter()
        .any(|name| environment.var(name).is_some())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn machine(programs: &[&str]) -> (tempfile::TempDir, Environment) {
        let folder = tempfile::tempdir().unwrap();
        for name in programs {
            let path = folder.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.path().join("notes"), "no program").unwrap();
        let environment = Environment::empty()
            .with_os(Os::Linux)
            .with_var_os("PATH", folder.path());
        (folder, environment)
    }

    #[test]
    fn a_program_is_found_on_the_search_path_if_it_can_run() {
        let (folder, environment) = machine(&["gcloud"]);
        assert_eq!(
            program(&environment, "gcloud").as_deref(),
            Some(&*folder.path().join("gcloud"))
        );
        assert_eq!(program(&environment, "notes"), None);
        assert_eq!(program(&environment, "other"), None);
        assert_eq!(program(&Environment::empty(), "gcloud"), None);
        // The current folder is no place for programs.
        let here = Environment::empty().with_var("PATH", ".:");
        assert_eq!(program(&here, "Cargo.toml"), None);
        assert!(Path::new("Cargo.toml").exists());
    }

    #[test]
    fn a_graphical_browser_needs_a_display_and_is_no_text_browser() {
        let (_folder, bare) = machine(&["xdg-open", "lynx", "my-browser"]);
        let command = |environment: &Environment| browser_command(environment).map(|c| c.join(" "));
        assert_eq!(command(&bare), None);
        let display = bare.clone().with_var("WAYLAND_DISPLAY", "wayland-0");
        assert_eq!(command(&display).as_deref(), Some("xdg-open %s"));
        for (browser, found) in [
            ("lynx", None),
            ("echo", None),
            ("absent", None),
            ("lynx:my-browser", Some("my-browser %s")),
            ("my-browser --url=%s", Some("my-browser --url=%s")),
            ("/opt/x -new", Some("/opt/x -new %s")),
        ] {
            let chosen = display.clone().with_var("BROWSER", browser);
            assert_eq!(command(&chosen).as_deref(), found, "{browser}");
        }
        assert_eq!(
            command(&bare.clone().with_os(Os::MacOs)).as_deref(),
            Some("open %s")
        );
        let remote = bare
            .with_os(Os::MacOs)
            .with_var("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22");
        assert_eq!(command(&remote), None);
    }

    #[test]
    fn notebooks_are_known_by_their_variables() {
        let with = |name: &str, value: &str| Environment::empty().with_var(name, value);
        assert!(is_colab(&with(
            "COLAB_RELEASE_TAG",
            "release-colab_20260101"
        )));
        assert!(is_colab(&with("VERTEX_PRODUCT", "COLAB_ENTERPRISE")));
        assert!(is_colab(&with("CLOUDSDK_CONFIG", "/content/.config")));
        assert!(!is_colab(&with("VERTEX_PRODUCT", "WORKBENCH_INSTANCE")));
        assert!(!is_colab(&Environment::empty()));
        assert!(is_jupyter(&with("JPY_PARENT_PID", "7")));
        assert!(!is_jupyter(&Environment::empty()));
    }
}
