//! "Did you mean …?": projects of the user whose IDs resemble the one that failed.

use std::time::Duration;

use ee_credentials::Credentials;
use ee_rest::ProjectId;
use ee_token::HttpClient;
use tokio::time::timeout;

use crate::project::listed::ListedProject;
use crate::project::search::search;
use crate::{Error, ErrorKind, Project};

/// A suggestion must not delay the error noticeably.
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_SUGGESTIONS: usize = 3;

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

/// Returns the names whose edit distance from `wanted` is at most a third of its length, nearest
/// first.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (wanted.len() / 3).max(2);
    let mut near: Vec<_> = names
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(MAX_SUGGESTIONS)
        .map(|(_, name)| name)
        .collect()
}

/// Returns the optimal string alignment distance (Damerau–Levenshtein): the number of characters
/// that must be replaced, inserted, deleted, or swapped with the next.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
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

    #[test]
    fn typos_have_a_small_distance() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("land-cover", "land-cover", 0),
            ("land-cvoer", "land-cover", 1),
            ("landcover", "land-cover", 1),
            ("land-covers", "land-cover", 1),
            ("lend-cover", "land-cover", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn nearest_names_come_first() {
        let names = ["land-cover-2", "land-cover", "ocean-color", "lnd-cover"];
        assert_eq!(
            nearest("land-cvoer", names.into_iter()),
            ["land-cover", "lnd-cover", "land-cover-2"]
        );
        assert!(nearest("something-else", names.into_iter()).is_empty());
    }
}
