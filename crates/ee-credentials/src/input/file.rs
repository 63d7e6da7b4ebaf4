//! Reading the files of credentials: bounded, without waiting for a writer, and wiped.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ee_token::Remedy;
use ee_token::internal::display_path;
use zeroize::Zeroizing;

use crate::input::blocking::{self, READ_TIMEOUT};
use crate::input::file_access;
use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::{Error, ErrorKind, Warning};

/// The size limit of a credential file.
const MAX_FILE: u64 = 1 << 20;

/// A cheap way to tell that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl FileFingerprint {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        }
    }

    /// Returns the fingerprint of a file, or `None` if it does not exist.
    pub(crate) fn now(path: &Path) -> io::Result<Option<Self>> {
        match metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the file may have changed since the fingerprint `last`. An error, or a file system that
    /// does not respond, counts as a change.
    pub(crate) fn can_retry_after_rejection(path: &Path, last: Option<Self>) -> bool {
        let owned = path.to_owned();
        let now = blocking::run_briefly(path, move || Self::now(&owned));
        !matches!(now, Some(Ok(now)) if now == last)
    }
}

fn metadata(path: &Path) -> io::Result<Metadata> {
    injected_fault(path, false)?;
    fs::metadata(path)
}

/// The text of a file, its fingerprint, and warnings about its permissions.
pub(crate) struct FileContents {
    pub(crate) text: Zeroizing<String>,
    pub(crate) fingerprint: FileFingerprint,
    pub(crate) warnings: Vec<Warning>,
}

/// Reads a text file. Returns `None` if it does not exist.
///
/// Only a regular file is opened, because a pipe may never have a writer, and at most 1 MiB is read.
pub(crate) fn read_if_there(location: &Location) -> Result<Option<FileContents>, Error> {
    let Some(path) = location.path() else {
        return Ok(None);
    };
    check_path(location)?;
    let metadata = match metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(unreadable(location, error)),
    };
    check(&metadata, location)?;
    read_file(path, location).map(Some)
}

/// What a location of the search contains.
pub(crate) enum Optional {
    File(FileContents),
    Missing,
    /// Its path is inaccessible: a directory above it cannot be entered, or something else is in the
    /// file's place.
    Inaccessible(Warning),
}

/// Reads a text file in a location that exists by convention, so that credentials elsewhere can be
/// used if it is inaccessible. A file that a variable names must be readable, if it exists.
pub(crate) fn read_optional(location: &Location) -> Result<Optional, Error> {
    if let Location::File {
        path,
        named_by: None,
    } = location
    {
        let why = match metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                return read_file(path, location).map(Optional::File);
            }
            Ok(metadata) if metadata.is_dir() => Some(Obstacle::Directory),
            Ok(_) => Some(Obstacle::Device),
            Err(error) if is_absent(&error) => return Ok(Optional::Missing),
            Err(error) if is_transient(&error) => None,
            Err(error) => Some(Obstacle::Error(error)),
        };
        if let Some(why) = why {
            return Ok(Optional::Inaccessible(why.warning(path)));
        }
    }
    Ok(match read_if_there(location)? {
        Some(contents) => Optional::File(contents),
        None => Optional::Missing,
    })
}

/// Why a path leads to no file.
enum Obstacle {
    Directory,
    Device,
    Error(io::Error),
}

impl Obstacle {
    fn warning(self, path: &Path) -> Warning {
        let (why, remedy) = match self {
            Self::Directory => (
                "it is a directory, not a file".to_owned(),
                "Remove the directory. Docker creates one if the file to mount does not exist.",
            ),
            Self::Device => (
                "it is a pipe or a device, not a file".to_owned(),
                "Write the credential to a file.",
            ),
            Self::Error(error) if error.kind() == io::ErrorKind::PermissionDenied => (
                "permission to a directory above it is denied".to_owned(),
                "If it is needed, run the program as the owner of the directory. In a container, set HOME to the home directory of the container's user.",
            ),
            Self::Error(error) => (
                format!("it cannot be accessed: {error}"),
                "Check the path and its symbolic links.",
            ),
        };
        Warning::new(
            "location_inaccessible",
            format!("{} was skipped: {why}", display_path(path)),
            Remedy::new(remedy),
        )
    }
}

