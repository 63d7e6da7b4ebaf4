//! Files that their owner alone may read, each replaced as a whole: a reader sees the old
//! contents or the new, whatever happens in between.
//!
//! Files of our own, such as locks, are never opened through a symbolic link. A process of root
//! leaves files to the owner of the file that they replace, or of the directory.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ee_token::{Remedy, display_path};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::input::path_setting::PathSetting;
use crate::input::shell::shell_quoted;

/// Creates a directory, and those above it, that only their owner may look into.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    PathSetting::Argument
        .check(folder)
        .map_err(io::Error::other)?;
    make_folders(folder)?;
    step("folder made");
    Ok(())
}

fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => {}
        // Another process was faster.
        Err(_) if folder.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    {
        // Not by its path, which may be another directory by now.
        let directory = open_no_follow(folder, OpenOptions::new().read(true))?;
        leave_to(&directory, &fs::metadata(folder_of(folder))?)?;
    }
    Ok(())
}

/// Creates a file that does not exist yet.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = create_own(path)?;
    leave_to(&file, &fs::metadata(folder_of(path))?).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(file)
}

fn create_own(path: &Path) -> io::Result<File> {
    // Never through a link: `create_new` fails if there is one.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens a file of our own that exists. A symbolic link in its place is an error, and so is
/// everything else that is not a regular file.
pub(crate) fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(not(unix))]
    if let Some(refusal) = Refusal::of_another(path) {
        return Err(refusal.into());
    }
    let opened = open_no_follow(path, options);
    if let Ok(file) = &opened
        && file.metadata()?.is_file()
    {
        return opened;
    }
    match (Refusal::of_another(path), opened) {
        (Some(refusal), _) => Err(refusal.into()),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Opens what is at the path, unless that is a symbolic link. Does not wait for a writer, as
/// opening a pipe does.
fn open_no_follow(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    options.open(path)
}

/// Opens the file that processes lock, and creates it and its directory if need be.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let existing = || open_own(path, OpenOptions::new().read(true).write(true));
    let file = match existing() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing()?,
            created => created?,
        },
        opened => opened?,
    };
    step("lock there");
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Gives a new file to the owner and group of another file or directory.
#[cfg(unix)]
fn leave_to(file: &File, other: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    const ROOT: u32 = 0;
    let own = file.metadata()?;
    let (uid, gid) = (other.uid(), other.gid());
    if (own.uid(), own.gid()) == (uid, gid) {
        return Ok(());
    }
    if own.uid() != ROOT {
        // Only root may give files away. Another group may not read the file either, so that a
        // group which cannot be set does no harm.
        if own.uid() == uid {
            let _ = fchown(file, None, Some(gid));
        }
        return Ok(());
    }
    fchown(file, Some(uid), Some(gid)).map_err(|error| {
        Refusal {
            why: format!(
                "the new file cannot be given to its owner (user {uid}, group {gid}): {error}"
            ),
            remedy: Remedy::new("Run the command as the owner of the file, not as root."),
        }
        .into()
    })
}

#[cfg(not(unix))]
fn leave_to(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Why a file is not opened or replaced, if that is not the operating system's error.
#[derive(Debug)]
pub(crate) struct Refusal {
    why: String,
    #[cfg_attr(
        not(feature = "login"),
        expect(dead_code, reason = "a cache that cannot be used is no error")
    )]
    pub(crate) remedy: Remedy,
}

impl Refusal {
    /// The refusal of what is in the place of a file of our own, if it is another thing.
    fn of_another(path: &Path) -> Option<Self> {
        let there = fs::symlink_metadata(path).ok()?;
        let (what, command) = if there.is_symlink() {
            ("a symbolic link", "rm")
        } else if there.is_dir() {
            ("a directory", "rmdir")
        } else if there.is_file() {
            return None;
        } else {
            ("not a regular file", "rm")
        };
        Some(Self {
            why: format!("{} is {what}, and was not opened", display_path(path)),
            remedy: Remedy::new("Find out who created it, and remove it.")
                .command(format!("{command} {}", shell_quoted(path))),
        })
    }

