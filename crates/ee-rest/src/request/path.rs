//! How a path becomes a URL. Everything is checked before a request is made: what reaches
//! the server is the resource that was named, or nothing.

use std::sync::Mutex;

use ee_token::Remedy;
use url::Url;

use crate::{Error, ErrorKind};

/// Where Google serves the API's description, for every project alike.
const DISCOVERY: &str = "$discovery";

/// What stands for the address of many calls in one request, which has no version. (A path
/// `batch` would be relative to the project.)
pub(crate) const BATCH: &str = "$batch";

/// A path that was checked: from the version on, not encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Route(String);

/// The path of the last request under one base, and its URL.
#[derive(Debug, Default)]
pub(crate) struct LastUrl(Option<(Box<str>, Url)>);

impl Route {
    /// Completes a path: `v1/…` is whole, `projects/…` lacks the version, and everything else
    /// lacks `v1/projects/P` as well.
    pub(crate) fn new(path: String, project: Option<&str>) -> Result<Self, Error> {
        // Documentation writes paths with a slash in front.
        let given = path.strip_prefix('/').unwrap_or(&path);
        for segment in given.split('/') {
            check_segment(segment).map_err(|why| {
                if path.contains("://") {
                    return refused(&path, "it is a URL").with_remedy(Remedy::new(
                        "Give the path alone, and the host as base URL.",
                    ));
                }
                let error = refused(given, why);
                if segment.contains('?') {
                    error.with_remedy(Remedy::new(
                        "Give query parameters by themselves: .query(\"name\", \"value\").",
                    ))
                } else {
                    error
                }
            })?;
        }
        let whole = match given.split('/').next().unwrap_or_default() {
            "v1" | "v1alpha" | "v1beta" | DISCOVERY if given.len() == path.len() => path,
            "v1" | "v1alpha" | "v1beta" | DISCOVERY => given.to_owned(),
            "projects" => ["v1/", given].concat(),
            BATCH if given == BATCH => "batch".to_owned(),
            _ => {
                let project = project.ok_or_else(|| no_project(given))?;
                ["v1/projects/", project, "/", given].concat()
            }
        };
        Ok(Self(whole))
    }

    /// The URL under `base`, each segment percent-encoded.
    pub(crate) fn url(&self, base: &Url) -> Result<Url, Error> {
        // Nearly all paths are nothing but characters that stand for themselves (RFC 3986 §3.3).
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'@'..=b'Z' | b'&'..=b';' | b'!' | b'$' | b'=' | b'_' | b'~');
        if self.0.bytes().all(plain) {
            let mut url = base.clone();
            // Scheme and host are not parsed again: that costs more than all else here.
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
            .map_err(|()| no_base(base))?
            .pop_if_empty()
            .extend(self.0.split('/'));
        Ok(url)
    }

