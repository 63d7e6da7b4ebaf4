//! Detection of the login environment: browsers, displays, notebooks.

use std::path::Path;

use crate::discovery::program;
use crate::{Environment, Platform};

/// Terminal browsers, which cannot show the consent page.
const TEXT_BROWSERS: [&str; 5] = ["elinks", "links", "lynx", "w3m", "www-browser"];
/// The variables that indicate a display on Linux.
const DISPLAYS: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "MIR_SOCKET"];
/// The programs that open pages on Linux, in order of preference.
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

/// Returns the command that opens a page in a graphical browser: the absolute path of a program and
/// its arguments, with [`PAGE`] as a placeholder for the URL.
pub(super) fn browser_command(environment: &Environment) -> Option<Vec<String>> {
    match environment.os() {
        Platform::Windows => {
            let root = environment.var("SystemRoot")?;
            let is_absolute = root.get(1..3) == Some(":\\");
            is_absolute.then(|| {
                vec![
                    format!("{root}\\System32\\rundll32.exe"),
                    "url.dll,FileProtocolHandler".to_owned(),
                    PAGE.to_owned(),
                ]
            })
        }
        // Over SSH, the user cannot see this machine's screen.
        Platform::MacOs if environment.var("SSH_CONNECTION").is_some() => None,
        Platform::MacOs => Some(vec!["/usr/bin/open".to_owned(), PAGE.to_owned()]),
        Platform::Linux => {
            DISPLAYS
                .iter()
                .find(|name| environment.var(name).is_some())?;
            match environment.var("BROWSER") {
                // A colon-separated list of commands with %s for the URL.
                Some(list) => list
                    .split(':')
                    .find_map(|entry| parse_entry(environment, entry)),
                None => OPENERS
                    .iter()
                    .find_map(|name| absolute(environment, name))
                    .map(|program| vec![program, PAGE.to_owned()]),
            }
        }
    }
}

/// The placeholder for the URL.
pub(super) const PAGE: &str = "%s";

/// Parses an entry of `BROWSER`.
fn parse_entry(environment: &Environment, entry: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = entry.split_whitespace().map(str::to_owned).collect();
    let first = words.first_mut()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    // Cloud Shell sets BROWSER to echo.
    if TEXT_BROWSERS.contains(&name) || name == "echo" {
        return None;
    }
    *first = absolute(environment, first)?;
    if !words.iter().any(|word| word.contains(PAGE)) {
        words.push(PAGE.to_owned());
    }
    Some(words)
}

/// Returns the absolute path of a program. Relative paths are ignored, because they depend on the
/// current directory.
fn absolute(environment: &Environment, program: &str) -> Option<String> {
    if Path::new(program).is_absolute() {
        return Some(program.to_owned());
    }
    if program.contains('/') {
        return None;
    }
    program::find(environment, program)?
        .to_str()
        .map(str::to_owned)
}

/// Returns whether the process runs in Google Colab.
pub(super) fn is_colab(environment: &Environment) -> bool {
    environment.var("COLAB_RELEASE_TAG").is_some()
        || environment.var("VERTEX_PRODUCT") == Some("COLAB_ENTERPRISE")
        || environment.var("CLOUDSDK_CONFIG") == Some("/content/.config")
        || environment.var("USE_AUTH_EPHEM") == Some("1")
}

/// Returns whether the process was started by a Jupyter kernel.
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

    use super::*;

    fn environment_with(programs: &[&str]) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        for name in programs {
            let path = dir.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(dir.path().join("notes"), "not a program").unwrap();
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_var_os("PATH", dir.path());
        (dir, environment)
    }

    fn command(environment: &Environment) -> Option<String> {
        browser_command(environment).map(|command| command.join(" "))
    }

    #[test]
    fn graphical_browser_needs_a_display() {
        let (dir, bare) = environment_with(&["xdg-open", "lynx", "my-browser"]);
        let path = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(command(&bare), None);
        let display = bare.clone().with_var("WAYLAND_DISPLAY", "wayland-0");
        let opener = format!("{} %s", path("xdg-open"));
        assert_eq!(command(&display), Some(opener));
        let mine = path("my-browser");
        for (browser, found) in [
            ("lynx", None),
            ("echo", None),
            ("absent", None),
            ("lynx:my-browser", Some(format!("{mine} %s"))),
            ("my-browser --url=%s", Some(format!("{mine} --url=%s"))),
            ("/opt/x -new", Some("/opt/x -new %s".to_owned())),
        ] {
            let chosen = display.clone().with_var("BROWSER", browser);
            assert_eq!(command(&chosen), found, "{browser}");
        }
    }

    #[test]
    fn openers_of_other_systems_have_fixed_paths() {
        let environment = Environment::empty().with_var("PATH", ".:");
        let mac = environment.clone().with_os(Platform::MacOs);
        assert_eq!(command(&mac).as_deref(), Some("/usr/bin/open %s"));
        let remote = mac.with_var("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22");
        assert_eq!(command(&remote), None);
        let windows = environment.with_os(Platform::Windows);
        for (root, opener) in [
            (
                r"C:\Windows",
                Some(r"C:\Windows\System32\rundll32.exe url.dll,FileProtocolHandler %s"),
            ),
            ("Windows", None),
            (r"..\Windows", None),
        ] {
            let windows = windows.clone().with_var("SystemRoot", root);
            assert_eq!(command(&windows).as_deref(), opener, "{root}");
        }
        assert_eq!(command(&windows), None);
    }

    /// Each planted program could be found only through the current directory.
    #[test]
    fn browsers_in_the_current_directory_are_never_opened() {
        let planted = tempfile::tempdir_in(".").unwrap();
        let relative = planted.path().file_name().unwrap().to_str().unwrap();
        let names = [&OPENERS[..], &["my-browser", "gcloud"]].concat();
        for name in &names {
            let path = planted.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for search_path in [
            relative.to_owned(),
            format!("./{relative}"),
            format!(".:{relative}:"),
            format!(":{relative}"),
            format!("../{}/{relative}", current_name()),
        ] {
            let environment = Environment::empty()
                .with_os(Platform::Linux)
                .with_var("DISPLAY", ":0")
                .with_var("PATH", &search_path);
            assert_eq!(command(&environment), None, "{search_path}");
            for name in &names {
                assert_eq!(
                    program::find(&environment, name),
                    None,
                    "{search_path} {name}"
                );
            }
            for browser in [
                "my-browser",
                &format!("{relative}/my-browser"),
                "./my-browser",
            ] {
                let environment = environment.clone().with_var("BROWSER", browser);
                assert_eq!(command(&environment), None, "{search_path} {browser}");
            }
        }
    }

    fn current_name() -> String {
        let current = std::env::current_dir().unwrap();
        current.file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn notebooks_are_detected_by_their_variables() {
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
