//! Which requests may be sent twice.
//!
//! Everything may, if the server surely did nothing about the first: the connection was never
//! made, or a rate limit turned it away. What got lost on the way, or failed at the server
//! (500, 502, 503, 504), may have been done all the same: it is sent again only if doing it
//! twice is no different from doing it once. An export that starts two tasks costs money.

use http::Method;

use crate::ApiError;
use crate::path::Route;

/// How an attempt failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure<'a> {
    /// The connection could not be made.
    NeverSent,
    /// The request went out; no answer came, or it broke off.
    Lost,
    /// The server answered with a refusal.
    Refused(&'a ApiError),
    /// An answer that would be no better the next time.
    Final,
}

/// Whether a request that failed so may be sent again.
pub(crate) fn may_resend(method: &Method, route: &Route, failure: Failure<'_>) -> bool {
    match failure {
        Failure::NeverSent => true,
        Failure::Lost => is_repeatable(method, route),
        Failure::Refused(api) => {
            api.is_transient() && (api.is_rate_limit() || is_repeatable(method, route))
        }
        Failure::Final => false,
    }
}

/// Earth Engine's methods that are POSTs because their arguments are long, and change nothing.
const READ_ONLY_VERBS: [&str; 8] = [
    "compute",
    "computePixels",
    "computeFeatures",
    "computeImages",
    "getPixels",
    "getIamPolicy",
    "testIamPermissions",
    "wait",
];

/// Collections under a project where a POST makes a name for a computation and nothing else:
/// a second one is another name for the same.
const NAMES_FOR_COMPUTATIONS: [&str; 6] = [
    "maps",
    "thumbnails",
    "filmstripThumbnails",
    "videoThumbnails",
    "tables",
    "featureView",
];

/// Whether doing it twice is no different from doing it once (RFC 9110 §9.2.2, and Earth
/// Engine's read-only POSTs). A DELETE whose first answer got lost says 404 to the second.
fn is_repeatable(method: &Method, route: &Route) -> bool {
    if method.is_idempotent() {
        return true;
    }
    if method != Method::POST {
        return false;
    }
    let segments = route.segments();
    let last = segments.last().map(String::as_str).unwrap_or_default();
    if let Some((_, verb)) = last.rsplit_once(':') {
        return READ_ONLY_VERBS.contains(&verb);
    }
    // v1/projects/P/NAME and nothing deeper: an asset may be called `maps`.
    segments.len() == 4 && segments[1] == "projects" && NAMES_FOR_COMPUTATIONS.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again() {
        let api = |status: u16, reason: &str| {
            let body =
                format!(r#"{{"error": {{"message": "m", "errors": [{{"reason": "{reason}"}}]}}}}"#);
            ApiError::from_reply(status.try_into().unwrap(), body.as_bytes())
        };
        let busy = api(503, "");
        let limited = api(429, "");
        let limited_403 = api(403, "userRateLimitExceeded");
        let denied = api(403, "forbidden");
        let get = Method::GET;
        let post = Method::POST;
        for (method, path, lost) in [
            (&get, "config", true),
            (&Method::HEAD, "config", true),
            (&Method::PUT, "projects/p/assets/a", true),
            (&Method::DELETE, "projects/p/assets/a", true),
            (&post, "value:compute", true),
            (&post, "image:computePixels", true),
            (&post, "table:computeFeatures", true),
            (&post, "imageCollection:computeImages", true),
            (&post, "projects/p/assets/a/b:getPixels", true),
            (&post, "projects/p/assets/a/b:getIamPolicy", true),
            (&post, "projects/p/assets/a/b:testIamPermissions", true),
            (&post, "maps", true),
            (&post, "thumbnails", true),
            (&post, "filmstripThumbnails", true),
            (&post, "videoThumbnails", true),
            (&post, "tables", true),
            (&post, "image:export", false),
            (&post, "table:export", false),
            (&post, "video:export", false),
            (&post, "map:export", false),
            (&post, "classifier:export", false),
            (&post, "image:import", false),
            (&post, "assets", false),
            (&post, "projects/p/assets/maps", false),
            (&post, "projects/p/assets/a:copy", false),
            (&post, "projects/p/assets/a:move", false),
            (&post, "projects/p/assets/a:setIamPolicy", false),
            (&post, "projects/p/operations/o:cancel", false),
            (&post, "surprise:compute2", false),
            (&Method::PATCH, "projects/p/assets/a", false),
            (&Method::PATCH, "value:compute", false),
        ] {
            let route = Route::new(path, Some("p")).unwrap();
            let may = |failure| may_resend(method, &route, failure);
            assert!(may(Failure::NeverSent), "{method} {path}");
            assert_eq!(may(Failure::Lost), lost, "{method} {path}");
            assert_eq!(may(Failure::Refused(&busy)), lost, "{method} {path}");
            assert!(may(Failure::Refused(&limited)), "{method} {path}");
            assert!(may(Failure::Refused(&limited_403)), "{method} {path}");
            assert!(!may(Failure::Refused(&denied)), "{method} {path}");
            assert!(!may(Failure::Final), "{method} {path}");
        }
    }
}
