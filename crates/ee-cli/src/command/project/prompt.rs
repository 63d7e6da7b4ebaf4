//! Questions on a terminal, a line each: they work on every terminal, and with screen readers.

use std::io::{self, BufRead, Write};

use earthengine::token::sanitize;

/// Whom to ask, and where the questions are written.
pub(super) struct Prompt<I, O> {
    input: I,
    output: O,
}

impl Prompt<io::StdinLock<'static>, io::Stderr> {
    /// The person at the terminal. Questions go to standard error: standard output is for results.
    pub(super) fn on_terminal() -> Self {
        Self::new(io::stdin().lock(), io::stderr())
    }
}

impl<I: BufRead, O: Write> Prompt<I, O> {
    pub(super) fn new(input: I, output: O) -> Self {
        Self { input, output }
    }

    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{}", sanitize(text, &[]))
    }

    /// Asks, and returns the answer without blanks around it; `None` if nobody answers any more
    /// (Ctrl-D).
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
