//! `earthengine.googleapis.com` and `earthengine-highvolume.googleapis.com`.

use http::HeaderName;

use super::admission::{
    Call, Caller, authenticate, check_quota_project, quota_project, require_scope,
};
use super::routes::{self, Method, route};
use super::{assets, batch, compute, config, features, images, imports, operations, payload};
use crate::description::{ApiMethod, Description};
use crate::error_responses::{self, EARTH_ENGINE};
use crate::oauth_client::OAuthClient;
use crate::project::Project;
use crate::random;
use crate::request::Request;
use crate::response::Response;
use crate::scopes::{CLOUD_PLATFORM, EARTHENGINE, EARTHENGINE_READONLY};
use crate::state::{IssuedTo, Shared, State};

const ALGORITHMS: &str = include_str!("../data/algorithms.json");

const TO_READ: [&str; 3] = [EARTHENGINE, CLOUD_PLATFORM, EARTHENGINE_READONLY];
const TO_COMPUTE: [&str; 2] = [EARTHENGINE, CLOUD_PLATFORM];

/// The project in the path of clients without a project, unusable since 2024.
const LEGACY_PROJECT: &str = "earthengine-legacy";

/// The numbers of the projects that own Google's SDKs and Earth Engine's client, which only Google
/// may use.
const SDK_PROJECTS: [&str; 7] = [
    "764086051850",
    "618104708054",
    "32555940559",
    "522309567947",
    "1014160490159",
    "1057398310658",
    "517222506229",
];

const QUOTA_STATUS: HeaderName = HeaderName::from_static("x-earth-engine-quota-status");
const INIT_MESSAGE: HeaderName = HeaderName::from_static("x-earth-engine-init-message");
const PROFILE: HeaderName = HeaderName::from_static("x-earth-engine-computation-profile");
const PROFILING: &str = "x-earth-engine-computation-profiling";

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("GET", [discovery, rest]) if discovery == "$discovery" && rest == "rest" => {
            self::discovery(shared, request).unwrap_or_else(|error| error)
        }
        ("POST", [one]) if one == "batch" => batch::handle(shared, request),
        _ => handle_one(shared, request),
    }
}

/// Handles one call, which may be part of a batch.
pub(super) fn handle_one(shared: &Shared, request: &Request) -> Response {
    let segments = request.segments();
    let found = Description::get().find(request.method.as_str(), &segments);
    let found = found.and_then(|matched| {
        let described = matched.method;
        let project = routes::project(&matched.name).to_owned();
        Some((route(request, matched)?, described, project))
    });
    match found {
        Some((method, described, project)) => {
            perform(shared, request, &method, described, &project).unwrap_or_else(|error| error)
        }
        None => Response::page_not_found(&request.path),
    }
}

/// Returns the discovery document, with the emulator's URLs.
fn discovery(shared: &Shared, request: &Request) -> Result<Response, Response> {
    let call = Call {
        service: EARTH_ENGINE,
        method: "discovery",
    };
    // The document is public, but a credential is validated if present.
    if request.header("authorization").is_some() {
        authenticate(shared, request, call)?;
    }
    if request
        .query("version")
        .is_some_and(|version| version != "v1")
    {
        return Err(Response::page_not_found(&request.path));
    }
    let root = format!("{}/", shared.url(&request.host));
    let document = Description::get().discovery(&root);
    Ok(Response::json(200, &document))
}

fn perform(
    shared: &Shared,
    request: &Request,
    method: &Method,
    described: &ApiMethod,
    project: &str,
) -> Result<Response, Response> {
    let full_name = method.full_name();
    let call = Call {
        service: EARTH_ENGINE,
        method: &full_name,
    };
    let caller = authenticate(shared, request, call)?;
    let sufficient: &[&str] = if method.is_read_only() {
        &TO_READ
    } else {
        &TO_COMPUTE
    };
    require_scope(&caller, sufficient, call)?;
    let body = payload::checked(request, described)?;
    let billed = quota_project(request, &caller, EARTH_ENGINE)?;
    let called = {
        let state = shared.state();
        check_billed_project(&state, &billed, &caller, method)?;
        let registered = if is_public_project(method, project) {
            &billed
        } else {
            project
        };
        check_path_project(&state, registered, &caller, method)?.clone()
    };
    // Outside the lock, because computation can be slow.
    let response = match method {
        Method::GetConfig => config::get(shared, request, &called, project),
        Method::UpdateConfig => config::update(shared, request, &body, &called, project)?,
        Method::ListAlgorithms => Response::new(200, "application/json; charset=UTF-8", ALGORITHMS),
        Method::ComputeValue => compute::handle(&body)?,
        Method::ComputePixels => images::pixels(shared, &body, None)?,
        Method::ComputeFeatures => features::compute(&body)?,
        Method::ComputeImages => features::compute_images(&body)?,
        Method::Import(import) => imports::import(shared, &body, *import, project)?,
        Method::Export(export) => operations::export(shared, &body, *export, project)?,
        Method::Create(collection) => images::create(shared, request, body, *collection, project)?,
        Method::Tile(map, place) => {
            images::tile(shared, map, place.each_ref().map(String::as_str))?
        }
        Method::File(name) => images::file(shared, name)?,
        Method::Asset(verb, name) => assets::handle(shared, request, &body, *verb, name)?,
        Method::AssetPixels(name) => images::pixels(shared, &body, Some(name))?,
        Method::ListOperations => operations::list(shared, request, project)?,
        Method::Operation(verb, name) => operations::handle(shared, *verb, name)?,
    };
    Ok(with_project_headers(response, &called, request))
}

