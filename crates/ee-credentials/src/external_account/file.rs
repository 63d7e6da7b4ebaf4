//! Subject tokens from a file: Kubernetes, and everything that renews a token in place.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ee_token::SecretString;

use super::Context;
use super::format::Format;
use crate::Error;
use crate::document::Document;
use crate::place::{Place, Stamp, read};

/// A file that is read for each exchange.
#[derive(Debug)]
pub(super) struct FileToken {
    path: PathBuf,
    format: Format,
    /// The file's when it was last read.
    stamp: Mutex<Option<Stamp>>,
}

impl FileToken {
    pub(super) fn from_document(source: &Document) -> Result<Self, Error> {
        Ok(Self {
            path: PathBuf::from(source.required_text("file")?),
            format: Format::from_document(source)?,
            stamp: Mutex::new(None),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let place = Place::file(&self.path);
        let token = || {
            *self.stamp() = Stamp::now(&self.path);
            self.format.token(&read(&place)?.text, &place)
        };
        token().map_err(|error| {
            let why = format!("{error} (the subject token that {} names)", context.place);
            let mut told = ee_token::Error::new(ee_token::ErrorKind::InvalidCredential, why);
            if let Some(remedy) = error.remedy() {
                told = told.with_remedy(remedy.clone());
            }
            told.with_source(error)
        })
    }

    /// Whether it is another file than the one that was read last.
    pub(super) fn changed(&self) -> bool {
        Stamp::now(&self.path) != *self.stamp()
    }

    fn stamp(&self) -> std::sync::MutexGuard<'_, Option<Stamp>> {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