    /// [`url`](Self::url), without parsing it if the request before had the same path: most
    /// programs call one method over and over, and to parse is a good part of what a request
    /// costs.
    pub(crate) fn url_after(&self, last: &Mutex<LastUrl>, base: &Url) -> Result<Url, Error> {
        // Who would have to wait parses.
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

    /// It as it reads, not encoded.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the API's description, which belongs to no project.
    pub(crate) fn is_discovery(&self) -> bool {
        self.0.split('/').next() == Some(DISCOVERY)
    }

    /// The last segment.
    pub(crate) fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What the last segment has behind its last colon: `compute` of `value:compute`.
    pub(crate) fn verb(&self) -> Option<&str> {
        self.last().rsplit_once(':').map(|(_, verb)| verb)
    }

    /// Whether it is `v1/projects/P/NAME` and nothing deeper.
    pub(crate) fn is_of_project(&self) -> bool {
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

/// Why this cannot be a segment of a path, if so. What is left is encoded: blanks, `%`,
/// letters of any script.
pub(crate) fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("a part of it between two slashes is empty");
    }
    // RFC 3986 §5.2.4: a path with these names another resource than it seems to.
    if segment == "." || segment == ".." {
        return Err("it has a part `.` or `..`");
    }
    for c in segment.chars() {
        match c {
            '?' => return Err("it has a `?`"),
            '#' => return Err("it has a `#`"),
            // To a URL parser it is a slash.
            '\\' => return Err("it has a backslash"),
            c if c.is_control() => return Err("it has a control character"),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that `base` can have paths under it.
pub(crate) fn check_base(base: &Url) -> Result<(), Error> {
    if base.cannot_be_a_base() || base.query().is_some() || base.fragment().is_some() {
        return Err(no_base(base));
    }
    Ok(())
}

fn no_base(base: &Url) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        format!(
            "the base URL (scheme {}, host {}) cannot have paths under it",
            base.scheme(),
            base.host_str().unwrap_or("none")
        ),
    )
    .with_remedy(Remedy::new(
        "Give scheme and host, such as https://earthengine.googleapis.com, without a query or a fragment.",
    ))
}

fn refused(path: &str, why: &str) -> Error {
    // No more than the beginning of something that could be anything.
    let shown: String = path.chars().take(80).collect();
    Error::new(
        ErrorKind::InvalidRequest,
        format!("{shown:?} cannot be the path of a request: {why}"),
    )
}

fn no_project(path: &str) -> Error {
    let shown: String = path.chars().take(80).collect();
    Error::new(
        ErrorKind::NoProject,
        format!("the path {shown:?} is relative to a project, and there is no project"),
    )
    .with_remedy(Remedy::new(
        "Give the client a project, or write the path out: projects/PROJECT/….",
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
    fn a_path_is_completed_and_encoded() {
        for (path, whole) in [
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
            let whole = format!("https://ee.example/base/{whole}");
            assert_eq!(url(path).unwrap(), whole, "{path}");
        }
    }

    #[test]
    fn a_path_that_could_name_something_else_is_refused() {
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
        let remedy = url("config?x=y").unwrap_err().remedy().cloned();
        assert!(remedy.unwrap().text.contains(".query("));
    }

    #[test]
    fn a_relative_path_needs_a_project() {
        assert_eq!(
            Route::new("config".into(), None).unwrap_err().kind(),
            ErrorKind::NoProject
        );
        assert!(Route::new("projects/q/config".into(), None).is_ok());
    }

    #[test]
    fn a_path_leads_to_its_own_url_whatever_the_request_before_had() {
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
                route.url_after(&last, &base).unwrap(),
                route.url(&base).unwrap()
            );
        }
        let held = last.lock().unwrap();
        let route = Route::new("config".into(), Some("p")).unwrap();
        assert!(route.url_after(&last, &base).is_ok());
        drop(held);
    }

    proptest::proptest! {
        #[test]
        fn a_path_that_needs_no_encoding_becomes_the_same_url_without_it(
            // What stands for itself, and a little that does not.
            path in "[!-.0-~]{1,8}(/[!$&-.0-;=@-Z_a-z~ %ä]{1,8}){0,4}",
            parent in "(/[a-z0-9%]{1,4}){0,2}/?",
        ) {
            let base: Url = format!("https://ee.example:8443{parent}").parse().unwrap();
            if let Ok(route) = Route::new(path, Some("p")) {
                assert_eq!(route.url(&base).unwrap(), route.encoded(&base).unwrap());
            }
        }

        #[test]
        fn a_path_is_encoded_so_that_it_is_decoded_to_itself(
            segments in proptest::collection::vec("[^/\\\\?#]{1,12}", 1..5),
        ) {
            let path = format!("projects/{}", segments.join("/"));
            let base = "https://ee.example/".parse().unwrap();
            if let Ok(route) = Route::new(path.clone(), None) {
                let url = route.url(&base).unwrap();
                let decoded = |segment: &str| {
                    // A form's `+` is a blank, and its `&` an end.
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
