//! `serviceusage.googleapis.com`: whether the Earth Engine API is enabled in a project.

use serde_json::json;

use super::admission::{Call, authenticate, check_quota_project, require_scope};
use crate::error_responses::{self, EARTH_ENGINE};
use crate::request::Request;
use crate::response::Response;
use crate::scopes::{CLOUD_PLATFORM, CLOUD_PLATFORM_READ_ONLY};
use crate::state::Shared;

const CALL: Call<'_> = Call {
    service: "serviceusage.googleapis.com",
    method: "google.api.serviceusage.v1.ServiceUsage.GetService",
};

const SUFFICIENT: [&str; 4] = [
    CLOUD_PLATFORM,
    CLOUD_PLATFORM_READ_ONLY,
    "https://www.googleapis.com/auth/service.management",
    "https://www.googleapis.com/auth/service.management.readonly",
];

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "projects", project, "services", service]) => {
            state_of(shared, request, project, service).unwrap_or_else(|error| error)
        }
        _ => Response::page_not_found(&request.path),
    }
}

fn state_of(
    shared: &Shared,
    request: &Request,
    name: &str,
    service: &str,
) -> Result<Response, Response> {
    let caller = authenticate(shared, request, CALL)?;
    require_scope(&caller, &SUFFICIENT, CALL)?;
    let state = shared.state();
    if let Some(quota_project) = request.header("x-goog-user-project") {
        check_quota_project(&state, quota_project, &caller, CALL.service)?;
    }
    let project = state
        .project(name)
        .filter(|project| project.allows(caller.email()))
        .ok_or_else(|| error_responses::iam_permission_denied(name, "serviceusage.services.get"))?;
    if service != EARTH_ENGINE {
        return Err(error_responses::service_unknown(service));
    }
    Ok(Response::json(
        200,
        &json!({
            "name": format!("projects/{}/services/{EARTH_ENGINE}", project.number),
            "config": {
                "name": EARTH_ENGINE,
                "title": "Google Earth Engine API",
            },
            "state": if project.api_enabled { "ENABLED" } else { "DISABLED" },
            "parent": format!("projects/{}", project.number),
        }),
    ))
}
