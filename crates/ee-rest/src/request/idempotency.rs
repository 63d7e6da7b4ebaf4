//! Which requests may be sent twice.
//!
//! Everything may, if the server surely did nothing about the first: the connection was never
//! made, or a rate limit turned it away. What got lost on the way, or failed at the server
//! (500, 502, 503, 504), may have been done all the same: it is sent again only if doing it
//! twice is no different from doing it once. An export that starts two tasks costs money, so
//! each carries an id by which the server knows it again.

use http::Method;

use crate::ApiError;
use crate::request::path::Route;

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

/// What sending a request twice comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The same as sending it once.
    Idempotent,
    /// It starts a task: the same as sending it once if it carries a `requestId`.
    StartsTask,
    /// Nobody knows.
    Unknown,
}

/// Where a request's workload tag goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagPlace {
    /// In the field `workloadTag` of the body.
    Body,
    /// In the query parameter `workloadTag`.
    Query,
    /// The method knows none.
    Nowhere,
}

/// Whether a request that failed so may be sent again.
pub(crate) fn may_resend(idempotent: bool, failure: Failure<'_>) -> bool {
    match failure {
        Failure::NeverSent => true,
        Failure::Lost => idempotent,
        Failure::Refused(api) => api.is_transient() && (api.is_rate_limit() || idempotent),
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

/// Of these, those that take a workload tag, as the Python client sends it.
const TAGGED_COLLECTIONS: [&str; 5] = [
    "maps",
    "thumbnails",
    "filmstripThumbnails",
    "videoThumbnails",
    "tables",
];

/// Verbs whose body has a field `workloadTag`.
const TAGGED_VERBS: [&str; 6] = [
    "compute",
    "computePixels",
    "computeFeatures",
    "computeImages",
    "getPixels",
    "export",
];

/// What sending it twice comes to, as far as method and path say.
pub(crate) fn effect(method: &Method, route: &Route) -> Effect {
    if method.is_idempotent() {
        return Effect::Idempotent;
    }
    if method != Method::POST {
        return Effect::Unknown;
    }
    let idempotent = match route.verb() {
        Some("export" | "import") if route.is_of_project() => return Effect::StartsTask,
        Some(verb) => READ_ONLY_VERBS.contains(&verb),
        // An asset may be called `maps`.
        None => route.is_of_project() && NAMES_FOR_COMPUTATIONS.contains(&route.last()),
    };
    if idempotent {
        Effect::Idempotent
    } else {
        Effect::Unknown
    }
}

/// Where its workload tag goes.
pub(crate) fn tag_place(method: &Method, route: &Route) -> TagPlace {
    if method != Method::POST {
        return TagPlace::Nowhere;
    }
    match route.verb() {
        Some(verb) if TAGGED_VERBS.contains(&verb) => TagPlace::Body,
        None if route.is_of_project() && TAGGED_COLLECTIONS.contains(&route.last()) => {
            TagPlace::Query
        }
        _ => TagPlace::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again() {
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
            let may = |failure| may_resend(idempotent, failure);
            assert!(may(Failure::NeverSent));
            assert_eq!(may(Failure::Lost), idempotent);
            assert_eq!(may(Failure::Refused(&busy)), idempotent);
            assert!(may(Failure::Refused(&limited)));
            assert!(may(Failure::Refused(&limited_403)));
            assert!(!may(Failure::Refused(&denied)));
            assert!(!may(Failure::Final));
        }
    }

    #[test]
    fn what_sending_twice_comes_to_and_where_the_tag_goes() {
        use Effect::{Idempotent, StartsTask, Unknown};
        use TagPlace::{Body, Nowhere, Query};
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
            (&post, "featureView", Idempotent, Nowhere),
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
            assert_eq!(tag_place(method, &route), tag, "{method} {path}");
        }
    }
}
