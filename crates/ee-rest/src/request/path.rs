//! Request paths. A path is validated before it becomes a URL, so that a request can only reach
//! the resource that the caller named.

use std::sync::Mutex;

use ee_token::Remedy;
use ee_token::internal::Quoted;
use url::Url;

use crate::{Error, ErrorKind};

/// The API description, which belongs to no project.
const DISCOVERY: &str = "$discovery";

/// The path of batch requests, which has no version. (A path `batch` would be relative to the
/// project.)
pub(crate) const BATCH: &str = "$batch";

/// A validated path, including the version, not percent-encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Route(String);

/// The path and URL of the last request.
#[derive(Debug, Default)]
pub(crate) struct LastUrl(Option<(Box<str>, Url)>);

impl Route {
    /// Completes a path: `projects/…` lacks the version, and a relative path lacks
    /// `v1/projects/P`.
    pub(crate) fn new(path: String, project: Option<&str>) -> Result<Self, Error> {
        // Google's documentation writes paths with a leading slash.
        let given = path.strip_prefix('/').unwrap_or(&path);
        // The root of a project's assets ends with a slash.
        let checked = given
            .strip_suffix('/')
            .filter(|root| root.ends_with("/assets"));
        for segment in checked.unwrap_or(given).split('/') {
            check_segment(segment).map_err(|why| {
                if path.contains("://") {
                    return invalid_path(&path, "it is a URL").with_remedy(Remedy::new(
                        "Pass only the path, and set the host as the base URL.",
                    ));
                }
                let error = invalid_path(given, why);
                if segment.contains('?') {
                    error.with_remedy(Remedy::new(
                        "Add query parameters with .query(\"name\", \"value\").",
                    ))
                } else {
                    error
                }
            })?;
        }
        let path = match given.split('/').next().unwrap_or_default() {
            "v1" | "v1alpha" | "v1beta" | DISCOVERY if given.len() == path.len() => path,
            "v1" | "v1alpha" | "v1beta" | DISCOVERY => given.to_owned(),
            "projects" => ["v1/", given].concat(),
            BATCH if given == BATCH => "batch".to_owned(),
            _ => {
                let project = project.ok_or_else(|| no_project(given))?;
                ["v1/projects/", project, "/", given].concat()
            }
        };
        Ok(Self(path))
    }

    /// Returns the URL under `base`, with each segment percent-encoded.
    pub(crate) fn url(&self, base: &Url) -> Result<Url, Error> {
        // Nearly all paths contain only characters that need no encoding (RFC 3986 §3.3).
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'@'..=b'Z' | b'&'..=b';' | b'!' | b'$' | b'=' | b'_' | b'~');
        if self.0.bytes().all(plain) {
            let mut url = base.clone();
            // Avoids parsing the scheme and host again, which dominates the cost.
            let parent = base.path();
            let slash = if parent.ends_with('/') { "" } else { "/" };
            url.set_path(&[parent, slash, &self.0].concat());
            return Ok(url);
        }
        self.encoded(base)
    }

    fn encoded(&self, base: &Url) -> Result<Url, Error> {
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| invalid_base(base))?
            .pop_if_empty()
            .extend(self.0.split('/'));
        Ok(url)
    }

    /// Returns the [`url`](Self::url), reusing the last one if its path is the same: most programs
    /// call the same method repeatedly, and URL parsing is a significant part of a request's cost.
    pub(crate) fn cached_url(&self, last: &Mutex<LastUrl>, base: &Url) -> Result<Url, Error> {
        // Parsing is faster than waiting for the lock.
        let Ok(mut last) = last.try_lock() else {
            return self.url(base);
        };
        if let Some((path, url)) = &last.0
            && **path == *self.0
        {
            return Ok(url.clone());
        }
        let url = self.url(base)?;
        last.0 = Some((self.0.as_str().into(), url.clone()));
        Ok(url)
    }

    /// Returns the path, not percent-encoded.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the endpoint of batches.
    pub(crate) fn is_batch(&self) -> bool {
        self.0 == "batch"
    }

    /// Returns whether this is the API description, which belongs to no project.
    pub(crate) fn is_discovery(&self) -> bool {
        self.0.split('/').next() == Some(DISCOVERY)
    }

    /// Returns whether the response is an image, a video or an array rather than JSON.
    pub(crate) fn returns_pixels(&self) -> bool {
        matches!(self.verb(), Some("getPixels" | "computePixels")) || self.0.contains("/tiles/")
    }

    /// Returns the last segment.
    pub(crate) fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the custom method of the last segment: `compute` in `value:compute`.
    pub(crate) fn verb(&self) -> Option<&str> {
        self.last().rsplit_once(':').map(|(_, verb)| verb)
    }

    /// Returns whether the path is `v1/projects/P/locations/L/NAME`, without further segments.
    pub(crate) fn is_location_child(&self) -> bool {
        let segments: Vec<_> = self.0.split('/').collect();
        matches!(segments[..], [_, "projects", _, "locations", _, _])
    }

    /// Returns whether the path is `v1/projects/P/NAME`, without further segments.
    pub(crate) fn is_project_child(&self) -> bool {
        let mut segments = self.0.split('/');
        segments.nth(1) == Some("projects") && segments.count() == 2
    }
}

