//! The projects of the last list, which completions offer without a request.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use earthengine::{Environment, ListedProject};

use crate::output::strip_unsafe_chars;

/// More projects are not offered.
const MAX_PROJECTS: usize = 1000;
const MAX_BYTES: u64 = 1 << 20;

/// Returns the file: a line per project, its ID, a tab and its name.
fn path() -> Option<PathBuf> {
    let environment = Environment::current();
    let name = match environment.emulator() {
        Ok(None) => "projects",
        // The emulator's projects do not exist anywhere else.
        _ => "projects-of-emulator",
    };
    Some(environment.cache_dir().ok()??.join(name))
}

/// Saves a list. A failure is ignored, because only completions use the file.
pub(crate) fn save(projects: &[ListedProject]) {
    let lines = projects.iter().take(MAX_PROJECTS).map(|project| {
        let [id, name] = [&project.id, &project.name].map(|text| strip_unsafe_chars(text));
        format!("{id}\t{name}\n")
    });
    let _ = path().map(|path| write(&path, &lines.collect::<String>()));
}

/// Writes a file that only its owner can read, all of it or nothing.
fn write(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    let part = path.with_extension(format!("part-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// Returns the IDs and names in the file, or nothing without one.
pub(crate) fn load() -> Vec<(String, String)> {
    let text = path().and_then(|path| {
        let is_small =
            fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MAX_BYTES);
        is_small.then(|| fs::read_to_string(path).ok())?
    });
    let text = text.unwrap_or_default();
    let lines = text.lines().take(MAX_PROJECTS);
    let lines = lines.filter_map(|line| line.split_once('\t'));
    lines
        .filter(|(id, _)| earthengine::check_project(id).is_ok())
        .map(|(id, name)| (id.to_owned(), strip_unsafe_chars(name)))
        .collect()
}

/// Removes the file, when its user logs out.
pub(crate) fn remove() {
    // It may not exist.
    let _ = path().map(fs::remove_file);
}
