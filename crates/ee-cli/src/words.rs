//! The words for kinds, sources and states that JSON output names by their identifiers.

use earthengine::credentials::{CredentialSource, SearchStep};
use earthengine::token::internal::display_path;
use earthengine::{ApiState, Credentials, ErrorKind, ListedProject, ProjectSource, Registration};

/// Returns a number with its noun: `1 request`, `2 requests`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Describes where credentials were found: their file, after the variable that names it.
pub(crate) fn credential_source(credentials: &Credentials) -> String {
    let source = source_name(credentials.source());
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

fn source_name(source: CredentialSource) -> &'static str {
    match source {
        CredentialSource::Explicit => "--credentials",
        source => source.description(),
    }
}

/// Returns the words for a source that the search names by its identifier.
pub(crate) fn searched_source(name: &str) -> &str {
    use CredentialSource as Source;
    let all = [
        Source::Explicit,
        Source::Account,
        Source::EnvEarthEngineToken,
        Source::EarthEngineFile,
        Source::EnvGoogleApplicationCredentials,
        Source::GcloudAdc,
        Source::MetadataServer,
    ];
    let found = all.into_iter().find(|source| source.as_str() == name);
    match found {
        Some(source) => source_name(source),
        None => name,
    }
}

/// Describes a step of the search: `GOOGLE_APPLICATION_CREDENTIALS: not set`.
pub(crate) fn search_step(step: &SearchStep) -> String {
    let text = step.to_string();
    let outcome = text.strip_prefix(step.name).unwrap_or(&text);
    format!("{}{outcome}", searched_source(step.name))
}

pub(crate) fn project_source(source: ProjectSource) -> &'static str {
    match source {
        ProjectSource::Explicit => "--project",
        source => source.description(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searched_sources_have_no_identifiers() {
        for (name, words) in [
            ("flag", "--credentials"),
            ("account", "the login of an account"),
            ("env:EARTHENGINE_TOKEN", "EARTHENGINE_TOKEN"),
            ("earthengine_file", "Earth Engine's login file"),
            (
                "env:GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_APPLICATION_CREDENTIALS",
            ),
            ("gcloud_adc", "gcloud's login"),
            ("metadata_server", "the metadata server"),
        ] {
            assert_eq!(searched_source(name), words);
        }
    }
}
