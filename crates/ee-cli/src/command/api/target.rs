//! What `eectl api` calls: a path or a URL of Earth Engine, with its query.

use earthengine::Remedy;
use earthengine::credentials::login::Url;

use crate::error::CliError;

const HOST: &str = "earthengine.googleapis.com";
const HIGH_VOLUME_HOST: &str = "earthengine-highvolume.googleapis.com";

/// The path and the query of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Not percent-encoded.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) is_high_volume: bool,
}

impl Target {
    /// Parses a path, which may have a query, or a URL of Earth Engine.
    ///
    /// # Errors
    ///
    /// Returns a usage error for a URL of another host, which may not receive the token.
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        if text.contains("://") {
            return Self::from_url(text);
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, pairs(query)),
            None => (text, Vec::new()),
        };
        Ok(Self {
            path: path.to_owned(),
            query,
            is_high_volume: false,
        })
    }

    fn from_url(text: &str) -> Result<Self, CliError> {
        let url = Url::parse(text).map_err(|_| refused("the URL is invalid"))?;
        let is_high_volume = match url.host_str() {
            Some(HOST) => false,
            Some(HIGH_VOLUME_HOST) => true,
            _ => return Err(refused("the URL is not one of Earth Engine")),
        };
        if url.scheme() != "https" || url.port().is_some() {
            return Err(refused("the URL is not one of Earth Engine"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused("the URL has a user or a fragment"));
        }
        let path = decoded(url.path().trim_start_matches('/'))
            .ok_or_else(|| refused("the path of the URL is not UTF-8"))?;
        Ok(Self {
            path,
            query: pairs(url.query().unwrap_or_default()),
            is_high_volume,
        })
    }
}

fn refused(reason: &str) -> CliError {
    CliError::usage_with_remedy(
        reason,
        Remedy::new(format!(
            "The access token is sent only to Earth Engine: pass a path, or a URL that starts with https://{HOST}/."
        )),
    )
}

/// Parses and decodes a query.
fn pairs(query: &str) -> Vec<(String, String)> {
    // Only the query of this URL is used.
    let Ok(mut url) = Url::parse("https://earthengine.googleapis.com/") else {
        return Vec::new();
    };
    url.set_query(Some(query));
    url.query_pairs().into_owned().collect()
}

/// Decodes a percent-encoded path. Returns `None` if it is not UTF-8.
fn decoded(path: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        match pair {
            Some((high, low)) if *byte == b'%' => {
                decoded.push(u8::try_from(high * 16 + low).ok()?);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, query: &[(&str, &str)], is_high_volume: bool) -> Target {
        let query = query.iter();
        Target {
            path: path.to_owned(),
            query: query
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            is_high_volume,
        }
    }

    #[test]
    fn paths_and_urls_are_split_into_path_and_query() {
        for (text, expected) in [
            ("config", target("config", &[], false)),
            (
                "projects/p/assets:list?pageSize=2&filter=a%3Db+c&x",
                target(
                    "projects/p/assets:list",
                    &[("pageSize", "2"), ("filter", "a=b c"), ("x", "")],
                    false,
                ),
            ),
            (
                "https://earthengine.googleapis.com/v1/projects/p/assets/W%C3%A4lder%20x?view=BASIC",
                target("v1/projects/p/assets/Wälder x", &[("view", "BASIC")], false),
            ),
            (
                "https://earthengine-highvolume.googleapis.com/v1/projects/p/value:compute",
                target("v1/projects/p/value:compute", &[], true),
            ),
            (
                "https://EARTHENGINE.googleapis.com:443/v1",
                target("v1", &[], false),
            ),
        ] {
            assert_eq!(Target::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn urls_of_other_hosts_are_refused() {
        for text in [
            "https://example.com/v1",
            "http://earthengine.googleapis.com/v1",
            "https://earthengine.googleapis.com.example.com/v1",
            "https://earthengine.googleapis.com@example.com/v1",
            "https://user@earthengine.googleapis.com/v1",
            "https://earthengine.googleapis.com:8443/v1",
            "https://earthengine.googleapis.com/v1#x",
            "https://oauth2.googleapis.com/token",
            "ftp://earthengine.googleapis.com/",
            "file:///etc/passwd",
            "://",
            "https://earthengine.googleapis.com/%ff",
        ] {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.exit_status(), 2, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_urls_reach_only_earth_engine(text in "(https?://)?[a-z.@:%/?#\\\\ -~]{0,40}") {
            if let Ok(target) = Target::parse(&text) {
                let is_ours = text.to_ascii_lowercase().contains("earthengine");
                proptest::prop_assert!(is_ours || !text.contains("://"), "{target:?}");
            }
        }
    }
}
