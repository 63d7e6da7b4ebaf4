//! Names of assets, and the older ids that stand for them.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;

use crate::request::path::check_segment;
use crate::{Error, ErrorKind};

/// An asset's name as the API wants it: `projects/P/assets/…`.
///
/// Made from a name or from an id in legacy form, by the rules of the other clients:
///
/// | given | name |
/// |---|---|
/// | `projects/my-project/assets/a/b` | the same |
/// | `projects/my-project/assets` | the same: the folder of all the project's assets |
/// | `users/me/a` | `projects/earthengine-legacy/assets/users/me/a` |
/// | `projects/some-folder/a` | `projects/earthengine-legacy/assets/projects/some-folder/a` |
/// | `COPERNICUS/S2` | `projects/earthengine-public/assets/COPERNICUS/S2` |
///
/// ```
/// use ee_rest::AssetName;
///
/// let name: AssetName = "COPERNICUS/S2".parse()?;
/// assert_eq!(name.as_str(), "projects/earthengine-public/assets/COPERNICUS/S2");
/// assert_eq!((name.project(), name.path()), ("earthengine-public", "COPERNICUS/S2"));
/// # Ok::<(), ee_rest::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetName {
    name: String,
    /// The length of the project's id.
    project: usize,
}

const PROJECTS: &str = "projects/";
const ASSETS: &str = "/assets";

/// Holds the assets whose ids begin with `users/` or `projects/`.
const LEGACY: &str = "earthengine-legacy";

/// Holds the public catalogue.
const PUBLIC: &str = "earthengine-public";

impl AssetName {
    /// The project that holds the asset.
    pub fn project(&self) -> &str {
        &self.name[PROJECTS.len()..PROJECTS.len() + self.project]
    }

    /// What stands behind `/assets/`; empty for the folder of all of a project's assets.
    pub fn path(&self) -> &str {
        let rest = &self.name[PROJECTS.len() + self.project + ASSETS.len()..];
        rest.strip_prefix('/').unwrap_or(rest)
    }

