//! What ends `eectl serve`: a signal, or the end of its parent.

use crate::error::CliError;
use crate::signals::{Signal, Signals};

/// The events that end `eectl serve`.
pub(super) struct StopEvents {
    signals: Signals,
    #[cfg(unix)]
    parent: Option<unix::Parent>,
}

impl StopEvents {
    pub(super) fn new(exits_with_parent: bool) -> Result<Self, CliError> {
        #[cfg(not(unix))]
        if exits_with_parent {
            let remedy = "Use `eectl exec`, whose broker ends with its command.";
            return Err(super::unsupported("--exit-with-parent", remedy));
        }
        let signals = Signals::new();
        Ok(Self {
            signals: signals.map_err(|e| CliError::io("cannot listen for signals", &e))?,
            #[cfg(unix)]
            parent: exits_with_parent.then(unix::Parent::current),
        })
    }

    pub(super) async fn signal(&mut self) -> Signal {
        self.signals.next().await
    }

    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(parent) = self.parent {
            tokio::select! {
                _ = self.signals.next() => {}
                () = parent.ended() => tracing::info!("the parent process ended"),
            }
            return;
        }
        self.signals.next().await;
    }
}

#[cfg(unix)]
mod unix {
    use std::time::Duration;

    use rustix::process::{Pid, getpid, getppid};

    /// How often the parent is checked.
    const INTERVAL: Duration = Duration::from_millis(500);

    /// The process that started this one.
    #[derive(Clone, Copy)]
    pub(super) struct Parent(Option<Pid>);

    impl Parent {
        pub(super) fn current() -> Self {
            Self(getppid())
        }

        /// Waits until another process adopts this one. A signal of the kernel for it exists only on
        /// Linux, and is also sent when the thread that started this process ends.
        pub(super) async fn ended(self) {
            if self.0.is_some_and(is_adoptive) {
                return;
            }
            while getppid() == self.0 {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Returns whether a parent adopted this process before it looked, as when a script ends at once.
    /// A process is in the session of the one that started it, unless it leads a session of its own.
    fn is_adoptive(parent: Pid) -> bool {
        let own = getpid();
        match (session(own), session(parent)) {
            (Some(session), Some(of_parent)) => {
                session != of_parent && session != own.as_raw_nonzero().get()
            }
            _ => false,
        }
    }

    /// Returns the session of a process, on Linux. It is 0 if it is of another PID namespace.
    fn session(process: Pid) -> Option<i32> {
        let path = format!("/proc/{}/stat", process.as_raw_nonzero());
        let stat = std::fs::read_to_string(path).ok()?;
        // The second field is the name in parentheses, which may contain spaces. The state, the
        // parent, the group and the session follow it.
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(3)?.parse().ok()
    }
}
