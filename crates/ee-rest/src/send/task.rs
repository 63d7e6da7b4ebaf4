//! The task of a call.
//!
//! A call holds a place that other calls need, also when its caller does not poll it: between two
//! items of a `buffer_unordered` stream, for example. It therefore runs in a task of its own.

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::{Error, ErrorKind};

/// Aborts the task on drop, which cancels the call.
struct CallTask<T>(JoinHandle<T>);

impl<T> Drop for CallTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a call in a task of the current runtime. Dropping the future cancels it.
pub(crate) async fn run<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let mut task = CallTask(runtime()?.spawn(call));
    match (&mut task.0).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Error::new(
                ErrorKind::Runtime,
                "the tokio runtime of the request shut down",
            )),
        },
    }
}

/// Returns the current runtime, which connections need and without which timers panic.
pub(crate) fn runtime() -> Result<Handle, Error> {
    Handle::try_current()
        .map_err(|_| Error::new(ErrorKind::Runtime, "a request needs a tokio runtime"))
}
