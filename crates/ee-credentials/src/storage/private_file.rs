//! Files that only their owner can read. Each is replaced atomically, so that a reader sees the old
//! contents or the new.
//!
//! Internal files such as locks are never opened through a symbolic link. If root replaces a file,
//! it keeps its owner; new files get the owner of their directory.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ee_token::Remedy;
use ee_token::internal::display_path;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::input::path_setting::PathSetting;
use crate::input::shell::shell_quoted;

/// Creates a directory and its parents, accessible only to their owner.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    PathSetting::Argument.check(dir).map_err(io::Error::other)?;
    create_missing_dirs(dir)?;
    step("directory created");
    Ok(())
}

fn create_missing_dirs(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_missing_dirs(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Ok(()) => {}
        // Another process created it first.
        Err(_) if dir.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    {
        // The open directory, because the path may lead to another one by now.
        let opened = open_no_follow(dir, OpenOptions::new().read(true))?;
        copy_owner(&opened, &fs::metadata(parent_dir(dir))?)?;
    }
    Ok(())
}

/// Creates a file, which must not exist yet.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = create_own(path)?;
    copy_owner(&file, &fs::metadata(parent_dir(path))?).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(file)
}

fn create_own(path: &Path) -> io::Result<File> {
    // `create_new` follows no link: it fails if one exists.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens an existing internal file. A symbolic link or anything else that is not a regular file is
/// an error.
pub(crate) fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(not(unix))]
    if let Some(error) = FileError::unexpected_file(path) {
        return Err(error.into());
    }
    let opened = open_no_follow(path, options);
    if let Ok(file) = &opened
        && file.metadata()?.is_file()
    {
        return opened;
    }
    match (FileError::unexpected_file(path), opened) {
        (Some(error), _) => Err(error.into()),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Opens a file without following a symbolic link and without waiting for the writer of a pipe.
fn open_no_follow(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    options.open(path)
}

/// Opens a lock file, and creates it and its directory if necessary.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        create_dir(dir)?;
    }
    let existing = || open_own(path, OpenOptions::new().read(true).write(true));
    let file = match existing() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
            // Another process created it first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing()?,
            created => created?,
        },
        opened => opened?,
    };
    step("lock opened");
    Ok(file)
}

fn parent_dir(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Sets the owner and group of a new file to those of another file or directory.
#[cfg(unix)]
fn copy_owner(file: &File, other: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    const ROOT: u32 = 0;
    let own = file.metadata()?;
    let (uid, gid) = (other.uid(), other.gid());
    if (own.uid(), own.gid()) == (uid, gid) {
        return Ok(());
    }
    if own.uid() != ROOT {
        // Only root can change the owner. The group has no access to the file, so that a group
        // that cannot be set is harmless.
        if own.uid() == uid {
            let _ = fchown(file, None, Some(gid));
        }
        return Ok(());
    }
    fchown(file, Some(uid), Some(gid)).map_err(|error| {
        FileError {
            message: format!(
                "cannot set the owner of the new file (user {uid}, group {gid}): {error}"
            ),
            remedy: Remedy::new("Run the command as the owner of the file, not as root."),
        }
        .into()
    })
}

#[cfg(not(unix))]
fn copy_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// An error of this module with a remedy, carried inside an [`io::Error`].
#[derive(Debug)]
pub(crate) struct FileError {
    message: String,
    #[cfg_attr(
        not(feature = "login"),
        expect(dead_code, reason = "the disk cache reports no errors")
    )]
    pub(crate) remedy: Remedy,
}

impl FileError {
    /// Returns an error if something other than a regular file is at the path.
    fn unexpected_file(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let (what, command) = if metadata.is_symlink() {
            ("a symbolic link", "rm")
        } else if metadata.is_dir() {
            ("a directory", "rmdir")
        } else if metadata.is_file() {
            return None;
        } else {
            ("not a regular file", "rm")
        };
        Some(Self {
            message: format!("{} is {what} and was not opened", display_path(path)),
            remedy: Remedy::new("Find out who created it, then remove it.")
                .command(format!("{command} {}", shell_quoted(path))),
        })
    }

    /// Returns the error inside an [`io::Error`], if there is one.
    #[cfg(feature = "login")]
    pub(crate) fn in_io_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FileError {}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::other(error)
    }
}

/// A temporary file that replaces another file, or a symbolic link. Deleted when dropped before.
pub(crate) struct Replacement {
    path: PathBuf,
    file: File,
}

