//! Reading the files of credentials: bounded, without waiting for a writer, and wiped.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ee_token::Remedy;
use zeroize::Zeroizing;

use crate::input::blocking::{self, READ_TIMEOUT};
use crate::input::file_access;
use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::{Error, ErrorKind, Warning};

/// The size limit of a credential file.
const MAX_FILE: u64 = 1 << 20;

/// What tells that a file is not the one that was read: cheap to ask for.
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

    /// The file's stamp now; `None` if there is no file.
    pub(crate) fn now(path: &Path) -> io::Result<Option<Self>> {
        match metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there may be another file at the path than the one with the stamp `last`. A file
    /// system that cannot tell, or does not respond, counts as a change.
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

/// A file's text, and what is known of the file.
pub(crate) struct FileContents {
    pub(crate) text: Zeroizing<String>,
    pub(crate) fingerprint: FileFingerprint,
    pub(crate) warnings: Vec<Warning>,
}

/// Reads a file of text. `Ok(None)` if there is none.
///
/// Only a regular file is opened, since a pipe could wait for ever, and at most 1 MiB of it
/// is read.
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

/// Rejects a key, a token or another text that cannot be a path.
pub(crate) fn check_path(location: &Location) -> Result<(), Error> {
    match location {
        Location::File { path, named_by } => named_by
            .map_or(PathSetting::Argument, PathSetting::Variable)
            .check(path),
        _ => Ok(()),
    }
}

/// Reads what is at the path now, which may be another thing than a moment ago.
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

/// Opens a file for reading, and waits for nobody who would have to write to it first, as
/// with a pipe.
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

/// Reads a file of text that must be there.
pub(crate) fn read(location: &Location) -> Result<FileContents, Error> {
    read_if_there(location)?.ok_or_else(|| {
        let error = location.invalid("there is no such file");
        match location {
            Location::File { path, .. } if path.starts_with("~") => error.with_remedy(Remedy::new(
                "Only a shell knows what ~ is: write the whole path.",
            )),
            Location::File {
                named_by: Some(variable),
                ..
            } => error.with_remedy(
                Remedy::new(format!(
                    "Point {variable} at a file that exists, or unset it."
                ))
                .command(format!("unset {variable}")),
            ),
            _ => error.with_remedy(Remedy::new("Check the path.")),
        }
    })
}

/// Runs an operation that reads the file of `location`, away from the threads that run tasks.
///
/// # Errors
/// Those of the operation; [`ErrorKind::Io`] if it does not return in time.
pub(crate) async fn read_async<T: Send + 'static>(
    location: &Location,
    operation: impl FnOnce(&Location) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let owned = location.clone();
    let path = location.path().unwrap_or(Path::new(""));
    blocking::run(path, READ_TIMEOUT, move || operation(&owned))
        .await
        .unwrap_or_else(|error| Err(unreadable(location, error)))
}

/// [`read_async`] for the other crates of this library; without a path nothing is read.
#[doc(hidden)]
pub async fn without_blocking<T: Send + 'static>(
    path: Option<PathBuf>,
    operation: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match path {
        Some(path) => read_async(&Location::file(path), move |_| operation()).await,
        None => operation(),
    }
}

/// Whether nothing is there, as opposed to something that cannot be read.
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

/// The error for what is no regular file.
pub(crate) fn check_kind(metadata: &Metadata, location: &Location) -> Result<(), Error> {
    if metadata.is_dir() {
        return Err(location
            .invalid("it is a folder, and a file is needed")
            .with_remedy(Remedy::new("Name the file inside of it.")));
    }
    if !metadata.is_file() {
        return Err(location
            .invalid("it is a pipe or a device, and a regular file is needed")
            .with_remedy(Remedy::new("Write the credential to a file first.")));
    }
    Ok(())
}

fn too_long(location: &Location) -> Error {
    location
        .invalid("it is longer than 1 MiB, so it is no credential")
        .with_remedy(Remedy::new("Check the path."))
}

pub(crate) fn unreadable(location: &Location, error: io::Error) -> Error {
    if is_transient(&error) {
        let told = Error::new(
            ErrorKind::Io,
            format!("{location}: it cannot be read for now: {error}"),
        );
        return told.with_remedy(retry(&error)).with_source(error);
    }
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::InvalidInput => "this cannot be a path".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    location
        .invalid(why)
        .with_remedy(Remedy::new(
            "Check the path, and who owns the file and may read it.",
        ))
        .with_source(error)
}

/// Whether the same operation may succeed later. The errors of the system are many: all of them
/// are transient that are not about the file itself, its path or its permissions.
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
    // These have no kind in the standard library.
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

