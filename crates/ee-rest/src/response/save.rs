//! Atomic file writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ee_token::Remedy;
use ee_token::internal::display_path;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::{Error, ErrorKind, StreamingResponse};

/// A temporary file in the target directory, removed on drop unless it was renamed to the target.
struct TemporaryFile {
    path: PathBuf,
    persisted: bool,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.persisted {
            // Best effort: a destructor cannot report an error.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl StreamingResponse {
    /// Writes the rest of the body to a file and returns the number of bytes of the body. The file
    /// is created or replaced only when the body is complete.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let response = client
    ///     .request(http::Method::GET, "thumbnails/abc:getPixels")
    ///     .send_streaming()
    ///     .await?;
    /// response.save("picture.png").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`chunk`](Self::chunk). Returns [`ErrorKind::File`] if the file cannot be written. An
    /// existing file is unchanged then.
    pub async fn save(mut self, to: impl AsRef<Path>) -> Result<u64, Error> {
        let to = to.as_ref();
        let failed = |error: std::io::Error| failed(to, error);
        let (mut file, mut temporary) = create(to).await.map_err(failed)?;
        while let Some(chunk) = self.chunk().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        // Windows cannot rename an open file.
        drop(file.into_std().await);
        tokio::fs::rename(&temporary.path, to)
            .await
            .map_err(failed)?;
        temporary.persisted = true;
        Ok(self.bytes_read())
    }
}

async fn create(to: &Path) -> std::io::Result<(File, TemporaryFile)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = to.file_name().ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "the path does not name a file",
        )
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}-{number}.part", std::process::id()));
    let path = to.with_file_name(hidden);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .await?;
    Ok((
        file,
        TemporaryFile {
            path,
            persisted: false,
        },
    ))
}

fn failed(to: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::File,
        format!("could not write the file {}: {error}", display_path(to)),
    )
    .with_remedy(Remedy::new(
        "Check that the directory exists and is writable, and that there is enough disk space.",
    ))
    .with_source(error)
}
