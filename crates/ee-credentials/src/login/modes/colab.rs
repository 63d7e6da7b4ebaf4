//! Google Colab logs people in by itself, inside of the notebook's kernel: nothing that
//! another process could do.

use std::path::Path;

use ee_token::{Remedy, display_path};

use crate::input::shell::shell_quoted;
use crate::login::detect::is_colab;
use crate::login::flow::LoginFlow;
use crate::{Error, ErrorKind};

/// What is run in a cell.
const CELL: &str = "from google.colab import auth; auth.authenticate_user()";

/// The error that says what to run, where there are no credentials yet.
pub(crate) fn not_yet(flow: &LoginFlow) -> Error {
    if flow.asks_for_other_scopes() {
        return Error::new(
            ErrorKind::InvalidOptions,
            "Colab's login has scopes of its own, and others cannot be asked for",
        )
        .with_remedy(
            Remedy::new("Leave the scopes out, or log in by another mode.")
                .command("eectl auth login --mode=notebook"),
        );
    }
    let root = flow.environment.var("DATALAB_ROOT").unwrap_or("");
    let adc = format!("{root}/content/.adc/adc.json");
    let is_set = flow.environment.is_set("GOOGLE_APPLICATION_CREDENTIALS");
    if !is_set && Path::new(&adc).is_file() {
        return Error::new(
            ErrorKind::LoginUnavailable,
            format!(
                "Colab has logged you in, into {}, and this process does not know of it",
                display_path(Path::new(&adc))
            ),
        )
        .with_remedy(
            Remedy::new("Let GOOGLE_APPLICATION_CREDENTIALS name the file.").command(format!(
                "export GOOGLE_APPLICATION_CREDENTIALS={}",
                shell_quoted(adc.as_ref())
            )),
        );
    }
    if !is_colab(&flow.environment) {
        return Error::new(ErrorKind::LoginUnavailable, "this is not Google Colab").with_remedy(
            Remedy::new("Leave the mode out: the one that fits is chosen."),
        );
    }
    Error::new(
        ErrorKind::LoginUnavailable,
        "Colab has not logged you in yet, and does so in a cell of the notebook only",
    )
    .with_remedy(Remedy::new("Run this in a cell, and then try again.").command(CELL))
}
