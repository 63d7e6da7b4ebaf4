//! Subject tokens from a file: Kubernetes, and everything that renews a token in place.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ee_token::{PrintablePath, SecretString};

use crate::Error;
use crate::input::file::{FileFingerprint, read, read_async};
use crate::input::json::Document;
use crate::input::location::Location;
use crate::kinds::external_account::Context;
use crate::kinds::external_account::subject_token::format::Format;

/// A file that is read for each exchange.
#[derive(Debug)]
pub(crate) struct FileToken {
    path: PrintablePath,
    format: Format,
    /// The file's when it was last read; `None` if it could not be read.
    fingerprint: Mutex<Option<FileFingerprint>>,
}

impl FileToken {
    pub(crate) fn from_document(source: &Document) -> Result<Self, Error> {
        Ok(Self {
            path: source.required_path("file")?.into(),
            format: Format::from_document(source)?,
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
            let told = error.into_token_error();
            let explained = ee_token::Error::new(told.kind(), why);
            match told.remedy().cloned() {
                Some(remedy) => explained.with_remedy(remedy),
                None => explained,
            }
            .with_source(told)
        })
    }

    /// Whether it may be another file than the one that was read last.
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
