//! What the commands for assets and tasks share: a connected client, and the outcome of many calls.

use earthengine::{AssetName, EarthEngine, Error, ErrorKind, Remedy, VerifyLevel, rest};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{print_status, print_status_json};
use crate::words::count;

/// How many calls are started at once. The client sends fewer, as its limits allow.
pub(super) const MAX_STARTED: usize = 64;

/// A connected client, and the global options.
pub(super) struct Session<'a> {
    pub(super) global: &'a Global,
    pub(super) ee: EarthEngine,
}

impl<'a> Session<'a> {
    /// Connects without verifying the project: the calls themselves report project errors.
    pub(super) async fn connect(global: &'a Global) -> Result<Self, CliError> {
        let connecting = super::builder(global).verify(VerifyLevel::Skip).connect();
        let ee = connecting.await.map_err(CliError::init)?;
        Ok(Self { global, ee })
    }

    /// Converts the error of a call. `what` is what the call was to do: `delete projects/p/assets/a`.
    pub(super) fn error(&self, what: &str, error: impl Into<Error>) -> CliError {
        let error = error.into();
        let message = format!("cannot {what}: {error}");
        CliError::call(&error.context(message), self.ee.project())
    }

    /// A state of the server's data in which the command cannot do its work.
    pub(super) fn problem(&self, message: &str, remedy: &'static str) -> CliError {
        let error = Error::new(ErrorKind::InvalidArgument, message);
        let error = error.with_remedy(Remedy::new(remedy));
        CliError::call(&error, self.ee.project())
    }
}

/// Adds advice about the options of a command to the remedy of a request that the server considers
/// invalid.
pub(super) fn advise(error: rest::Error, advice: &str) -> rest::Error {
    if error.kind() != rest::ErrorKind::InvalidArgument {
        return error;
    }
    let mut remedy = error.remedy().clone();
    remedy.text = format!("{advice} {}", remedy.text).into();
    error.with_remedy(remedy)
}

/// Parses the name or ID of an asset on the command line.
pub(super) fn asset_name(id: &str) -> Result<AssetName, CliError> {
    id.parse().map_err(|error| invalid_argument(&error))
}

/// An invalid argument that a client's check has found.
pub(super) fn invalid_argument(error: &rest::Error) -> CliError {
    CliError::usage_with_remedy(&error.to_string(), error.remedy().clone())
}

/// The failed calls of a command that makes many.
#[derive(Default)]
pub(super) struct Failures {
    all: Vec<(String, CliError)>,
    /// Whether the JSON result contains them.
    is_reported: bool,
}

/// How many failures are printed.
const MAX_PRINTED: usize = 20;

impl Failures {
    pub(super) fn push(&mut self, name: &str, error: CliError) {
        self.all.push((name.to_owned(), error));
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.all.extend(others.all);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Formats the failures of a JSON result.
    pub(super) fn as_json(&mut self) -> Value {
        self.is_reported = true;
        self.all.iter().map(failure_json).collect()
    }

    /// Like [`into_result`](Self::into_result), for failures of `total` calls. `what` is what they
    /// have in common: `could not be deleted`.
    pub(super) fn into_result_of(
        self,
        as_json: bool,
        total: usize,
        noun: &str,
        what: &str,
    ) -> Result<(), CliError> {
        let what = format!("{} of {} {what}", self.len(), count(total, noun));
        self.into_result(as_json, &what)
    }

    /// Prints the failures and returns one error for all of them, with the code, exit status and
    /// remedy of the first. A failure without others is returned as it is. `what` is the summary:
    /// `2 of 3 assets were not deleted`.
    pub(super) fn into_result(self, as_json: bool, what: &str) -> Result<(), CliError> {
        let count = self.all.len();
        if count > 1 && as_json && !self.is_reported {
            for failure in &self.all {
                print_status_json(json!({"failed": failure_json(failure)}));
            }
        } else if count > 1 && !as_json {
            for (_, error) in self.all.iter().take(MAX_PRINTED) {
                print_status(error.message());
            }
            if count > MAX_PRINTED {
                print_status(&format!("… and {} more", count - MAX_PRINTED));
            }
        }
        let Some((_, first)) = self.all.into_iter().next() else {
            return Ok(());
        };
        if count == 1 {
            return Err(first);
        }
        Err(first.summarized(what))
    }
}

fn failure_json((name, error): &(String, CliError)) -> Value {
    json!({"name": name, "code": error.code(), "message": error.message()})
}