    /// Whether it is the folder of all of a project's assets.
    pub fn is_root(&self) -> bool {
        self.path().is_empty()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    fn of(project: &str, path: &str) -> Self {
        let slash = if path.is_empty() { "" } else { "/" };
        Self {
            name: [PROJECTS, project, ASSETS, slash, path].concat(),
            project: project.len(),
        }
    }
}

impl FromStr for AssetName {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        if id.contains("://") {
            return Err(refused(id, "it is a URL"));
        }
        // The folder of a project's assets is written with a slash at the end, too.
        let trimmed = id.strip_suffix("/assets/").map(|p| format!("{p}{ASSETS}"));
        let id = trimmed.as_deref().unwrap_or(id);
        let mut segments = id.split('/');
        let first = segments.next().unwrap_or_default();
        let second = segments.next();
        let third = segments.next();
        for segment in id.split('/') {
            check_segment(segment).map_err(|why| refused(id, why))?;
            if segment.contains(char::is_whitespace) {
                return Err(refused(id, "it has a blank"));
            }
            if segment.contains('*') {
                return Err(refused(id, "it has a `*`"));
            }
        }
        let name = match (first, second, third) {
            ("projects", Some(project), Some("assets")) if is_project(project) => {
                let path: Vec<&str> = segments.collect();
                Self::of(project, &path.join("/"))
            }
            ("projects" | "users", Some(_), _) => Self::of(LEGACY, id),
            ("projects" | "users", None, _) => {
                return Err(refused(id, "nothing stands behind its first part"));
            }
            _ => Self::of(PUBLIC, id),
        };
        // What stands behind a colon is a method of the API: `a:getPixels`.
        if name.path().contains(':') {
            return Err(refused(id, "it has a colon"));
        }
        Ok(name)
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A project's id, with or without a domain in front, or its number.
fn is_project(project: &str) -> bool {
    if !project.is_empty() && project.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let id = match project.rsplit_once(':') {
        None => project,
        Some((domain, id)) => {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            if !domain.contains('.') || !domain.chars().all(plain) {
                return false;
            }
            id
        }
    };
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = id.as_bytes();
    (6..=30).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.last().copied().is_some_and(small)
        && bytes.iter().all(|b| small(*b) || *b == b'-')
}

fn refused(id: &str, why: &str) -> Error {
    let shown: String = id.chars().take(80).collect();
    Error::new(
        ErrorKind::InvalidRequest,
        format!("{shown:?} cannot be the id of an asset: {why}"),
    )
    .with_remedy(Remedy::new(
        "Give it as projects/PROJECT/assets/PATH, users/NAME/PATH, or as the catalogue writes it, such as COPERNICUS/S2.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_ids_become_names_as_in_the_other_clients() {
        for (id, name) in [
            (
                "projects/my-project/assets/a/b",
                "projects/my-project/assets/a/b",
            ),
            ("projects/my-project/assets", "projects/my-project/assets"),
            ("projects/my-project/assets/", "projects/my-project/assets"),
            (
                "projects/123456789012/assets/a",
                "projects/123456789012/assets/a",
            ),
            (
                "projects/example.com:my-project/assets/a",
                "projects/example.com:my-project/assets/a",
            ),
            ("users/me", "projects/earthengine-legacy/assets/users/me"),
            (
                "users/me/x/y",
                "projects/earthengine-legacy/assets/users/me/x/y",
            ),
            (
                "projects/sat-io/open-datasets/x",
                "projects/earthengine-legacy/assets/projects/sat-io/open-datasets/x",
            ),
            (
                "projects/short/assets/x",
                "projects/earthengine-legacy/assets/projects/short/assets/x",
            ),
            (
                "COPERNICUS/S2",
                "projects/earthengine-public/assets/COPERNICUS/S2",
            ),
            (
                "CGIAR/SRTM90_V4",
                "projects/earthengine-public/assets/CGIAR/SRTM90_V4",
            ),
            ("assets/x", "projects/earthengine-public/assets/assets/x"),
        ] {
            assert_eq!(id.parse::<AssetName>().unwrap().as_str(), name, "{id}");
        }
    }

    #[test]
    fn a_name_knows_its_project_and_path() {
        let name: AssetName = "projects/my-project/assets/a/b".parse().unwrap();
        assert_eq!(
            (name.project(), name.path(), name.is_root()),
            ("my-project", "a/b", false)
        );
        let root: AssetName = "projects/my-project/assets".parse().unwrap();
        assert_eq!((root.path(), root.is_root()), ("", true));
    }

    #[test]
    fn what_could_name_something_else_is_no_asset() {
        for id in [
            "",
            "/",
            "/users/me/a",
            "users/me/",
            "users//a",
            "users",
            "projects",
            "users/me/..",
            "a/../b",
            "a/./b",
            "a?b",
            "a#b",
            "a\\b",
            "a b",
            " a",
            "a\n",
            "a\u{0}",
            "a\u{a0}b",
            "a*",
            "a:getPixels",
            "users/me/a:delete",
            "projects/my-project/assets/a:b",
            "projects/my-project/assets//a",
            "gs://bucket/a",
            "https://code.earthengine.google.com/?asset=users/me/a",
        ] {
            let error = id.parse::<AssetName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{id:?}");
            assert!(error.remedy().is_some(), "{id:?}");
        }
        let long = "x".repeat(5000) + "?";
        assert!(long.parse::<AssetName>().unwrap_err().to_string().len() < 300);
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_read_as_itself_and_is_put_together_of_its_parts(
            id in "(projects/[a-z][a-z0-9-]{5,12}/assets/?|users/|)[A-Za-z0-9_/.-]{0,20}",
        ) {
            if let Ok(name) = id.parse::<AssetName>() {
                assert_eq!(name.as_str().parse::<AssetName>().unwrap(), name);
                assert_eq!(AssetName::of(name.project(), name.path()), name);
            }
        }
    }
}
