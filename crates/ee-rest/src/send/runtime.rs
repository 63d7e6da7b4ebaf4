//! The tokio runtime that sending needs.

use tokio::runtime::Handle;

use crate::{Error, ErrorKind};

/// Checks for a runtime, which connections need and without which timers panic.
pub(crate) fn check_runtime() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(
            ErrorKind::Runtime,
            "a request needs a tokio runtime",
        )),
    }
}