/// For messages and logs.
impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// Returns why this is not a valid path segment, if so. All other characters are percent-encoded.
pub(crate) fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("it contains an empty segment");
    }
    // RFC 3986 §5.2.4: dot segments are resolved, so the path would name another resource.
    if segment == "." || segment == ".." {
        return Err("it contains a `.` or `..` segment");
    }
    for c in segment.chars() {
        match c {
            '?' => return Err("it contains a `?`"),
            '#' => return Err("it contains a `#`"),
            // URL parsers treat a backslash as a slash.
            '\\' => return Err("it contains a backslash"),
            c if c.is_control() => return Err("it contains a control character"),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that `base` can be the base of other URLs.
pub(crate) fn check_base(base: &Url) -> Result<(), Error> {
    if base.cannot_be_a_base() || base.query().is_some() || base.fragment().is_some() {
        return Err(invalid_base(base));
    }
    Ok(())
}

fn invalid_base(base: &Url) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        format!(
            "invalid base URL (scheme {}, host {})",
            base.scheme(),
            base.host_str().unwrap_or("none")
        ),
    )
    .with_remedy(Remedy::new(
        "Use only a scheme and host, such as https://earthengine.googleapis.com, without a query or fragment.",
    ))
}

fn invalid_path(path: &str, why: &str) -> Error {
    Error::invalid_request(
        format!("{} is not a valid request path: {why}", Quoted(path)),
        "Use a path such as value:compute or projects/PROJECT/assets/NAME, and add query parameters with `query`.",
    )
}

pub(crate) fn no_project(path: &str) -> Error {
    let path = Quoted(path);
    Error::new(
        ErrorKind::NoProject,
        format!("the path {path} is relative to a project, but no project is set"),
    )
    .with_remedy(Remedy::new(
        "Set the client's project, or use a full path: projects/PROJECT/….",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Result<String, Error> {
        let base = "https://ee.example/base/".parse().unwrap();
        Route::new(path.into(), Some("p"))?
            .url(&base)
            .map(String::from)
    }

    #[test]
    fn path_is_completed_and_encoded() {
        for (path, expected) in [
            ("config", "v1/projects/p/config"),
            ("value:compute", "v1/projects/p/value:compute"),
            ("/config", "v1/projects/p/config"),
            ("projects/q/assets/a/b", "v1/projects/q/assets/a/b"),
            ("v1/capabilities", "v1/capabilities"),
            ("v1beta/projects/q/config", "v1beta/projects/q/config"),
            ("$discovery/rest", "$discovery/rest"),
            ("assets/a b", "v1/projects/p/assets/a%20b"),
            ("assets/%2e%2e/%2F", "v1/projects/p/assets/%252e%252e/%252F"),
            ("assets/zürich", "v1/projects/p/assets/z%C3%BCrich"),
            ("assets/...", "v1/projects/p/assets/..."),
            ("v1x", "v1/projects/p/v1x"),
            ("projectsx/y", "v1/projects/p/projectsx/y"),
        ] {
            let expected = format!("https://ee.example/base/{expected}");
            assert_eq!(url(path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn ambiguous_path_is_rejected() {
        for path in [
            "",
            "/",
            "a//b",
            "//evil.example/x",
            "config/",
            "..",
            "assets/../../q/config",
            "v1/projects/../x",
            "./config",
            "config?x=y",
            "config#x",
            "assets\\..\\x",
            "a\r\nb",
            "a\0",
            "a\u{7f}",
            "https://evil.example/v1/x",
        ] {
            let error = url(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{path:?}");
        }
        let error = url("config?x=y").unwrap_err();
        assert!(error.remedy().text.contains(".query("));
    }

    #[test]
    fn relative_path_requires_a_project() {
        assert_eq!(
            Route::new("config".into(), None).unwrap_err().kind(),
            ErrorKind::NoProject
        );
        assert!(Route::new("projects/q/config".into(), None).is_ok());
    }

    #[test]
    fn cached_url_matches_its_own_path() {
        let base: Url = "https://ee.example/base/".parse().unwrap();
        let last = Mutex::default();
        for path in [
            "config",
            "config",
            "assets/a b",
            "assets/a b",
            "config",
            "value:compute",
        ] {
            let route = Route::new(path.into(), Some("p")).unwrap();
            assert_eq!(
                route.cached_url(&last, &base).unwrap(),
                route.url(&base).unwrap()
            );
        }
        let held = last.lock().unwrap();
        let route = Route::new("config".into(), Some("p")).unwrap();
        assert!(route.cached_url(&last, &base).is_ok());
        drop(held);
    }

    proptest::proptest! {
        #[test]
        fn unencoded_fast_path_matches_encoding(
            // Characters that need no encoding, and a few that do.
            path in "[!-.0-~]{1,8}(/[!$&-.0-;=@-Z_a-z~ %ä]{1,8}){0,4}",
            parent in "(/[a-z0-9%]{1,4}){0,2}/?",
        ) {
            let base: Url = format!("https://ee.example:8443{parent}").parse().unwrap();
            if let Ok(route) = Route::new(path, Some("p")) {
                assert_eq!(route.url(&base).unwrap(), route.encoded(&base).unwrap());
            }
        }

        #[test]
        fn encoded_path_decodes_to_itself(
            segments in proptest::collection::vec("[^/\\\\?#]{1,12}", 1..5),
        ) {
            let path = format!("projects/{}", segments.join("/"));
            let base = "https://ee.example/".parse().unwrap();
            if let Ok(route) = Route::new(path.clone(), None) {
                let url = route.url(&base).unwrap();
                let decoded = |segment: &str| {
                    // In a form, `+` is a space and `&` a separator.
                    let segment = segment.replace('+', "%2B").replace('&', "%26");
                    let pair = format!("x={segment}");
                    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
                    pairs.next().unwrap().1.into_owned()
                };
                let read: Vec<_> = url.path_segments().unwrap().map(decoded).collect();
                assert_eq!(read.join("/"), format!("v1/{path}"));
                assert_eq!((url.host_str(), url.query(), url.fragment()), (Some("ee.example"), None, None));
            }
        }
    }
}
