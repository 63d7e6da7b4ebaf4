//! "Did you mean …?": the caller's own projects that are spelt nearly like the one that was refused.

use std::time::Duration;

use ee_credentials::Credentials;
use ee_token::HttpClient;
use tokio::time::timeout;

use crate::projects::search;
use crate::{Error, ErrorKind};

/// Nobody waits longer for a suggestion.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST: usize = 3;

/// Adds the nearest of the caller's own projects to an error about a project that is denied or
/// not there. If they cannot be listed, the error stays as it is.
pub(crate) async fn add_suggestions(
    error: Error,
    project: &str,
    http: &HttpClient,
    credentials: &Credentials,
) -> Error {
    let is_spelling = matches!(
        error.kind(),
        ErrorKind::ProjectDenied | ErrorKind::ProjectNotFound
    );
    if !is_spelling || credentials.cache().is_none() {
        return error;
    }
    let Ok(Ok(projects)) = timeout(PATIENCE, search(http, credentials, None)).await else {
        return error;
    };
    let ids = projects.iter().map(|project| project.id.as_str());
    let near = nearest(project, ids);
    let Some(mut remedy) = error.remedy().cloned().filter(|_| !near.is_empty()) else {
        return error;
    };
    remedy.text = format!("Did you mean {}? {}", near.join(" or "), remedy.text).into();
    error.with_remedy(remedy)
}

/// The names that are no further from `wanted` than a third of its length, the nearest first.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (wanted.len() / 3).max(2);
    let mut near: Vec<_> = names
        .filter(|name| *name != wanted)
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
    use super::*;

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
