//! `cloudresourcemanager.googleapis.com`: the projects that a caller may see.

use serde_json::{Value, json};

use super::admission::{Call, authenticate, chargeable, require_scope};
use crate::project::Project;
use crate::refusals;
use crate::reply::Reply;
use crate::request::Request;
use crate::scopes::{CLOUD_PLATFORM, CLOUD_PLATFORM_READ_ONLY};
use crate::server::Shared;

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

/// The page size when none is asked for, and the largest that is given.
const PAGE: usize = 500;

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v3", "projects:search"]) => match search(shared, request) {
            Ok(reply) | Err(reply) => reply,
        },
        ("GET", ["v1", "projects", name]) => match get(shared, request, name) {
            Ok(reply) | Err(reply) => reply,
        },
        _ => Reply::no_such_page(&request.path),
    }
}

/// Unlike at Google, a user's token needs no quota project here: people who look for a project
/// have none yet. One that is named must be good.
fn search(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
    let caller = authenticate(shared, request, CALL)?;
    require_scope(&caller, &SUFFICIENT, CALL)?;
    let state = shared.state();
    if let Some(name) = request.header("x-goog-user-project") {
        chargeable(&state, name, &caller, CALL.service)?;
    }
    let visible: Vec<&Project> = state
        .projects
        .iter()
        .filter(|project| project.admits(caller.email()))
        .collect();

    let number = |name: &str| match request.query(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
            refusals::invalid_argument(&format!("Request contains an invalid {name}."))
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
    Ok(Reply::json(200, &body))
}

/// One project in the older version's form, which google-auth asks for.
fn get(shared: &Shared, request: &Request, name: &str) -> Result<Reply, Reply> {
    let caller = authenticate(shared, request, CALL)?;
    require_scope(&caller, &SUFFICIENT, CALL)?;
    let state = shared.state();
    let project = state
        .project(name)
        .filter(|project| project.admits(caller.email()))
        .ok_or_else(|| refusals::not_found_or_deleted(name))?;
    Ok(Reply::json(
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
