//! The user's terminal and browser.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{Command, Stdio};

use ee_token::SecretString;
use url::Url;

use crate::Environment;
use crate::discovery::program;
use crate::login::detect::{PAGE, browser_command};

/// The return type of [`Terminal::prompt`].
pub type PromptFuture<'a> =
    Pin<Box<dyn Future<Output = io::Result<Option<SecretString>>> + Send + 'a>>;

/// A terminal, or a window or test in its place.
pub trait Terminal: Send + Sync {
    /// Shows a message.
    fn print(&self, text: &str);

    /// Shows the URL of a page to open, and instructions.
    fn show_url(&self, url: &Url, advice: &str);

    /// Asks for one line of text. Returns `None` at the end of input.
    fn prompt<'a>(&'a self, prompt: &'a str) -> PromptFuture<'a>;

    /// Returns whether a user answers the prompts, so that a wrong code is requested again instead
    /// of ending the login. Defaults to `true`.
    fn is_interactive(&self) -> bool {
        true
    }
}

/// The user's web browser.
pub trait Browser: Send + Sync {
    /// Returns whether a browser exists that can show Google's consent page.
    fn is_available(&self) -> bool;

    /// Opens a page. Returns whether the browser was started; the URL is shown in any case.
    fn open(&self, url: &Url) -> bool;
}

/// The default browser of the operating system. On Linux it needs a display, and `BROWSER` selects
/// another one.
#[derive(Debug, Clone)]
pub struct SystemBrowser {
    command: Option<Vec<String>>,
    /// The `PATH` of the command, because `xdg-open` starts other programs.
    search_path: Option<OsString>,
}

impl SystemBrowser {
    /// Finds the browser of an environment.
    pub fn new(environment: &Environment) -> Self {
        Self {
            command: browser_command(environment),
            search_path: program::search_path(environment),
        }
    }
}

impl Browser for SystemBrowser {
    fn is_available(&self) -> bool {
        self.command.is_some()
    }

    fn open(&self, url: &Url) -> bool {
        let Some((program, words)) = self.command.as_deref().and_then(<[_]>::split_first) else {
            return false;
        };
        // No shell is involved, so that the URL is always one argument.
        let mut command = Command::new(program);
        if let Some(path) = &self.search_path {
            command.env("PATH", path);
        }
        let started = command
            .args(words.iter().map(|word| word.replace(PAGE, url.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(mut child) => {
                // The command may run as long as the browser, so that a thread waits for it.
                std::thread::spawn(move || child.wait());
                true
            }
            Err(error) => {
                tracing::debug!(%error, program, "cannot start the browser");
                false
            }
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Platform;

    #[test]
    fn url_is_one_argument_of_the_browser_command() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("browser");
        let out = dir.path().join("out");
        // A file that is open for writing cannot be executed, and child processes of other tests
        // may inherit the open file. A copy made by another process avoids this.
        let text = dir.path().join("text");
        std::fs::write(
            &text,
            format!(
                "#!/bin/sh\necho \"$#:$2:$PATH\" > {0}.new && /bin/mv {0}.new {0}\n",
                out.display()
            ),
        )
        .unwrap();
        let copied = Command::new("cp").arg(&text).arg(&script).status();
        assert!(copied.unwrap().success());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_var("DISPLAY", ":0")
            .with_var("PATH", ".:/usr/bin::sub:/bin")
            .with_var("BROWSER", format!("{} --new-window", script.display()));
        let browser = SystemBrowser::new(&environment);
        assert!(browser.is_available());
        let url = "https://accounts.google.com/?a=b&c='$(touch x)'"
            .parse()
            .unwrap();
        assert!(browser.open(&url));
        let started = std::time::Instant::now();
        while !out.exists() && started.elapsed().as_secs() < 30 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(
            std::fs::read_to_string(&out).unwrap(),
            format!("2:{url}:/usr/bin:/bin\n")
        );
    }

    #[test]
    fn missing_browser_opens_nothing() {
        let url = "https://example.com/".parse().unwrap();
        let none = SystemBrowser::new(&Environment::empty().with_os(Platform::Linux));
        assert!(!none.is_available() && !none.open(&url));
        let gone = SystemBrowser {
            command: Some(vec!["/nowhere/browser".into()]),
            search_path: None,
        };
        assert!(!gone.open(&url));
    }
}