    /// The refusal in an error, if it is one.
    #[cfg(feature = "login")]
    pub(crate) fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

/// Writes a file beside another and puts it in its place: of a link too, which then no longer
/// is one. It goes when it is dropped before that.
pub(crate) struct Replacement {
    path: PathBuf,
    file: File,
}

impl Replacement {
    /// `path` is where it is until it takes the other's place.
    pub(crate) fn write(path: PathBuf, contents: &[u8]) -> io::Result<Self> {
        let replacement = Self {
            file: create_own(&path)?,
            path,
        };
        step("temporary made");
        (&replacement.file).write_all(contents)?;
        step("temporary written");
        Ok(replacement)
    }

    /// Forces it to the disk: a power cut loses none of it.
    #[cfg(feature = "login")]
    pub(crate) fn sync(self) -> io::Result<Self> {
        self.file.sync_all()?;
        step("temporary synced");
        Ok(self)
    }

    /// Puts it in the place of whatever is there, with the same owner.
    pub(crate) fn put(self, target: &Path) -> io::Result<()> {
        // Of a link, and not of what it leads to: the link is what is replaced.
        let replaced = match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(folder_of(target))
            }
            found => found,
        };
        leave_to(&self.file, &replaced?)?;
        fs::rename(&self.path, target)?;
        step("put in place");
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Gone already if all went well.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a new name last. The file itself is safe already, so that a file system which
/// cannot do this is no failure.
#[cfg(feature = "login")]
pub(crate) fn sync_folder_of(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// A name that nobody else thinks of: 16 hexadecimal digits.
pub(crate) fn random_name() -> io::Result<String> {
    let mut random = [0; 8];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| io::Error::other("no random numbers"))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

/// Whether a name could be a [`random_name`].
#[cfg(feature = "login")]
pub(crate) fn is_random_name(name: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    name.len() == 16 && name.bytes().all(is_digit)
}

/// Something on the disk has changed. Tests end the process after each of these.
#[cfg(not(test))]
pub(crate) const fn step(_: &str) {}
#[cfg(test)]
pub(crate) use killed::step;

/// Processes that are killed at one step after another.
#[cfg(test)]
pub(crate) mod killed {
    use std::io::{self, BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// What the process is to do: the number of the step that it stops after, a line with the
    /// writer's name, and what the writer needs.
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

    /// What this process is to do, if it is one that will be killed: the writer's name, and
    /// what it needs.
    pub(crate) fn part() -> Option<(String, String)> {
        let part = std::env::var(PART).ok()?;
        let (_, rest) = part.split_once('\n')?;
        let (writer, needs) = rest.split_once('\n')?;
        Some((writer.to_owned(), needs.to_owned()))
    }

    /// Runs this test again in a process of its own, kills it after so many steps, and returns
    /// those that it took: as many and one more, or fewer if it came to its end.
    pub(crate) fn kill(test: &str, writer: &str, needs: &str, steps: usize) -> Vec<String> {
        run(test, writer, needs, steps, Child::kill)
    }

    /// Runs this test again in a process of its own, one of whose threads stops after so many
    /// steps: as if the disk did not respond any more. The process must go on to its end.
    #[cfg(feature = "disk-cache")]
    pub(crate) fn hang(test: &str, writer: &str, needs: &str, steps: usize) -> Vec<String> {
        run(test, writer, needs, steps, |child| {
            for _ in 0..6000 {
                if child.try_wait()?.is_some_and(|status| status.success()) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            child.kill()?;
            panic!("{writer} does not end after step {steps}");
        })
    }

    fn run(
        test: &str,
        writer: &str,
        needs: &str,
        steps: usize,
        once_stopped: impl FnOnce(&mut Child) -> io::Result<()>,
    ) -> Vec<String> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(PART, format!("{steps}\n{writer}\n{needs}"))
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
            "{writer} fails after {taken:?}"
        );
        taken
    }
}
