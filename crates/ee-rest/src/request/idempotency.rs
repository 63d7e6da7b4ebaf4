//! Which requests may be retried.
//!
//! Any request may be retried if the server certainly did not process it: the connection was never
//! established, or a rate limit rejected it. After a lost response or a server error (500, 502,
//! 503, 504) the request may already have taken effect, so only idempotent requests are retried.
//! A duplicate export costs money, so each export carries a request ID that lets the server detect
//! a retry.

use http::Method;

use crate::ApiError;
use crate::request::path::Route;

/// How an attempt failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttemptFailure<'a> {
    /// The connection could not be established.
    NotSent,
    /// The request was sent, but the response was lost or incomplete.
    ResponseLost,
    /// The server responded with an error.
    Api(&'a ApiError),
    /// A failure that a retry cannot fix.
    Permanent,
}

/// The effect of sending a request twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The same as sending it once.
    Idempotent,
    /// It starts a task: the same as sending it once if it carries a `requestId`.
    StartsTask,
    /// Not known.
    Unknown,
}

/// Where the workload tag is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagLocation {
    /// In the body field `workloadTag`.
    Body,
    /// In the query parameter `workloadTag`.
    Query,
    /// The method does not support workload tags.
    Nowhere,
}

/// Returns whether a request may be retried after this failure.
pub(crate) fn may_retry(idempotent: bool, failure: AttemptFailure<'_>) -> bool {
    match failure {
        AttemptFailure::NotSent => true,
        AttemptFailure::ResponseLost => idempotent,
        AttemptFailure::Api(api) => api.is_transient() && (api.is_rate_limit() || idempotent),
        AttemptFailure::Permanent => false,
    }
}

/// Earth Engine's read-only methods that are POSTs because their arguments are long.
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

/// Collections under a project in which a POST only creates a name for a computation; a second
/// one is another name for the same computation.
const NAMES_FOR_COMPUTATIONS: [&str; 7] = [
    "maps",
    "thumbnails",
    "filmstripThumbnails",
    "videoThumbnails",
    "tables",
    "featureView",
    "featureViews",
];

/// Methods whose body has a field `workloadTag`.
const TAGGED_VERBS: [&str; 6] = [
    "compute",
    "computePixels",
    "computeFeatures",
    "computeImages",
    "getPixels",
    "export",
];

impl Route {
    /// Returns whether the path is one of [`NAMES_FOR_COMPUTATIONS`] of a project or of one of its
    /// locations. (An asset may be named `maps`.)
    fn names_computation(&self) -> bool {
        let is_collection = self.is_project_child() || self.is_location_child();
        is_collection && NAMES_FOR_COMPUTATIONS.contains(&self.last())
    }
}

/// Returns the effect of sending a request twice, judged by its method and path.
pub(crate) fn effect(method: &Method, route: &Route) -> Effect {
    if method.is_idempotent() {
        return Effect::Idempotent;
    }
    if method != Method::POST {
        return Effect::Unknown;
    }
    let idempotent = match route.verb() {
        Some("export" | "import") if route.is_project_child() => return Effect::StartsTask,
        Some(verb) => READ_ONLY_VERBS.contains(&verb),
        None => route.names_computation(),
    };
    if idempotent {
        Effect::Idempotent
    } else {
        Effect::Unknown
    }
}