/// Rejects a key, a token or another text that cannot be a path.
pub(crate) fn check_path(location: &Location) -> Result<(), Error> {
    match location {
        Location::File { path, named_by } => named_by
            .map_or(PathSetting::Argument, PathSetting::Variable)
            .check(path),
        _ => Ok(()),
    }
}

/// Reads the file, which may have been replaced since it was checked.
fn read_file(path: &Path, location: &Location) -> Result<FileContents, Error> {
    let mut file = open(path).map_err(|error| unreadable(location, error))?;
    let metadata = file
        .metadata()
        .map_err(|error| unreadable(location, error))?;
    check(&metadata, location)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.by_ref()
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(location, error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_long(location));
    }
    Ok(FileContents {
        text: decode(&bytes, location)?,
        fingerprint: FileFingerprint::of(&metadata),
        warnings: file_access::check(&metadata, path),
    })
}

/// Opens a file for reading, without waiting for the writer of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    injected_fault(path, true)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options.open(path)
}

/// Reads a text file that must exist.
pub(crate) fn read(location: &Location) -> Result<FileContents, Error> {
    read_if_there(location)?.ok_or_else(|| {
        let error = location.invalid("the file does not exist");
        match location {
            Location::File {
                path,
                named_by: Some(variable),
            } => error.with_remedy(
                Remedy::new(format!(
                    "Set {variable} to the {} of an existing file, or unset it.",
                    if path.is_relative() {
                        "absolute path"
                    } else {
                        "path"
                    }
                ))
                .command(format!("unset {variable}")),
            ),
            Location::File { path, .. } if path.is_relative() => error.with_remedy(Remedy::new(
                "Check the path. It is relative to the program's current directory.",
            )),
            _ => error.with_remedy(Remedy::new("Check the path.")),
        }
    })
}

/// Runs an operation that reads the file of `location`, outside of the threads that run tasks.
///
/// # Errors
/// The operation's own; [`ErrorKind::Io`] if it does not return in time.
pub(crate) async fn read_async<T: Send + 'static>(
    location: &Location,
    operation: impl FnOnce(&Location) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path = location.path().unwrap_or(Path::new(""));
    if blocking::is_known_absent(path) {
        return operation(location);
    }
    let owned = location.clone();
    blocking::run(path, READ_TIMEOUT, move || operation(&owned))
        .await
        .unwrap_or_else(|error| Err(unreadable(location, error)))
}

/// `read_async` for the other crates of this workspace. Without a path nothing is read.
///
/// # Errors
/// The operation's own; [`ErrorKind::Io`] if it does not return in time.
pub async fn without_blocking<T: Send + 'static>(
    path: Option<PathBuf>,
    operation: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match path {
        Some(path) => read_async(&Location::file(path), move |_| operation()).await,
        None => operation(),
    }
}

/// Whether the file does not exist, as opposed to being unreadable.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn check(metadata: &Metadata, location: &Location) -> Result<(), Error> {
    check_kind(metadata, location)?;
    if metadata.len() > MAX_FILE {
        return Err(too_long(location));
    }
    Ok(())
}

/// Rejects a path that is not a regular file.
pub(crate) fn check_kind(metadata: &Metadata, location: &Location) -> Result<(), Error> {
    if metadata.is_dir() {
        return Err(location
            .invalid("it is a directory, not a file")
            .with_remedy(Remedy::new("Use the path of a file in it.")));
    }
    if !metadata.is_file() {
        return Err(location
            .invalid("it is a pipe or a device, not a regular file")
            .with_remedy(Remedy::new("Write the credential to a file first.")));
    }
    Ok(())
}

fn too_long(location: &Location) -> Error {
    location
        .invalid("it is larger than 1 MiB, so it is not a credential")
        .with_remedy(Remedy::new("Check the path."))
}

