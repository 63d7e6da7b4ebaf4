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

    use rustix::process::{Pid, getppid};

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
            while getppid() == self.0 {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }
}
