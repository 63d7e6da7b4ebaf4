//! Subject tokens from a file that another program updates, such as kubelet.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ee_token::SecretString;
use ee_token::internal::PrintablePath;

use crate::Error;
use crate::input::file::{FileFingerprint, read, read_async};
use crate::input::json::{FilePath, JsonObject};
use crate::input::location::Location;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::format::Format;

/// A file that is read before each exchange.
#[derive(Debug)]
pub(crate) struct FileToken {
    path: PrintablePath,
    format: Format,
    /// The fingerprint of the last read, or `None` if that failed.
    fingerprint: Mutex<Option<FileFingerprint>>,
}

impl FileToken {
    pub(crate) fn from_object(source: &JsonObject<'_>) -> Result<Self, Error> {
        let path: FilePath = source.field("file")?;
        Ok(Self {
            path: PathBuf::from(path).into(),
            format: Format::from_object(source)?,
            fingerprint: Mutex::new(None),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn read(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let location = Location::file(self.path.as_path());
        let file = read_async(&location, read).await;
        *self.fingerprint() = file.as_ref().ok().map(|file| file.fingerprint);
        let token = file.and_then(|file| self.format.token(&file.text, &location));
        token.map_err(|error| {
            let why = format!(
                "{error} (the subject token that {} names)",
                context.location
            );
            error.into_token_error().context(why)
        })
    }

    /// Whether the file may have changed since it was read.
    pub(crate) fn can_retry_after_rejection(&self) -> bool {
        let last = *self.fingerprint();
        FileFingerprint::can_retry_after_rejection(&self.path, last)
    }

    fn fingerprint(&self) -> std::sync::MutexGuard<'_, Option<FileFingerprint>> {
        self.fingerprint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
