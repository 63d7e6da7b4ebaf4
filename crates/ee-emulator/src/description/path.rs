//! Which method a path belongs to.

use super::{ApiMethod, Description};

/// A path that matched a method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matched<'a> {
    /// The method's ID.
    pub(crate) id: &'a str,
    pub(crate) method: &'a ApiMethod,
    /// The resource: `projects/P/assets/A`.
    pub(crate) name: String,
    /// The values of the other variables in the path.
    pub(crate) rest: Vec<String>,
}

impl Description {
    /// Returns the ID of the method with this HTTP method and decoded path (`/v1/projects/P/…`).
    pub fn method_of(&self, http: &str, path: &str) -> Option<&str> {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let segments: Vec<String> = segments.map(str::to_owned).collect();
        Some(self.find(http, &segments)?.id)
    }

    /// Finds the method of a request by its decoded path segments.
    pub(crate) fn find(&self, http: &str, segments: &[String]) -> Option<Matched<'_>> {
        let (last, parents) = segments.split_last()?;
        let (last, verb) = match last.rsplit_once(':') {
            Some((last, verb)) => (last, Some(verb)),
            None => (last.as_str(), None),
        };
        let parents = parents.iter().map(String::as_str);
        // The verb of a root follows a slash: `projects/P/assets/:listAssets`.
        let segments: Vec<&str> = parents.chain([last]).filter(|s| !s.is_empty()).collect();
        self.methods.iter().find_map(|(id, method)| {
            let (name, rest) = method.captures(http, &segments, verb)?;
            Some(Matched {
                id,
                method,
                name,
                rest,
            })
        })
    }
}

impl ApiMethod {
    /// Splits the path template into its segments and its verb.
    fn template(&self) -> (Vec<&str>, Option<&str>) {
        let (path, verb) = match self.path.rsplit_once(':') {
            Some((path, verb)) => (path, Some(verb)),
            None => (self.path.as_str(), None),
        };
        (path.split('/').collect(), verb)
    }

    /// Returns the resource and the other variables if the path matches.
    fn captures(
        &self,
        http: &str,
        segments: &[&str],
        verb: Option<&str>,
    ) -> Option<(String, Vec<String>)> {
        let (template, own_verb) = self.template();
        if http != self.http || verb != own_verb {
            return None;
        }
        let mut name = Vec::new();
        let mut rest = Vec::new();
        let mut in_name = false;
        let mut segments = segments.iter().copied();
        for part in template {
            let starts = part.starts_with('{') && part.contains('=');
            in_name |= starts;
            let pattern = part.split_once('=').filter(|_| starts);
            let pattern = pattern.map_or(part, |(_, pattern)| pattern);
            let ends = in_name && pattern.ends_with('}');
            let pattern = match in_name {
                true => pattern.trim_end_matches('}'),
                false => pattern,
            };
            if pattern == "**" {
                let parents = name.len();
                name.extend(segments.by_ref());
                // Only the root of a project's assets can be read without a path below it.
                if name.len() == parents && name.last() != Some(&"assets") {
                    return None;
                }
            } else {
                let segment = segments.next()?;
                if in_name {
                    name.push(segment);
                } else if pattern.starts_with('{') {
                    rest.push(segment.to_owned());
                }
                if pattern != "*" && !pattern.starts_with('{') && pattern != segment {
                    return None;
                }
            }
            in_name &= !ends;
        }
        segments.next().is_none().then(|| (name.join("/"), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(String, String, Vec<String>)> {
        let (http, path) = line.split_once(' ').unwrap();
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let found = Description::get().find(http, &segments)?;
        Some((found.id.to_owned(), found.name, found.rest))
    }

    #[test]
    #[rustfmt::skip]
    fn path_belongs_to_a_method() {
        let cases: [(&str, &str, &str, &[&str]); 11] = [
            ("GET v1/projects/p/config", "projects.getConfig", "projects/p/config", &[]),
            ("GET v1alpha/projects/p/config", "v1alpha.projects.getConfig", "projects/p/config", &[]),
            ("GET v1/projects/p:listAssets", "projects.listAssets", "projects/p", &[]),
            ("GET v1/projects/p/assets", "projects.assets.get", "projects/p/assets", &[]),
            ("GET v1/projects/p/assets/a/b", "projects.assets.get", "projects/p/assets/a/b", &[]),
            ("GET v1/projects/p/assets/:listAssets", "projects.assets.listAssets", "projects/p/assets", &[]),
            ("POST v1/projects/p/assets/a/b:copy", "projects.assets.copy", "projects/p/assets/a/b", &[]),
            ("POST v1/projects/p/assets", "projects.assets.create", "projects/p", &[]),
            ("POST v1/projects/p/locations/l/maps", "projects.locations.maps.create", "projects/p/locations/l", &[]),
            ("GET v1/projects/p/maps/m/tiles/1/2/3", "projects.maps.tiles.get", "projects/p/maps/m", &["1", "2", "3"]),
            ("POST v1/projects/p/value:compute", "projects.value.compute", "projects/p", &[]),
        ];
        for (line, id, name, rest) in cases {
            let rest: Vec<String> = rest.iter().map(|&text| text.to_owned()).collect();
            let expected = Some((id.to_owned(), name.to_owned(), rest));
            assert_eq!(found(line), expected, "{line}");
        }
        for line in [
            "GET v2/projects/p/config",
            "PUT v1/projects/p/config",
            "GET v1/projects/p/config/x",
            "GET v1/projects",
            "POST v1/projects/p/value:compute2",
            "GET v1/projects/p/maps/m/tiles/1/2",
            "DELETE v1/projects/p/operations",
            "GET v1alpha/projects/p/algorithms",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