/// The remedy for an error that [`is_transient`].
pub(crate) fn retry(error: &io::Error) -> Remedy {
    #[cfg(unix)]
    if is_one_of(error, &[rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]) {
        return Remedy::new(
            "Try again. If it happens again, close files that are no longer used, or raise the limit on open files.",
        )
        .command("ulimit -n 4096");
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Remedy::new(
            "Check that the file system is mounted and its server can be reached, or put the file on a local disk.",
        ),
        _ => Remedy::new("Try again. If it happens again, check the disk and the system's log."),
    }
}

/// The error of a file that this program has read before, and cannot read again: a permission
/// that is missing may be set by the program that is just replacing the file.
pub(crate) fn while_replaced(error: Error) -> Error {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    let is_denied =
        cause.is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied);
    if !is_denied {
        return error;
    }
    let told = Error::new(ErrorKind::Io, error.to_string());
    match error.remedy() {
        Some(remedy) => told.with_remedy(remedy.clone()),
        None => told,
    }
    .with_source(error)
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
            .invalid("it has NUL bytes, so it is no text")
            .with_remedy(save_again()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Tests let operations on a path fail here.
#[cfg(not(test))]
fn injected_fault(_: &Path, _opens: bool) -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use faults::apply as injected_fault;

/// File systems that fail, or do not respond.
#[cfg(test)]
pub(crate) mod faults {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Condvar, Mutex};

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// Nothing that is done with the path succeeds: this is the system's number of the error.
        Error(i32),
        /// The file cannot be opened.
        OpenError(i32),
        /// No operation on the path returns.
        Hang,
    }

    static FAULTS: Mutex<BTreeMap<PathBuf, Fault>> = Mutex::new(BTreeMap::new());
    static CHANGED: Condvar = Condvar::new();

    /// Ends its fault when it is dropped.
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
mod tests {
    use ee_token::display_path;

    use super::*;

    fn refusal(path: &Path) -> String {
        let error = read(&Location::file(path)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(error.remedy().is_some());
        let message = error.to_string();
        assert!(message.starts_with(&display_path(path)), "{message}");
        message
    }

    #[test]
    fn what_is_no_readable_text_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (contents, why) in [
            (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
            (b"{\"a\": \"\xff\"}", "not UTF-8 text (from byte 7 on)"),
            (b"{}\0", "NUL"),
        ] {
            fs::write(path("odd"), contents).unwrap();
            assert!(refusal(&path("odd")).contains(why));
        }
        assert!(refusal(folder.path()).contains("folder"));
        assert!(refusal(&path("nowhere")).contains("no such file"));
        assert!(refusal(&path("odd").join("below")).contains("no such file"));
        assert!(refusal(Path::new("~/key.json")).contains("no such file"));
        // Sparse: 100 MB that are never read.
        let huge = File::create(path("huge")).unwrap();
        huge.set_len(100_000_000).unwrap();
        assert!(refusal(&path("huge")).contains("1 MiB"));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_opened() {
        assert!(refusal(Path::new("/dev/zero")).contains("device"));
        assert!(refusal(Path::new("/dev/tty")).contains("device"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_takes_the_files_place_before_it_is_opened_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // Nobody writes to it: opened in the usual way, it would be waited for without end.
        let error = read_file(&pipe, &Location::file(&pipe)).err().unwrap();
        assert!(error.to_string().contains("pipe"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\xef\xbb\xbf{}").unwrap();
        assert_eq!(*read(&Location::file(file.path())).unwrap().text, "{}");
    }

    #[test]
    fn a_stamp_changes_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(FileFingerprint::now(&path).unwrap(), None);
        fs::write(&path, "a").unwrap();
        let before = read(&Location::file(&path)).unwrap().fingerprint;
        assert_eq!(FileFingerprint::now(&path).unwrap(), Some(before));
        fs::write(&path, "ab").unwrap();
        assert_ne!(FileFingerprint::now(&path).unwrap(), Some(before));
    }

    #[cfg(unix)]
    #[test]
    fn errors_about_the_file_itself_are_not_transient() {
        use rustix::io::Errno;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "{}").unwrap();
        for errno in [
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::INVAL,
            Errno::ISDIR,
        ] {
            let fault = faults::Fault::OpenError(errno.raw_os_error());
            let _injected = faults::inject(&path, fault);
            let error = read(&Location::file(&path)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidFile, "{errno}");
            assert!(!error.is_transient() && error.remedy().is_some());
        }
        for errno in [Errno::NOENT, Errno::NOTDIR] {
            let fault = faults::Fault::Error(errno.raw_os_error());
            let _injected = faults::inject(&path, fault);
            assert!(read_if_there(&Location::file(&path)).unwrap().is_none());
        }
    }
}