/// Returns whether the path names a public project. Then the quota project must be registered.
fn is_public_project(method: &Method, project: &str) -> bool {
    matches!(method, Method::Asset(..) | Method::AssetPixels(_))
        && matches!(project, "earthengine-public" | LEGACY_PROJECT)
}

/// Adds Earth Engine's additional headers.
fn with_project_headers(mut response: Response, project: &Project, request: &Request) -> Response {
    if let Some(status) = &project.quota_status {
        response = response.with(QUOTA_STATUS, status);
    }
    if let Some(message) = &project.init_message {
        response = response.with(INIT_MESSAGE, message);
    }
    if request.header(PROFILING).is_some() {
        response = response.with(PROFILE, &random::hex(16));
    }
    response
}

/// Checks the quota project.
fn check_billed_project(
    state: &State,
    name: &str,
    caller: &Caller,
    method: &Method,
) -> Result<(), Response> {
    if SDK_PROJECTS.contains(&name) && state.project(name).is_none() {
        // A caller with the client's own project has not chosen one.
        return Err(if owns(caller, name) {
            error_responses::not_signed_up()
        } else {
            error_responses::user_project_denied(EARTH_ENGINE, name)
        });
    }
    if state.project(name).is_none() {
        return Err(error_responses::not_found_or_deleted(name));
    }
    check(state, name, caller, method).map(|_| ())
}

/// Returns whether the project owns the caller's OAuth client.
fn owns(caller: &Caller, number: &str) -> bool {
    match caller {
        Caller::Token(token) => matches!(
            &token.issued_to,
            IssuedTo::Client { id, .. } if OAuthClient::project_number(id) == number
        ),
        Caller::ApiKey { .. } => false,
    }
}

/// Checks the project in the path, which must be registered.
fn check_path_project<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    method: &Method,
) -> Result<&'a Project, Response> {
    if state.project(name).is_none() {
        return Err(if name == LEGACY_PROJECT || SDK_PROJECTS.contains(&name) {
            error_responses::not_signed_up()
        } else {
            error_responses::project_not_found(name)
        });
    }
    check(state, name, caller, method)
}

fn check<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    method: &Method,
) -> Result<&'a Project, Response> {
    if let Some(error) = state.project(name).and_then(|project| project.error) {
        return Err(error.response(name));
    }
    let project = check_quota_project(state, name, caller, EARTH_ENGINE)?;
    if !project.api_enabled {
        return Err(error_responses::service_disabled(name));
    }
    let config_allowed = *method == Method::GetConfig && project.config_when_unregistered;
    if !project.is_registered() && !config_allowed {
        return Err(error_responses::not_registered(name));
    }
    match missing_permission(project, method) {
        Some(permission) => Err(error_responses::iam_permission_denied(name, permission)),
        None => Ok(project),
    }
}

/// Returns a permission that the call requires and the project denies. Reading the configuration
/// requires two permissions, all other calls one.
fn missing_permission(project: &Project, method: &Method) -> Option<&'static str> {
    const COMPUTE: &[&str] = &["earthengine.computations.create"];
    const READ_CONFIG: &[&str] = &["earthengine.config.get", "earthengine.computations.create"];
    let needed = match method {
        Method::GetConfig => READ_CONFIG,
        _ => COMPUTE,
    };
    let missing = |permission: &&str| project.missing_permissions.contains(*permission);
    needed.iter().copied().find(missing)
}
