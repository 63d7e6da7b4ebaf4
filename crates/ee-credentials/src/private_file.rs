//! Files that their owner alone may read, each replaced as a whole: whoever looks, and
//! whatever happens on the way, there is the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

/// Makes a folder, and those above it, that only their owner may look into.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    step("folder made");
    Ok(())
}

/// Makes a file that is not there yet.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create_new(true))
}

/// Opens the file that processes lock, and makes it and its folder if need be.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = open(path, &mut options)?;
    step("lock there");
    Ok(file)
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
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
            file: create(&path)?,
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

    /// Puts it in the place of whatever is there.
    pub(crate) fn put(self, target: &Path) -> io::Result<()> {
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
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

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
                    child.kill().unwrap();
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
