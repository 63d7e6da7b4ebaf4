//! The signals that ask a process to end.

use std::io;

/// A signal that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    #[cfg(unix)]
    Terminate,
    #[cfg(unix)]
    Hangup,
}

impl Signal {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted",
            #[cfg(unix)]
            Self::Terminate => "terminated (SIGTERM)",
            #[cfg(unix)]
            Self::Hangup => "the terminal was closed (SIGHUP)",
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Interrupt => 2,
            #[cfg(unix)]
            Self::Terminate => 15,
            #[cfg(unix)]
            Self::Hangup => 1,
        }
    }
}

#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` if SIGHUP is ignored, as under `nohup`.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = (!is_hangup_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        // A menu that another signal ends sends an interrupt as well.
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hangup => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

/// Returns whether the process was started with SIGHUP ignored, which a handler would undo.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_hangup_ignored() -> bool {
    ignored_signals() & 1 != 0
}

/// Returns the signals that are ignored, as a mask: bit 0 is signal 1.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

/// Guesses which signals are ignored, as a mask.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub(crate) fn ignored_signals() -> u64 {
    u64::from(is_hangup_ignored())
}

/// Guesses whether SIGHUP is ignored, which only the C library knows: under `nohup`, no standard
/// stream is a terminal.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn is_hangup_ignored() -> bool {
    use std::io::IsTerminal as _;
    !io::stdin().is_terminal() && !io::stdout().is_terminal() && !io::stderr().is_terminal()
}

#[cfg(windows)]
pub(crate) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let _ = self.0.recv().await;
        Signal::Interrupt
    }
}
