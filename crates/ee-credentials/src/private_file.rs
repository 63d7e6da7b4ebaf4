//! Replacing a file as a whole: whoever looks, and whatever happens on the way, there is the
//! old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

const ENDING: &str = ".tmp";

/// How far a replacement has come. Tests end the process at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The temporary file is there, and empty.
    Created,
    /// All of it was written.
    Written,
    /// All of it is on the disk.
    Synced,
    /// It has taken the old one's place.
    Renamed,
}

/// Writes a file that its owner alone may read, in the place of what is there: of a link too,
/// which then no longer is one.
pub(super) fn replace(path: &Path, contents: &[u8], at: &dyn Fn(Stage)) -> io::Result<()> {
    let temporary = Temporary::create(path)?;
    at(Stage::Created);
    let mut file = &temporary.file;
    file.write_all(contents)?;
    at(Stage::Written);
    file.sync_all()?;
    at(Stage::Synced);
    fs::rename(&temporary.path, path)?;
    at(Stage::Renamed);
    sync_folder(path);
    Ok(())
}

/// Removes temporary files that a killed process left. Only while the lock is held: they
/// could be somebody's who is writing.
pub(super) fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let beginning = beginning(&name.to_string_lossy());
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&beginning) && name.ends_with(ENDING) {
            // One that stays does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn beginning(name: &str) -> String {
    format!(".{name}.")
}

/// A file beside the one that it will replace; it goes when it is dropped before that.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(target: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| io::Error::other("no random numbers"))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let random = u64::from_ne_bytes(random);
        let path = target.with_file_name(format!("{}{random:016x}{ENDING}", beginning(&name)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already if all went well.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the new name last. The file itself is safe already, so that a file system which
/// cannot do this is no failure.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}
