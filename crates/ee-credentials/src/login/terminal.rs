//! The person: what they are told and asked, and the browser in front of them.

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

/// What [`Terminal::prompt`] returns.
pub type PromptFuture<'a> =
    Pin<Box<dyn Future<Output = io::Result<Option<SecretString>>> + Send + 'a>>;

/// Where a person can be told and asked things: a terminal, a window, a test.
pub trait Terminal: Send + Sync {
    /// Shows a sentence.
    fn print(&self, text: &str);

    /// Shows the address of a page that the person is to open, and what to do there.
    fn show_url(&self, url: &Url, advice: &str);

    /// Asks for one line of text. `None` if nobody is there to answer.
    fn prompt<'a>(&'a self, prompt: &'a str) -> PromptFuture<'a>;
}

/// A web browser in front of the person.
pub trait Browser: Send + Sync {
    /// Whether there is one that can show Google's consent page.
    fn is_available(&self) -> bool;

    /// Opens a page, and says whether that was begun. The person is shown the address in
    /// any case.
    fn open(&self, url: &Url) -> bool;
}

/// The browser that the operating system opens pages with. On Linux there must be a display;
/// `BROWSER` may name another.
#[derive(Debug, Clone)]
pub struct SystemBrowser {
    command: Option<Vec<String>>,
    /// For programs that the command starts, as `xdg-open` does.
    search_path: Option<OsString>,
}

impl SystemBrowser {
    /// The one of this environment.
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
        // Never through a shell: the address is one word, whatever is in it.
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
                // It may run for as long as the browser does; whoever waits for it is a thread.
                std::thread::spawn(move || child.wait());
                true
            }
            Err(error) => {
                tracing::debug!(%error, program, "the browser cannot be started");
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
    fn a_page_is_one_word_of_the_browsers_command() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("browser");
        let out = folder.path().join("out");
        // A file that this process has open for writing cannot be run by another, and what
        // another test starts at this moment inherits our open files.
        let text = folder.path().join("text");
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
    fn a_browser_that_is_not_there_opens_nothing() {
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
