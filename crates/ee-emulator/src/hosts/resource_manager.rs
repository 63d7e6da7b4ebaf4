//! `cloudresourcemanager.googleapis.com`: project search.

use serde_json::{Value, json};

use super::admission::{Call, authenticate, check_quota_project, require_scope};
use crate::error_responses;
use crate::project::Project;
use crate::request::Request;
use crate::response::Response;
use crate::scopes::{CLOUD_PLATFORM, CLOUD_PLATFORM_READ_ONLY};
use crate::state::Shared;

const CALL: Call<'_> = Call {
    service: "cloudresourcemanager.googleapis.com",
    method: "google.cloud.resourcemanager.v3.Projects.SearchProjects",
};

const SUFFICIENT: [&str; 4] = [
    CLOUD_PLATFORM,
    CLOUD_PLATFORM_READ_ONLY,
    "https://www.googleapis.com/auth/cloudplatformprojects",
    "https://www.googleapis.com/auth/cloudplatformprojects.readonly",
];

/// The default and maximum page size.
const PAGE: usize = 500;

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v3", "projects:search"]) => search(shared, request).unwrap_or_else(|error| error),
        ("GET", ["v1", "projects", name]) => {
            get(shared, request, name).unwrap_or_else(|error| error)
        }
        _ => Response::page_not_found(&request.path),
    }
}

/// Searches the projects that the caller may use.
///
/// Unlike at Google, a user's token needs no quota project here, because a user who searches for a
/// project does not have one yet. A quota project in the request is checked.
fn search(shared: &Shared, request: &Request) -> Result<Response, Response> {
    let caller = authenticate(shared, request, CALL)?;
    require_scope(&caller, &SUFFICIENT, CALL)?;
    let state = shared.state();
    if let Some(name) = request.header("x-goog-user-project") {
        check_quota_project(&state, name, &caller, CALL.service)?;
    }
    let visible: Vec<&Project> = state
        .projects
        .iter()
        .filter(|project| project.allows(caller.email()))
        .collect();

    let number = |name: &str| match request.query(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
            error_responses::invalid_argument(&format!("Request contains an invalid {name}."))
        }),
    };
    let size = number("pageSize")?
        .filter(|size| *size > 0)
        .unwrap_or(PAGE)
        .min(PAGE);
    let start = number("pageToken")?.unwrap_or(0).min(visible.len());
    let end = (start + size).min(visible.len());
    let page: Vec<Value> = visible[start..end]
        .iter()
        .map(|project| describe(project))
        .collect();
    let mut body = json!({});
    if !page.is_empty() {
        body["projects"] = Value::Array(page);
    }
    if end < visible.len() {
        body["nextPageToken"] = json!(end.to_string());
    }
    Ok(Response::json(200, &body))
}

/// Returns one project in the format of API version 1, which google-auth uses.
fn get(shared: &Shared, request: &Request, name: &str) -> Result<Response, Response> {
    let caller = authenticate(shared, request, CALL)?;
    require_scope(&caller, &SUFFICIENT, CALL)?;
    let state = shared.state();
    let project = state
        .project(name)
        .filter(|project| project.allows(caller.email()))
        .ok_or_else(|| error_responses::not_found_or_deleted(name))?;
    Ok(Response::json(
        200,
        &json!({
            "projectNumber": project.number.to_string(),
            "projectId": project.id,
            "lifecycleState": "ACTIVE",
            "name": project.display_name,
            "createTime": "2024-01-01T00:00:00.000Z",
        }),
    ))
}

fn describe(project: &Project) -> Value {
    json!({
        "name": format!("projects/{}", project.number),
        "parent": "organizations/100000000001",
        "projectId": project.id,
        "state": "ACTIVE",
        "displayName": project.display_name,
        "createTime": "2024-01-01T00:00:00Z",
        "updateTime": "2024-01-01T00:00:00Z",
        "etag": "W/\"emulator\"",
    })
}
