//! The universe of a credential: Google's public cloud, or another one.

use ee_token::Remedy;

use crate::input::json::JsonObject;
use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

/// The only universe with Earth Engine.
pub(crate) const UNIVERSE: &str = "googleapis.com";

/// Rejects a credential for a cloud other than Google's public one.
pub(crate) fn check_universe(object: &JsonObject<'_>) -> Result<(), Error> {
    match object.field::<Option<String>>("universe_domain")?.as_deref() {
        None | Some(UNIVERSE) => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::UnsupportedUniverse,
            format!(
                "{}: the field `universe_domain` is {:?}, and Earth Engine is available in {UNIVERSE} only",
                object.location,
                clipped(other)
            ),
        )
        .with_remedy(Remedy::new(
            "Use a credential of a project in Google's public cloud.",
        ))),
    }
}