impl Replacement {
    /// Writes the contents to the temporary `path`.
    pub(crate) fn write(path: PathBuf, contents: &[u8]) -> io::Result<Self> {
        let replacement = Self {
            file: create_own(&path)?,
            path,
        };
        step("temporary created");
        (&replacement.file).write_all(contents)?;
        step("temporary written");
        Ok(replacement)
    }

    /// Flushes the file to the disk, so that a power failure does not lose it.
    #[cfg(feature = "login")]
    pub(crate) fn sync(self) -> io::Result<Self> {
        self.file.sync_all()?;
        step("temporary synced");
        Ok(self)
    }

    /// Renames the file to `target` and keeps the owner of the replaced file.
    pub(crate) fn persist(self, target: &Path) -> io::Result<()> {
        // A link itself is replaced, so that its own owner counts.
        let replaced = match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(parent_dir(target))
            }
            found => found,
        };
        copy_owner(&self.file, &replaced?)?;
        fs::rename(&self.path, target)?;
        step("renamed");
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // A persisted file no longer exists at this path.
        let _ = fs::remove_file(&self.path);
    }
}

/// Flushes a renamed file's directory to the disk. The file itself was flushed, so that errors are
/// ignored.
#[cfg(feature = "login")]
pub(crate) fn sync_parent_dir(path: &Path) {
    #[cfg(unix)]
    if let Some(dir) = path.parent()
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Returns a random name of 16 hexadecimal digits.
pub(crate) fn random_name() -> io::Result<String> {
    let mut random = [0; 8];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| io::Error::other("the operating system returned no random numbers"))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

/// Returns whether a name has the form of a [`random_name`].
#[cfg(feature = "login")]
pub(crate) fn is_random_name(name: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    name.len() == 16 && name.bytes().all(is_digit)
}

/// Marks a change on the disk. Tests kill the process after each of these steps.
#[cfg(not(test))]
pub(crate) const fn step(_: &str) {}
#[cfg(test)]
pub(crate) use killed::step;

/// Child processes that are killed, or hang, at each step in turn.
#[cfg(test)]
pub(crate) mod killed {
    use std::io::{self, BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// The instructions of a child process, on three lines: the number of the step to stop after,
    /// the task, and the input of the task.
    const PART: &str = "EE_KILLED_PART";

    pub(crate) fn step(name: &str) {
        static STEPS: AtomicUsize = AtomicUsize::new(0);
        let Ok(part) = std::env::var(PART) else {
            return;
        };
        let number = STEPS.fetch_add(1, Ordering::Relaxed);
        eprintln!("\nstep {name}");
        if part.split('\n').next() == Some(&number.to_string()) {
            eprintln!("\nstopped");
            loop {
                std::thread::park();
            }
        }
    }

    /// Returns the task and its input, if this is a child process.
    pub(crate) fn part() -> Option<(String, String)> {
        let part = std::env::var(PART).ok()?;
        let (_, rest) = part.split_once('\n')?;
        let (task, input) = rest.split_once('\n')?;
        Some((task.to_owned(), input.to_owned()))
    }

    /// Runs this test in a child process and kills it after this many steps. Returns the steps
    /// taken: one more than `steps`, or fewer if the process finished.
    pub(crate) fn kill(test: &str, task: &str, input: &str, steps: usize) -> Vec<String> {
        run(test, task, input, steps, Child::kill)
    }

    /// Runs this test in a child process, one of whose threads hangs after this many steps, as on
    /// an unresponsive disk. The process must still finish.
    #[cfg(feature = "disk-cache")]
    pub(crate) fn hang(test: &str, task: &str, input: &str, steps: usize) -> Vec<String> {
        run(test, task, input, steps, |child| {
            for _ in 0..6000 {
                if child.try_wait()?.is_some_and(|status| status.success()) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            child.kill()?;
            panic!("{task} does not finish after step {steps}");
        })
    }

    fn run(
        test: &str,
        task: &str,
        input: &str,
        steps: usize,
        once_stopped: impl FnOnce(&mut Child) -> io::Result<()>,
    ) -> Vec<String> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(PART, format!("{steps}\n{task}\n{input}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut taken = Vec::new();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            match line.strip_prefix("step ") {
                Some(step) => taken.push(step.to_owned()),
                None if line == "stopped" => {
                    once_stopped(&mut child).unwrap();
                    break;
                }
                None => {}
            }
        }
        let status = child.wait().unwrap();
        assert!(
            status.success() || taken.len() == steps + 1,
            "{task} fails after {taken:?}"
        );
        taken
    }
}
