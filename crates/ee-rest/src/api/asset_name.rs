//! Asset names and legacy asset IDs.

use std::fmt;
use std::str::FromStr;

use ee_token::internal::Quoted;

use crate::request::path::check_segment;
use crate::{Error, ProjectId};

/// An asset name in the API's format: `projects/P/assets/…`.
///
/// Parsed from a name or a legacy ID, by the same rules as Google's clients:
///
/// | given | name |
/// |---|---|
/// | `projects/my-project/assets/a/b` | the same |
/// | `projects/my-project/assets` | the same: the root of the project's assets |
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
    /// The length of the project ID.
    project: usize,
}

const PROJECTS: &str = "projects/";
const ASSETS: &str = "/assets";

/// Holds the assets whose ids begin with `users/` or `projects/`.
const LEGACY: &str = "earthengine-legacy";

/// Holds the public catalog.
const PUBLIC: &str = "earthengine-public";

impl AssetName {
    /// Returns the project that holds the asset.
    pub fn project(&self) -> &str {
        &self.name[PROJECTS.len()..PROJECTS.len() + self.project]
    }

    /// Returns the path after `/assets/`, which is empty for the root of a project's assets.
    pub fn path(&self) -> &str {
        let rest = &self.name[PROJECTS.len() + self.project + ASSETS.len()..];
        rest.strip_prefix('/').unwrap_or(rest)
    }

    /// Returns whether this is the root of a project's assets.
    pub fn is_root(&self) -> bool {
        self.path().is_empty()
    }

    /// Returns the full name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    fn from_parts(project: &str, path: &str) -> Self {
        let slash = if path.is_empty() { "" } else { "/" };
        Self {
            name: [PROJECTS, project, ASSETS, slash, path].concat(),
            project: project.len(),
        }
    }
}

impl AsRef<str> for AssetName {
    fn as_ref(&self) -> &str {
        &self.name
    }
}
impl FromStr for AssetName {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        if id.contains("://") {
            return Err(invalid_id(id, "it is a URL"));
        }
        // The root may be written with a trailing slash.
        let trimmed = id.strip_suffix("/assets/").map(|p| format!("{p}{ASSETS}"));
        let id = trimmed.as_deref().unwrap_or(id);
        let mut segments = id.split('/');
        let first = segments.next().unwrap_or_default();
        let second = segments.next();
        let third = segments.next();
        for segment in id.split('/') {
            check_segment(segment).map_err(|why| invalid_id(id, why))?;
            if segment.contains(char::is_whitespace) {
                return Err(invalid_id(id, "it contains whitespace"));
            }
            if segment.contains('*') {
                return Err(invalid_id(id, "it contains a `*`"));
            }
        }
        let name = match (first, second, third) {
            ("projects", Some(project), Some("assets")) if ProjectId::is_valid(project) => {
                let path: Vec<&str> = segments.collect();
                Self::from_parts(project, &path.join("/"))
            }
            ("projects" | "users", Some(_), _) => Self::from_parts(LEGACY, id),
            ("projects" | "users", None, _) => {
                return Err(invalid_id(id, "it has only one segment"));
            }
            _ => Self::from_parts(PUBLIC, id),
        };
        // The API would read a colon as the start of a method: `a:getPixels`.
        if name.path().contains(':') {
            return Err(invalid_id(id, "it contains a colon"));
        }
        Ok(name)
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn invalid_id(id: &str, why: &str) -> Error {
    Error::invalid_request(
        format!("{} is not a valid asset ID: {why}", Quoted(id)),
        "Use projects/PROJECT/assets/PATH, users/NAME/PATH, or a catalog ID such as COPERNICUS/S2.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn legacy_ids_become_names_as_in_googles_clients() {
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
    fn name_has_project_and_path() {
        let name: AssetName = "projects/my-project/assets/a/b".parse().unwrap();
        assert_eq!(
            (name.project(), name.path(), name.is_root()),
            ("my-project", "a/b", false)
        );
        let root: AssetName = "projects/my-project/assets".parse().unwrap();
        assert_eq!((root.path(), root.is_root()), ("", true));
    }

    #[test]
    fn ambiguous_asset_id_is_rejected() {
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
            assert!(!error.remedy().text.is_empty(), "{id:?}");
        }
        let long = "x".repeat(5000) + "?";
        assert!(long.parse::<AssetName>().unwrap_err().to_string().len() < 300);
    }

    proptest::proptest! {
        #[test]
        fn name_round_trips_through_text_and_parts(
            id in "(projects/[a-z][a-z0-9-]{5,12}/assets/?|users/|)[A-Za-z0-9_/.-]{0,20}",
        ) {
            if let Ok(name) = id.parse::<AssetName>() {
                assert_eq!(name.as_str().parse::<AssetName>().unwrap(), name);
                assert_eq!(AssetName::from_parts(name.project(), name.path()), name);
            }
        }
    }
}
