//! "Did you mean …?": projects of the user whose IDs resemble the one that failed.

use std::time::Duration;

use ee_credentials::Credentials;
use ee_credentials::internal::nearest;
use ee_rest::ProjectId;
use ee_token::HttpClient;
use tokio::time::timeout;

use crate::project::listed::ListedProject;
use crate::project::search::search;
use crate::{Error, ErrorKind, Project};

/// A suggestion must not delay the error noticeably.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Adds the user's most similar projects to an error about a project that is denied or not found.
/// If the projects cannot be listed, the error is returned unchanged.
pub(crate) async fn add_suggestions(
    error: Error,
    requested: &Project,
    http: &HttpClient,
    credentials: &Credentials,
) -> Error {
    let may_be_misspelled = matches!(
        error.kind(),
        ErrorKind::ProjectDenied | ErrorKind::ProjectNotFound
    );
    if !may_be_misspelled || credentials.token_cache().is_none() {
        return error;
    }
    let Ok(Ok(projects)) = timeout(TIMEOUT, search(http, credentials, None)).await else {
        return error;
    };
    let near = suggestions(misspelled(&error, &requested.id), &projects);
    if near.is_empty() {
        return error;
    }
    let mut remedy = error.remedy().clone();
    remedy.text = format!("Did you mean {}? {}", near.join(" or "), remedy.text).into();
    error.with_remedy(remedy)
}

/// Returns the ID that may be misspelled: that of the project at fault, which is not always the
/// requested one. If the server names it by its number, which no user typed, the requested one.
fn misspelled<'a>(error: &'a Error, requested: &'a str) -> &'a str {
    let is_number = |id: &str| id.bytes().all(|b| b.is_ascii_digit());
    error
        .project()
        .filter(|id| !is_number(id))
        .unwrap_or(requested)
}

/// Returns the IDs of the projects that resemble `wanted`. Empty if `wanted` is one of them: then
/// the spelling is right.
fn suggestions<'a>(wanted: &str, projects: &'a [ListedProject]) -> Vec<&'a str> {
    if projects
        .iter()
        .any(|p| p.id == wanted || p.number == wanted)
    {
        return Vec::new();
    }
    // The IDs are printed, so only valid ones are suggested.
    let ids = projects.iter().map(|project| project.id.as_str());
    nearest(wanted, ids.filter(|id| ProjectId::is_valid(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiState, Registration};

    fn listed(id: &str, number: &str) -> ListedProject {
        ListedProject {
            id: id.into(),
            number: number.into(),
            name: String::new(),
            api: ApiState::Unknown,
            registration: Registration::Unverified,
            error: None,
        }
    }

    #[test]
    fn correct_id_gets_no_suggestion() {
        let projects = [
            listed("land-cover", "123456789012"),
            listed("land-cover-2", "123456789013"),
        ];
        assert_eq!(suggestions("land-covre", &projects)[0], "land-cover");
        assert!(suggestions("land-cover", &projects).is_empty());
        assert!(suggestions("123456789012", &projects).is_empty());
    }

    #[test]
    fn invalid_id_is_not_suggested() {
        let hostile = "land-cover\u{1b}[2J";
        assert!(suggestions("land-cover", &[listed(hostile, "1")]).is_empty());
    }

    #[test]
    fn project_at_fault_is_searched_unless_it_is_a_number() {
        let error = |project| Error::new(ErrorKind::ProjectDenied, "no").with_project(project);
        assert_eq!(misspelled(&error("at-fault"), "requested"), "at-fault");
        assert_eq!(misspelled(&error("123456789012"), "requested"), "requested");
        let unknown = Error::new(ErrorKind::ProjectDenied, "no");
        assert_eq!(misspelled(&unknown, "requested"), "requested");
    }
}
