//! A directory that only its owner can read, which is removed at the end.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ee_token::internal::display_path;

use crate::prefix::PathPrefix;
use crate::{Error, ErrorKind};

#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot create the {what} {}: {error}", display_path(path));
    Error::new(ErrorKind::PrivateDirectory, message)
}

fn create_dir(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    // Fails if something is there, and follows no link.
    let created = builder.create(path);
    created.map_err(|error| failed("directory", path, &error))
}

impl PrivateDir {
    pub(crate) fn create(parent: &Path) -> Result<Self, Error> {
        let random = PathPrefix::random()?;
        let path = parent.join(format!("ee-broker-{}", random.expose()));
        create_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn create_dir(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        create_dir(&path)?;
        Ok(path)
    }

    pub(crate) fn create_file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed("file", &path, &error))?;
        Ok(path)
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %display_path(&self.path), %error, "cannot remove a directory");
        }
    }
}
