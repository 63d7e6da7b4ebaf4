//! The command that `eectl exec` runs: signals are passed on to it, and its exit status is returned.

use std::io;
use std::process::{Command, ExitStatus};

use crate::signals::Signal;

/// A running command.
pub(super) struct Child(tokio::process::Child);

impl Child {
    pub(super) fn start(command: Command) -> io::Result<Self> {
        tokio::process::Command::from(command).spawn().map(Self)
    }

    /// Waits until the command ends, and returns its exit status as shells do.
    pub(super) async fn wait(mut self, signals: &mut Signals) -> io::Result<u8> {
        loop {
            tokio::select! {
                status = self.0.wait() => return status.map(exit_status),
                signal = signals.next() => signal.send_to(&self.0),
            }
        }
    }
}

#[cfg(unix)]
fn exit_status(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let number = match status.code() {
        Some(code) => code,
        None => 128 + status.signal().unwrap_or_default(),
    };
    u8::try_from(number).unwrap_or(1)
}

/// Windows has statuses of 32 bits.
#[cfg(not(unix))]
fn exit_status(status: ExitStatus) -> u8 {
    u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)
}

#[cfg(unix)]
pub(super) use unix::Signals;

#[cfg(unix)]
mod unix {
    use std::future::poll_fn;
    use std::task::Poll;

    use rustix::process::{Pid, Signal as Number, getpgrp, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;
    use crate::signals::ignored_signals;

    /// The signals that are passed on.
    const ALL: [(Number, Option<Signal>); 6] = [
        (Number::INT, Some(Signal::Interrupt)),
        (Number::TERM, Some(Signal::Terminate)),
        (Number::HUP, Some(Signal::Hangup)),
        (Number::QUIT, None),
        (Number::USR1, None),
        (Number::USR2, None),
    ];

    pub(crate) struct Signals(Vec<(Number, Option<Signal>, tokio::signal::unix::Signal)>);

    /// A signal that was received.
    pub(crate) struct Received(Number);

    impl Signals {
        /// Signals that were ignored at the start stay so, also in the command: it inherits that,
        /// and not a handler.
        pub(crate) fn new() -> io::Result<Self> {
            let ignored = ignored_signals();
            let handled = ALL.into_iter().filter(|(number, _)| {
                ignored & 1_u64.rotate_left(number.as_raw().cast_unsigned().wrapping_sub(1)) == 0
            });
            let signals = handled.map(|(number, stop)| {
                let received = signal(SignalKind::from_raw(number.as_raw()))?;
                Ok((number, stop, received))
            });
            signals.collect::<io::Result<_>>().map(Self)
        }

        pub(crate) async fn next(&mut self) -> Received {
            let (number, _) = self.receive().await;
            Received(number)
        }

        /// Waits for a signal that ends `eectl` before the command starts.
        pub(crate) async fn stop(&mut self) -> Signal {
            loop {
                if let (_, Some(signal)) = self.receive().await {
                    return signal;
                }
            }
        }

        async fn receive(&mut self) -> (Number, Option<Signal>) {
            poll_fn(|context| {
                for (number, stop, received) in &mut self.0 {
                    if received.poll_recv(context).is_ready() {
                        return Poll::Ready((*number, *stop));
                    }
                }
                Poll::Pending
            })
            .await
        }
    }

    impl Received {
        /// Sends the signal to the command, unless the terminal sent it to both.
        pub(crate) fn send_to(self, child: &tokio::process::Child) {
            if matches!(self.0, Number::INT | Number::QUIT) && is_in_foreground() {
                return;
            }
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                // The command may have ended.
                let _ = kill_process(pid, self.0);
            }
        }
    }

    /// Whether the terminal sends its signals to this process and the command.
    fn is_in_foreground() -> bool {
        let group = rustix::termios::tcgetpgrp(rustix::stdio::stdin());
        group.is_ok_and(|group| group == getpgrp())
    }
}

#[cfg(not(unix))]
pub(super) struct Signals(crate::signals::Signals);

/// Ctrl-C, which the console sends to the command as well.
#[cfg(not(unix))]
pub(super) struct Received;

#[cfg(not(unix))]
impl Received {
    fn send_to(self, _: &tokio::process::Child) {}
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        crate::signals::Signals::new().map(Self)
    }

    async fn next(&mut self) -> Received {
        let _ = self.0.next().await;
        Received
    }

    pub(super) async fn stop(&mut self) -> Signal {
        self.0.next().await
    }
}
