//! The terminal of a login.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use earthengine::SecretString;
use earthengine::credentials::login::{PromptFuture, Terminal, Url};
use serde_json::json;
use tokio::sync::oneshot;

use crate::cli::Global;
use crate::link::link;
use crate::output::{print_raw, print_status, print_status_json};
use crate::style::{json_line, write_stderr};

/// Whether a thread reads standard input.
static IS_READING: AtomicBool = AtomicBool::new(false);
const INTERVAL: Duration = Duration::from_millis(50);

/// Prints what the login shows to the user: to standard error, as one JSON object per line with
/// `--json`.
pub(super) struct Console {
    quiet: bool,
    json: bool,
    /// Whether the last line of the terminal is a prompt.
    is_at_prompt: AtomicBool,
}

impl Console {
    pub(super) fn new(global: &Global) -> Self {
        Self {
            quiet: global.quiet,
            json: global.json,
            is_at_prompt: AtomicBool::new(false),
        }
    }
}

impl Terminal for Console {
    fn print(&self, text: &str) {
        match (self.quiet, self.json) {
            (true, _) => {}
            (false, true) => print_status_json(json!({ "note": text })),
            (false, false) => print_status(text),
        }
    }

    /// Shows the URL whole: its random parameters may look like secrets.
    fn show_url(&self, url: &Url, advice: &str) {
        match (self.quiet, self.json) {
            (_, true) => {
                let page = json!({"url": url.as_str(), "advice": advice});
                write_stderr(&json_line(json!({ "page": page })));
            }
            (false, false) => {
                write_stderr(&format!("\n    {}\n\n", link(url, &std::io::stderr())));
                print_status(advice);
            }
            // The calling program reads the URL. If it has closed the pipe, the login times out.
            (true, false) => drop(print_raw(format!("{url}\n"))),
        }
    }

    fn prompt<'a>(&'a self, prompt: &'a str) -> PromptFuture<'a> {
        if self.json {
            print_status_json(json!({ "prompt": prompt.trim_end() }));
        } else {
            let mut stderr = io::stderr().lock();
            // Standard error may be closed.
            let _ = write!(stderr, "\n{prompt}").and_then(|()| stderr.flush());
            self.is_at_prompt.store(true, Ordering::Relaxed);
        }
        Box::pin(async {
            let line = read_line().await;
            // The terminal shows the input with its line break.
            if matches!(line, Ok(Some(_))) && self.is_interactive() {
                self.is_at_prompt.store(false, Ordering::Relaxed);
            }
            line
        })
    }

    fn is_interactive(&self) -> bool {
        io::stdin().is_terminal()
    }
}

/// Ends the line of a prompt without an input: the browser finished the login, or it failed.
impl Drop for Console {
    fn drop(&mut self) {
        if *self.is_at_prompt.get_mut() {
            write_stderr("\n");
        }
    }
}

/// Reads a line of standard input on a detached thread, so that the login can be canceled.
pub(super) async fn read_line() -> io::Result<Option<SecretString>> {
    IS_READING.store(true, Ordering::Release);
    let (line, read) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let result = io::stdin().lock().read_line(&mut text);
        IS_READING.store(false, Ordering::Release);
        let result = result.map(|bytes| (bytes > 0).then(|| SecretString::from(text)));
        // The login may have been canceled.
        let _ = line.send(result);
    });
    read.await.unwrap_or(Ok(None))
}

/// Waits for a line that is still being read: the browser may finish a login that prompts, too. A
/// prompt that follows would share its input.
pub(crate) async fn finish_reading() {
    if IS_READING.load(Ordering::Acquire) {
        print_status("Press Enter to go on.");
    }
    while IS_READING.load(Ordering::Acquire) {
        tokio::time::sleep(INTERVAL).await;
    }
}
