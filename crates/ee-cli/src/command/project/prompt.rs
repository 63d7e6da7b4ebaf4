//! Line-based prompts, which work on every terminal and with screen readers.

use std::io::{self, BufRead, Write};

use earthengine::token::internal::sanitize;

/// A source of input lines, and where prompts are written.
pub(super) struct Prompt<I, O> {
    input: I,
    output: O,
}

impl Prompt<io::StdinLock<'static>, io::Stderr> {
    /// Creates a prompt on standard error, because standard output is for results.
    pub(super) fn on_terminal() -> Self {
        Self::new(io::stdin().lock(), io::stderr())
    }
}

impl<I: BufRead, O: Write> Prompt<I, O> {
    pub(super) fn new(input: I, output: O) -> Self {
        Self { input, output }
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{}", sanitize(text, &[]))
    }

    /// Prints a question and returns the trimmed input; `None` at the end of input (Ctrl-D).
    pub(super) fn prompt(&mut self, question: &str) -> io::Result<Option<String>> {
        write!(self.output, "{} ", sanitize(question, &[]))?;
        self.output.flush()?;
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            writeln!(self.output)?;
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
    }
}
