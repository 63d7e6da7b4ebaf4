//! "Did you mean …?": the caller's own projects that are spelt nearly like the one that was refused.

use std::time::Duration;

use ee_credentials::Credentials;
use ee_token::HttpClient;
use tokio::time::timeout;

use crate::project::check_project;
use crate::project::list::ListedProject;
use crate::project::search::search;
use crate::refusal::{ErrorContext, project_at_fault};
use crate::{Error, ErrorKind};

/// Nobody waits longer for a suggestion.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST: usize = 3;

/// Adds the nearest of the caller's own projects to an error about a project that is denied or
/// not there. If they cannot be listed, the error stays as it is.
pub(crate) async fn add_suggestions(
    error: Error,
    context: &ErrorContext,
    http: &HttpClient,
    credentials: &Credentials,
) -> Error {
    let is_spelling = matches!(
        error.kind(),
        ErrorKind::ProjectDenied | ErrorKind::ProjectNotFound
    );
    let Some(wanted) = misspelt(&error, context).filter(|_| is_spelling) else {
        return error;
    };
    if credentials.token_cache().is_none() {
        return error;
    }
    let Ok(Ok(projects)) = timeout(PATIENCE, search(http, credentials, None)).await else {
        return error;
    };
    let near = suggestions(&wanted, &projects);
    let Some(mut remedy) = error.remedy().cloned().filter(|_| !near.is_empty()) else {
        return error;
    };
    remedy.text = format!("Did you mean {}? {}", near.join(" or "), remedy.text).into();
    error.with_remedy(remedy)
}

/// The name that may be misspelt: that of the project at fault, which is not always the one asked
/// for. Servers like to name it by a number that nobody typed; then the one asked for.
fn misspelt(error: &Error, context: &ErrorContext) -> Option<String> {
    let at_fault = error.api().map(|api| project_at_fault(api, context));
    at_fault
        .filter(|id| !is_number(id))
        .or_else(|| context.project.clone())
}

fn is_number(project: &str) -> bool {
    project.bytes().all(|b| b.is_ascii_digit())
}

/// The ids of the caller's projects that are spelt nearly like this. None if it is one of them:
/// then the spelling is right and something else is wrong.
fn suggestions<'a>(wanted: &str, projects: &'a [ListedProject]) -> Vec<&'a str> {
    if projects
        .iter()
        .any(|p| p.id == wanted || p.number == wanted)
    {
        return Vec::new();
    }
    // They are printed: a list of something else than projects suggests nothing.
    let ids = projects.iter().map(|project| project.id.as_str());
    nearest(wanted, ids.filter(|id| check_project(id).is_ok()))
}

/// The names that are no further from `wanted` than a third of its length, the nearest first.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (wanted.len() / 3).max(2);
    let mut near: Vec<_> = names
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How many letters must be changed, added, left out, or swapped with the next: the optimal
/// string alignment distance, after Damerau and Levenshtein.
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
    use ee_rest::ApiError;

    use super::*;
    use crate::refusal::explain;
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
    fn a_name_that_is_spelt_right_gets_no_suggestion() {
        let projects = [
            listed("land-cover", "123456789012"),
            listed("land-cover-2", "123456789013"),
        ];
        assert_eq!(suggestions("land-covre", &projects)[0], "land-cover");
        assert!(suggestions("land-cover", &projects).is_empty());
        assert!(suggestions("123456789012", &projects).is_empty());
    }

    #[test]
    fn what_is_no_project_is_not_suggested() {
        let hostile = "land-cover\u{1b}[2J";
        assert!(suggestions("land-cover", &[listed(hostile, "1")]).is_empty());
    }

    #[test]
    fn the_project_at_fault_is_looked_for_and_a_number_stands_for_the_one_asked_for() {
        let context = ErrorContext {
            project: Some("asked-for".into()),
            principal: None,
        };
        for (consumer, expected) in [
            ("projects/at-fault", "at-fault"),
            ("projects/123456789012", "asked-for"),
            ("nonsense; rm", "asked-for"),
        ] {
            let body = serde_json::json!({"error": {"code": 403, "message": "No.", "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "USER_PROJECT_DENIED", "metadata": {"consumer": consumer}}]}});
            let api =
                ApiError::from_response(http::StatusCode::FORBIDDEN, body.to_string().as_bytes());
            let error = ee_rest::Error::new(ee_rest::ErrorKind::Api, "refused").with_source(api);
            let error = explain(error, &context);
            assert_eq!(misspelt(&error, &context).as_deref(), Some(expected));
        }
    }

    #[test]
    fn slips_of_the_fingers_are_near_and_other_words_are_not() {
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
    fn the_nearest_come_first_and_the_far_ones_not_at_all() {
        let names = ["land-cover-2", "land-cover", "ocean-colour", "lnd-cover"];
        assert_eq!(
            nearest("land-cvoer", names.into_iter()),
            ["land-cover", "lnd-cover", "land-cover-2"]
        );
        assert!(nearest("something-else", names.into_iter()).is_empty());
    }
}
