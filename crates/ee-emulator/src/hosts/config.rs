//! The Earth Engine configuration of a project.

use serde_json::{Map, Value, json};

use crate::description::Description;
use crate::error_responses;
use crate::project::Project;
use crate::request::Request;
use crate::response::Response;
use crate::state::Shared;

pub(super) fn get(shared: &Shared, request: &Request, project: &Project, called: &str) -> Response {
    let state = shared.state();
    let content = &state.content;
    let mut body = json!({
        "name": format!("projects/{called}/config"),
        "registrationState": project.registration,
    });
    let set = content.registrations.get(&project.id);
    let registration = set.cloned().or_else(|| initial_registration(project));
    if let Some(registration) = registration {
        body["registration"] = registration.into();
    }
    let set = content.limits.get(&project.id).copied();
    if let Some(exports) = set.or(project.max_concurrent_exports)
        && is_alpha(request)
    {
        // Integers of 64 bits are strings.
        body["maxConcurrentExports"] = json!(exports.to_string());
    }
    Response::json(200, &body)
}

/// Sets the fields that the mask names: the registration, and in version v1alpha the maximum number
/// of concurrent exports.
pub(super) fn update(
    shared: &Shared,
    request: &Request,
    body: &Map<String, Value>,
    project: &Project,
    called: &str,
) -> Result<Response, Response> {
    let mask = request.query("updateMask").unwrap_or_default();
    for path in mask.split(',') {
        match path {
            "max_concurrent_exports" | "maxConcurrentExports" if is_alpha(request) => {
                set_limit(shared, body, project)?;
            }
            path => set_registration(shared, body, project, path)?,
        }
    }
    Ok(get(shared, request, project, called))
}

/// Returns whether the request is for version v1alpha, which alone has the export limit.
fn is_alpha(request: &Request) -> bool {
    let segments = request.segments();
    segments.first().is_some_and(|version| version == "v1alpha")
}

fn initial_registration(project: &Project) -> Option<Map<String, Value>> {
    let tier = project.free_quota.as_ref()?;
    Some(
        [("freeQuota".to_owned(), json!(tier))]
            .into_iter()
            .collect(),
    )
}

fn set_limit(
    shared: &Shared,
    body: &Map<String, Value>,
    project: &Project,
) -> Result<(), Response> {
    let limit = body.get("maxConcurrentExports");
    let limit = limit
        .and_then(|limit| limit.as_u64().or_else(|| limit.as_str()?.parse().ok()))
        .and_then(|limit| u32::try_from(limit).ok())
        .ok_or_else(|| {
            error_responses::invalid_argument("Invalid value at 'max_concurrent_exports'.")
        })?;
    let limits = &mut shared.state().content.limits;
    limits.insert(project.id.clone(), limit);
    Ok(())
}

/// Sets the whole registration, or one of its fields.
fn set_registration(
    shared: &Shared,
    body: &Map<String, Value>,
    project: &Project,
    path: &str,
) -> Result<(), Response> {
    let invalid = || {
        error_responses::invalid_argument(&format!(
            "Invalid update mask: '{path}' cannot be updated."
        ))
    };
    let new = body.get("registration").and_then(Value::as_object);
    let new = new.cloned().unwrap_or_default();
    let mut state = shared.state();
    let registrations = &mut state.content.registrations;
    if path == "registration" {
        registrations.insert(project.id.clone(), new);
        return Ok(());
    }
    let fields = Description::get().fields("ProjectRegistration");
    let name = path.strip_prefix("registration.").and_then(|path| {
        // Masks have the names of the schema's language, too.
        let is_named = |name: &&String| path.replace('_', "").eq_ignore_ascii_case(name);
        fields?.keys().find(is_named)
    });
    let name = name.ok_or_else(invalid)?;
    let registration = registrations
        .entry(project.id.clone())
        .or_insert_with(|| initial_registration(project).unwrap_or_default());
    match new.get(name) {
        Some(value) => registration.insert(name.clone(), value.clone()),
        None => registration.remove(name),
    };
    Ok(())
}