/// Returns where the workload tag of a request is sent.
pub(crate) fn tag_location(method: &Method, route: &Route) -> TagLocation {
    if method != Method::POST {
        return TagLocation::Nowhere;
    }
    match route.verb() {
        Some(verb) if TAGGED_VERBS.contains(&verb) => TagLocation::Body,
        None if route.names_computation() => TagLocation::Query,
        _ => TagLocation::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_depends_on_idempotency_and_failure() {
        let api = |status: u16, reason: &str| {
            let body =
                format!(r#"{{"error": {{"message": "m", "errors": [{{"reason": "{reason}"}}]}}}}"#);
            ApiError::from_response(status.try_into().unwrap(), body.as_bytes())
        };
        let busy = api(503, "");
        let limited = api(429, "");
        let limited_403 = api(403, "userRateLimitExceeded");
        let denied = api(403, "forbidden");
        for idempotent in [true, false] {
            let may = |failure| may_retry(idempotent, failure);
            assert!(may(AttemptFailure::NotSent));
            assert_eq!(may(AttemptFailure::ResponseLost), idempotent);
            assert_eq!(may(AttemptFailure::Api(&busy)), idempotent);
            assert!(may(AttemptFailure::Api(&limited)));
            assert!(may(AttemptFailure::Api(&limited_403)));
            assert!(!may(AttemptFailure::Api(&denied)));
            assert!(!may(AttemptFailure::Permanent));
        }
    }

    #[test]
    fn effect_and_tag_location_follow_from_method_and_path() {
        use Effect::{Idempotent, StartsTask, Unknown};
        use TagLocation::{Body, Nowhere, Query};
        let get = Method::GET;
        let post = Method::POST;
        for (method, path, twice, tag) in [
            (&get, "config", Idempotent, Nowhere),
            (&get, "maps", Idempotent, Nowhere),
            (&Method::HEAD, "config", Idempotent, Nowhere),
            (&Method::PUT, "projects/p/assets/a", Idempotent, Nowhere),
            (&Method::DELETE, "projects/p/assets/a", Idempotent, Nowhere),
            (&post, "value:compute", Idempotent, Body),
            (&post, "image:computePixels", Idempotent, Body),
            (&post, "table:computeFeatures", Idempotent, Body),
            (&post, "imageCollection:computeImages", Idempotent, Body),
            (&post, "projects/p/assets/a/b:getPixels", Idempotent, Body),
            (
                &post,
                "projects/p/assets/a/b:getIamPolicy",
                Idempotent,
                Nowhere,
            ),
            (&post, "assets/a/b:testIamPermissions", Idempotent, Nowhere),
            (&post, "operations/o:wait", Idempotent, Nowhere),
            (&post, "maps", Idempotent, Query),
            (&post, "thumbnails", Idempotent, Query),
            (&post, "filmstripThumbnails", Idempotent, Query),
            (&post, "videoThumbnails", Idempotent, Query),
            (&post, "tables", Idempotent, Query),
            (&post, "featureView", Idempotent, Query),
            (&post, "featureViews", Idempotent, Query),
            (&post, "projects/p/locations/l/maps", Idempotent, Query),
            (&post, "projects/p/locations/l/assets", Unknown, Nowhere),
            (&post, "projects/p/locations/maps", Unknown, Nowhere),
            (&post, "image:export", StartsTask, Body),
            (&post, "table:export", StartsTask, Body),
            (&post, "video:export", StartsTask, Body),
            (&post, "videoMap:export", StartsTask, Body),
            (&post, "map:export", StartsTask, Body),
            (&post, "classifier:export", StartsTask, Body),
            (&post, "image:import", StartsTask, Nowhere),
            (&post, "table:import", StartsTask, Nowhere),
            (&post, "assets/a:import", Unknown, Nowhere),
            (&post, "assets", Unknown, Nowhere),
            (&post, "projects/p/assets/maps", Unknown, Nowhere),
            (&post, "projects/p/assets/a:copy", Unknown, Nowhere),
            (&post, "projects/p/assets/a:move", Unknown, Nowhere),
            (&post, "projects/p/assets/a:setIamPolicy", Unknown, Nowhere),
            (&post, "projects/p/operations/o:cancel", Unknown, Nowhere),
            (&post, "surprise:compute2", Unknown, Nowhere),
            (&Method::PATCH, "projects/p/assets/a", Unknown, Nowhere),
            (&Method::PATCH, "value:compute", Unknown, Nowhere),
        ] {
            let route = Route::new(path.into(), Some("p")).unwrap();
            assert_eq!(effect(method, &route), twice, "{method} {path}");
            assert_eq!(tag_location(method, &route), tag, "{method} {path}");
        }
    }
}
