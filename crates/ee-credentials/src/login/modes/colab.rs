//! The mode `colab`: Google Colab's own login, which only the kernel of the notebook can make.

use std::path::Path;

use ee_token::Remedy;
use ee_token::internal::display_path;

use crate::input::shell::shell_quoted;
use crate::login::detect::is_colab;
use crate::login::session::Session;
use crate::{Error, ErrorKind};

/// The code to run in a cell.
const CELL: &str = "from google.colab import auth; auth.authenticate_user()";

/// Returns the error that explains how to log in, if there are no credentials yet.
pub(crate) fn not_logged_in(session: &Session) -> Error {
    if session.requests_other_scopes() {
        return Error::new(
            ErrorKind::InvalidOptions,
            "the scopes of Colab's login cannot be changed",
        )
        .with_remedy(
            Remedy::new("Omit the scopes, or use another login mode.")
                .command("eectl auth login --mode=notebook"),
        );
    }
    let root = session.environment.var("DATALAB_ROOT").unwrap_or("");
    let adc = format!("{root}/content/.adc/adc.json");
    let is_set = session.environment.is_set("GOOGLE_APPLICATION_CREDENTIALS");
    if !is_set && Path::new(&adc).is_file() {
        return Error::new(
            ErrorKind::LoginUnavailable,
            format!(
                "Colab saved a login in {}, but this process does not use it",
                display_path(Path::new(&adc))
            ),
        )
        .with_remedy(
            Remedy::new("Set GOOGLE_APPLICATION_CREDENTIALS to the file.").command(format!(
                "export GOOGLE_APPLICATION_CREDENTIALS={}",
                shell_quoted(adc.as_ref())
            )),
        );
    }
    if !is_colab(&session.environment) {
        return Error::new(ErrorKind::LoginUnavailable, "not running in Google Colab")
            .with_remedy(Remedy::new("Omit the mode to select one that fits."));
    }
    Error::new(
        ErrorKind::LoginUnavailable,
        "Colab has no login yet, and it can be made only in a cell of the notebook",
    )
    .with_remedy(Remedy::new("Run this in a cell, then try again.").command(CELL))
}
