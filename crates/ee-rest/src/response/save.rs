//! Files that are either whole or not there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ee_token::{Remedy, display_path};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::{Error, ErrorKind, StreamingResponse};

/// A file on its way: under another name in the same folder until it is whole. Dropped
/// before, it is gone.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // It may be gone already; there is nobody to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the rest of a reply to a file, which appears under its name when it is whole.
/// Returns its length.
pub(crate) async fn save(mut reply: StreamingResponse, to: &Path) -> Result<u64, Error> {
    let failed = |error: std::io::Error| failed(to, error);
    let (mut file, mut part) = create(to).await.map_err(failed)?;
    while let Some(piece) = reply.chunk().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    // Windows renames no open file.
    drop(file.into_std().await);
    tokio::fs::rename(&part.path, to).await.map_err(failed)?;
    part.kept = true;
    Ok(reply.bytes_read())
}

async fn create(to: &Path) -> std::io::Result<(File, Part)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = to.file_name().ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, "it does not name a file")
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
    Ok((file, Part { path, kept: false }))
}

fn failed(to: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::File,
        format!("the file {} cannot be written: {error}", display_path(to)),
    )
    .with_remedy(Remedy::new(
        "Check that the folder exists, that this program may write there, and that the disk has room.",
    ))
    .with_source(error)
}
