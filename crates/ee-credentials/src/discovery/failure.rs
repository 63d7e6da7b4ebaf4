//! The errors of a search without a result.

use ee_token::Remedy;

use crate::discovery::nearby::Unused;
use crate::discovery::step::{FailedSearch, SearchStep};
use crate::kinds::oauth_clients::{EARTH_ENGINE_LOGIN, GCLOUD_LOGIN};
use crate::{CredentialSource, Error, ErrorKind, Warning};

const APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

pub(super) fn not_in_location(origin: CredentialSource, why: &str) -> Error {
    Error::new(
        ErrorKind::NoCredentials,
        format!("no credentials were found in {origin}: {why}"),
    )
    .with_remedy(Remedy::new(
        "Put the credentials on this machine where the configuration says.",
    ))
}

/// Adds the steps of the search to the error that ended it.
pub(super) fn invalid_credentials(error: Error, steps: Vec<SearchStep>) -> Error {
    error.clone().with_source(FailedSearch {
        steps,
        cause: Some(Box::new(error)),
    })
}

/// The error of a search without a result, with what it skipped and what it did not use.
pub(super) fn no_credentials(
    steps: Vec<SearchStep>,
    skipped: Vec<Warning>,
    unused: Vec<Unused>,
) -> Error {
    let mut message = "no Google credentials were found".to_owned();
    let mut remedy = String::new();
    let mut command = None;
    let skipped = skipped.into_iter().map(|warning| {
        (
            warning.message,
            warning.remedy.text.into_owned(),
            warning.remedy.command,
        )
    });
    let unused = unused
        .into_iter()
        .map(|unused| (unused.fact, unused.advice, unused.command));
    for (fact, advice, of_fact) in unused.chain(skipped) {
        message += &format!("; {fact}");
        remedy += &format!("{advice} ");
        command = command.or(of_fact);
    }
    let start = if remedy.is_empty() {
        "Log in"
    } else {
        "Or log in"
    };
    remedy += &format!(
        "{start} with `{EARTH_ENGINE_LOGIN}` or `{GCLOUD_LOGIN}`, or set {APPLICATION_CREDENTIALS} to the path of a service account key."
    );
    Error::new(ErrorKind::NoCredentials, message)
        .with_remedy(
            Remedy::new(remedy)
                .command(command.unwrap_or_else(|| EARTH_ENGINE_LOGIN.to_owned()))
                .url("https://developers.google.com/earth-engine/guides/auth"),
        )
        .with_source(FailedSearch { steps, cause: None })
}

/// The error of a search that the variable or the program restricted to some sources.
pub(super) fn no_allowed_credentials(variable: Option<&str>, steps: Vec<SearchStep>) -> Error {
    let remedy = match variable {
        Some(name) => Remedy::new(format!(
            "Provide credentials in these sources, or unset {name} to search all."
        ))
        .command(format!("unset {name}")),
        None => Remedy::new("Provide credentials in the sources that the program searches."),
    };
    let where_set = variable.unwrap_or("the program");
    Error::new(
        ErrorKind::NoCredentials,
        format!("no Google credentials were found in the sources that {where_set} allows"),
    )
    .with_remedy(remedy)
    .with_source(FailedSearch { steps, cause: None })
}
