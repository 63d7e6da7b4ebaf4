//! Downloads to memory or to a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ErrorKind, RequestBuilder};

/// How many times in all an interrupted download is started.
const MAX_DOWNLOAD_ATTEMPTS: u32 = 3;

/// A download that has not started yet: read it into memory with [`bytes`](Self::bytes), or write
/// it to a file with [`save`](Self::save).
#[derive(Clone)]
#[must_use = "a download does nothing until `bytes` or `save` is called"]
pub struct Download(Arc<dyn Fn() -> RequestBuilder + Send + Sync>);

impl Download {
    /// Creates a download from a function that builds its request, which must be read-only.
    pub fn new(request: impl Fn() -> RequestBuilder + Send + Sync + 'static) -> Self {
        Self(Arc::new(request))
    }

    /// Downloads into memory.
    ///
    /// # Errors
    /// See [`RequestBuilder::send`].
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        Ok((self.0)().send().await?.into_bytes())
    }

    /// Downloads to a file, in chunks, and returns the number of bytes. The file is created or
    /// replaced only when the download is complete. If it fails or the future is dropped, an
    /// existing file is unchanged.
    ///
    /// # Errors
    /// See [`RequestBuilder::send_streaming`]. An interrupted download is restarted up to two
    /// times. Returns [`ErrorKind::File`] if the file cannot be written.
    pub async fn save(&self, to: impl AsRef<Path>) -> Result<u64, Error> {
        let mut attempts = 1;
        loop {
            let response = (self.0)().send_streaming().await?;
            match response.save(to.as_ref()).await {
                Err(error)
                    if attempts < MAX_DOWNLOAD_ATTEMPTS && error.kind() == ErrorKind::Network =>
                {
                    attempts += 1;
                    tracing::debug!(%error, "restarting the interrupted download");
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
