//! Backups of files that contain something other than a login.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::Utc;

use crate::storage::private_file::{self, step};

/// Gives a file an unused second name, under which it remains when the first one is replaced.
/// Without hard links, the file is renamed.
pub(super) fn back_up(
    path: &Path,
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let stamp = Utc::now().format("%Y%m%d-%H%M%S");
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let mut number = 1;
    loop {
        let mut backup = name.to_owned();
        backup.push(format!(".before-{stamp}"));
        if number > 1 {
            backup.push(format!("-{number}"));
        }
        let backup = path.with_file_name(backup);
        number += 1;
        match link(path, &backup) {
            Ok(()) => {
                step("backup linked");
                return Ok(backup);
            }
            Err(error) if is_taken(&error) => continue,
            Err(_) => {}
        }
        // A rename would replace an existing file, so that the name is reserved first.
        match private_file::create(&backup) {
            Ok(_) => step("name reserved"),
            Err(error) if is_taken(&error) => continue,
            Err(error) => return Err(error),
        }
        return match fs::rename(path, &backup) {
            Ok(()) => {
                step("backup renamed");
                Ok(backup)
            }
            Err(error) => {
                let _ = fs::remove_file(&backup);
                Err(error)
            }
        };
    }
}
