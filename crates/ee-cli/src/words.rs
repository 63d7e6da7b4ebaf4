//! The words for kinds, sources and states that JSON output names by their identifiers.

use earthengine::credentials::CredentialSource;
use earthengine::token::internal::display_path;
use earthengine::{ApiState, Credentials, ErrorKind, ListedProject, Registration};

use crate::output::strip_unsafe_chars;

/// Returns a number with its noun: `1 request`, `2 requests`.
pub(crate) fn count(number: impl ToString, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Describes where credentials were found: their file, after the variable that names it.
pub(crate) fn credential_source(credentials: &Credentials) -> String {
    let source = credentials.source().description();
    match credentials.path() {
        None => source.to_owned(),
        Some(path) => match credentials.source() {
            CredentialSource::EarthEngineFile
            | CredentialSource::Account
            | CredentialSource::GcloudAdc => display_path(path),
            _ => format!("{source}, {}", display_path(path)),
        },
    }
}

/// Describes whether Earth Engine is ready in a project.
pub(crate) fn project_state(project: &ListedProject) -> &'static str {
    use ErrorKind as Kind;
    match (project.api, &project.registration) {
        _ if project.error == Some(Kind::ProjectSuspended) => "suspended",
        (ApiState::Disabled, _) => "Earth Engine API not enabled",
        (_, Registration::NotRegistered) => "not registered for Earth Engine",
        (ApiState::Enabled, Registration::Commercial) => "ready, commercial",
        (ApiState::Enabled, Registration::NotCommercial) => "ready, noncommercial",
        (ApiState::Enabled, _) => "API enabled, registration unknown",
        _ => match project.error {
            Some(Kind::ProjectDenied | Kind::PermissionDenied | Kind::ProjectNotFound) => {
                "permission denied"
            }
            _ => "status unknown",
        },
    }
}

/// Returns the short name of a scope of Google, and other scopes as they are.
pub(crate) fn short_scope(scope: &str) -> &str {
    let short = scope.strip_prefix("https://www.googleapis.com/auth/");
    short.unwrap_or(scope)
}

/// Shortens a time to seconds.
pub(crate) fn time(rfc3339: Option<&str>) -> String {
    let time = strip_unsafe_chars(rfc3339.unwrap_or("-"));
    let end = time.find(['.', 'Z']).unwrap_or(time.len());
    time[..end].replacen('T', " ", 1)
}