pub(crate) fn unreadable(location: &Location, error: io::Error) -> Error {
    if is_transient(&error) {
        let message = format!("{location}: it could not be read: {error}");
        return Error::new(ErrorKind::Io, message)
            .with_remedy(retry(&error))
            .with_source(error);
    }
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission to read it is denied".to_owned(),
        io::ErrorKind::InvalidInput => "the path is invalid".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    location
        .invalid(why)
        .with_remedy(Remedy::new(
            "Check the path, and the owner and the permissions of the file.",
        ))
        .with_source(error)
}

/// Whether the operation may succeed on retry: any error but those about the file itself, its path or
/// its permissions.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    let is_about_file = matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidData
            | io::ErrorKind::Unsupported
    );
    // The standard library has no kind for these.
    #[cfg(unix)]
    let is_about_file = {
        use rustix::io::Errno;
        is_about_file || is_one_of(error, &[Errno::LOOP, Errno::NOEXEC, Errno::TOOBIG])
    };
    !is_about_file
}

#[cfg(unix)]
fn is_one_of(error: &io::Error, numbers: &[rustix::io::Errno]) -> bool {
    rustix::io::Errno::from_io_error(error).is_some_and(|number| numbers.contains(&number))
}

/// Returns the remedy for a transient error.
pub(crate) fn retry(error: &io::Error) -> Remedy {
    #[cfg(unix)]
    if is_one_of(error, &[rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]) {
        return Remedy::new(
            "Try again. If it happens again, close unused files, or raise the limit on open files.",
        )
        .command("ulimit -n 4096");
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Remedy::new(
            "Check that the file system is mounted and its server can be reached, or put the file on a local disk.",
        ),
        _ => Remedy::new("Try again. If it happens again, check the disk and the system log."),
    }
}

/// Makes a permission error transient for a file that was readable before: another process may be
/// replacing it, and set its permissions next.
pub(crate) fn while_replaced(error: Error) -> Error {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    let is_denied =
        cause.is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied);
    if !is_denied {
        return error;
    }
    Error::new(ErrorKind::Io, error.to_string()).with_cause(error)
}

pub(crate) fn decode(bytes: &[u8], location: &Location) -> Result<Zeroizing<String>, Error> {
    let save_again = || Remedy::new("Save the file as plain text in UTF-8, or download it again.");
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(location
            .invalid("it is UTF-16, and UTF-8 is needed")
            .with_remedy(save_again()));
    }
    // Windows editors begin UTF-8 files with this mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        location
            .invalid(format_args!(
                "it is not UTF-8 text (from byte {} on)",
                error.valid_up_to()
            ))
            .with_remedy(save_again())
    })?;
    if text.contains('\0') {
        return Err(location
            .invalid("it contains NUL bytes, so it is not text")
            .with_remedy(save_again()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The hook for errors that tests inject.
#[cfg(not(test))]
fn injected_fault(_: &Path, _opens: bool) -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use faults::apply as injected_fault;

/// File systems that fail or do not respond.
#[cfg(test)]
pub(crate) mod faults {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Condvar, Mutex};

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// All operations on the path fail with this error number.
        Error(i32),
        /// The file cannot be opened.
        OpenError(i32),
        /// No operation on the path returns.
        Hang,
    }

    static FAULTS: Mutex<BTreeMap<PathBuf, Fault>> = Mutex::new(BTreeMap::new());
    static CHANGED: Condvar = Condvar::new();

    /// Removes its fault on drop.
    pub(crate) struct Injected(PathBuf);

    pub(crate) fn inject(path: &Path, fault: Fault) -> Injected {
        FAULTS.lock().unwrap().insert(path.to_owned(), fault);
        Injected(path.to_owned())
    }

    pub(crate) fn apply(path: &Path, opens: bool) -> io::Result<()> {
        let mut faults = FAULTS.lock().unwrap();
        loop {
            match faults.get(path) {
                Some(Fault::Error(number)) => return Err(io::Error::from_raw_os_error(*number)),
                Some(Fault::OpenError(number)) if opens => {
                    return Err(io::Error::from_raw_os_error(*number));
                }
                Some(Fault::Hang) => faults = CHANGED.wait(faults).unwrap(),
                _ => return Ok(()),
            }
        }
    }

    impl Drop for Injected {
        fn drop(&mut self) {
            FAULTS.lock().unwrap().remove(&self.0);
            CHANGED.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
