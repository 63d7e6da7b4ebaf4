//! The universe that a credential belongs to: which of Google's clouds.

use ee_token::Remedy;

use crate::input::json::Document;
use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

/// The only universe with an Earth Engine in it.
pub(crate) const UNIVERSE: &str = "googleapis.com";

/// Refuses a credential that is good for another cloud than Google's public one.
pub(crate) fn check_universe(document: &Document) -> Result<(), Error> {
    match document.text("universe_domain")? {
        None | Some(UNIVERSE) => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::UnsupportedUniverse,
            format!(
                "{}: the field `universe_domain` is {:?}, and Earth Engine is offered in {UNIVERSE} only",
                document.location,
                clipped(other)
            ),
        )
        .with_remedy(Remedy::new(
            "Use a credential of a project in Google's public cloud.",
        ))),
    }
}
