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

/// Writes the rest of a response body to a file, which is created or replaced only when it is
/// complete. Returns the number of bytes written.
pub(crate) async fn save(mut response: StreamingResponse, to: &Path) -> Result<u64, Error> {
    let failed = |error: std::io::Error| failed(to, error);
    let (mut file, mut temporary) = create(to).await.map_err(failed)?;
    while let Some(chunk) = response.chunk().await? {
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
    Ok(response.bytes_read())
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
