//! Names that resemble a misspelled one.

const MAX_SUGGESTIONS: usize = 3;

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
