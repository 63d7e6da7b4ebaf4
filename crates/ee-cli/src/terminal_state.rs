//! The state of the terminal, which is restored however a prompt ends.
//!
//! A prompt that reads single keys changes the terminal while it waits. A signal may end the process
//! in that time.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use crate::style::write_stderr;

const SHOW_CURSOR: &str = "\u{1b}[?25h";

#[cfg(unix)]
type State = rustix::termios::Termios;
#[cfg(not(unix))]
type State = ();

/// The state before a prompt. One prompt runs at a time.
static SAVED: Mutex<Option<State>> = Mutex::new(None);

/// Restores the terminal when it is dropped.
pub(crate) struct SavedTerminal(());

impl SavedTerminal {
    /// Saves the state of the terminal, if there is one.
    pub(crate) fn save() -> Self {
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = current();
        Self(())
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal that a prompt has saved. Called before the process ends, too.
pub(crate) fn restore() {
    let mut saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(state) = saved.take() {
        set(&state);
        if std::io::stderr().is_terminal() {
            write_stderr(SHOW_CURSOR);
        }
    }
}

#[cfg(unix)]
fn current() -> Option<State> {
    rustix::termios::tcgetattr(std::io::stdin()).ok()
}

#[cfg(unix)]
fn set(state: &State) {
    use rustix::termios::{OptionalActions, tcsetattr};
    // A terminal that was closed has no state.
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, state);
}

#[cfg(not(unix))]
fn current() -> Option<State> {
    Some(())
}

#[cfg(not(unix))]
fn set(_: &State) {}
