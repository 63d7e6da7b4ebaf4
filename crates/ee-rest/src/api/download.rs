//! Bytes on their way, to memory or to a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::response::save::save;
use crate::{Error, ErrorKind, RequestBuilder};

/// How many times a reply that broke off in the middle is asked for, in all.
const MOST_TRIES: u32 = 3;

/// Bytes that are about to be asked for: take them as [`bytes`](Self::bytes), or
/// [`save`](Self::save) them as a file. Nothing is sent before.
#[derive(Clone)]
#[must_use = "nothing is asked for until the bytes are taken"]
pub struct Download(Arc<dyn Fn() -> RequestBuilder + Send + Sync>);

impl Download {
    /// `ask` makes the request: a GET, or a POST that changes nothing.
    pub fn new(ask: impl Fn() -> RequestBuilder + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// The bytes, in memory.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`].
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        Ok((self.0)().send().await?.into_bytes())
    }

    /// Writes the bytes to a file, piece by piece as they come. The file appears under its
    /// name when it is whole, in the place of one that was there; if anything fails, or the
    /// future is dropped, that one stays as it was. Returns the length.
    ///
    /// # Errors
    /// As [`RequestBuilder::send_streaming`], after a reply that broke off in the middle was
    /// asked for again; [`ErrorKind::File`] if the file cannot be written.
    pub async fn save(&self, to: impl AsRef<Path>) -> Result<u64, Error> {
        let mut tries = 1;
        loop {
            let reply = (self.0)().send_streaming().await?;
            match save(reply, to.as_ref()).await {
                Err(error) if tries < MOST_TRIES && error.kind() == ErrorKind::Network => {
                    tries += 1;
                    tracing::debug!(%error, "asking for it again");
                }
                other => return other,
            }
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Download").field(&(self.0)()).finish()
    }
}
