//! `earthengine.googleapis.com` and its high-volume twin.

use http::HeaderName;
use serde_json::{Value, json};

use super::admission::{Call, Caller, authenticate, chargeable, quota_project, require_scope};
use super::routes::{Method, route};
use super::{assets, batch, compute, features, operations, payload, pictures};
use crate::oauth_client::OAuthClient;
use crate::project::Project;
use crate::random;
use crate::refusals::{self, EARTH_ENGINE};
use crate::reply::Reply;
use crate::request::Request;
use crate::scopes::{CLOUD_PLATFORM, EARTHENGINE, EARTHENGINE_READONLY};
use crate::server::Shared;
use crate::state::{IssuedTo, State};

const DISCOVERY: &str = include_str!("../data/discovery.json");
const ALGORITHMS: &str = include_str!("../data/algorithms.json");

const TO_READ: [&str; 3] = [EARTHENGINE, CLOUD_PLATFORM, EARTHENGINE_READONLY];
const TO_COMPUTE: [&str; 2] = [EARTHENGINE, CLOUD_PLATFORM];

/// The path project of clients that were told none; it has had no users since 2024.
const LEGACY_PROJECT: &str = "earthengine-legacy";

/// The numbers of the projects that own Google's SDKs and Earth Engine's client. Nobody but
/// Google may use them.
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

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    match (request.method.as_str(), request.segments().as_slice()) {
        ("GET", [discovery, rest]) if discovery == "$discovery" && rest == "rest" => {
            self::discovery(shared, request).unwrap_or_else(|refusal| refusal)
        }
        ("POST", [one]) if one == "batch" => batch::answer(shared, request),
        _ => answer_one(shared, request),
    }
}

/// Answers one call, which may be one of a batch.
pub(super) fn answer_one(shared: &Shared, request: &Request) -> Reply {
    match route(request) {
        Some((method, project)) => {
            perform(shared, request, &method, &project).unwrap_or_else(|refusal| refusal)
        }
        None => Reply::no_such_page(&request.path),
    }
}

/// The description of the API, with this emulator in the place of Google.
fn discovery(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
    let call = Call {
        service: EARTH_ENGINE,
        method: "discovery",
    };
    // It is public, but a credential that is sent all the same is looked at.
    if request.header("authorization").is_some() {
        authenticate(shared, request, call)?;
    }
    if request
        .query("version")
        .is_some_and(|version| version != "v1")
    {
        return Err(Reply::no_such_page(&request.path));
    }
    let Ok(mut document) = serde_json::from_str::<Value>(DISCOVERY) else {
        return Err(refusals::internal());
    };
    let root = format!("{}/", shared.url(&request.host));
    for address in ["rootUrl", "baseUrl", "mtlsRootUrl"] {
        if document.get(address).is_some() {
            document[address] = json!(root);
        }
    }
    Ok(Reply::json(200, &document))
}

fn perform(
    shared: &Shared,
    request: &Request,
    method: &Method,
    project: &str,
) -> Result<Reply, Reply> {
    let full_name = method.full_name();
    let call = Call {
        service: EARTH_ENGINE,
        method: &full_name,
    };
    let caller = authenticate(shared, request, call)?;
    let sufficient: &[&str] = if method.only_reads() {
        &TO_READ
    } else {
        &TO_COMPUTE
    };
    require_scope(&caller, sufficient, call)?;
    let payer = quota_project(request, &caller, EARTH_ENGINE)?;
    let called = {
        let state = shared.state();
        check_payer(&state, &payer, &caller, method)?;
        let counts = if is_commons(method, project) {
            &payer
        } else {
            project
        };
        check_called(&state, counts, &caller, method)?.clone()
    };
    // Outside the lock: computing may take a while.
    let reply = match method {
        Method::GetConfig => config(shared, &called, project),
        Method::UpdateConfig => update_config(shared, request, &called, project)?,
        Method::ListAlgorithms => Reply::new(200, "application/json; charset=UTF-8", ALGORITHMS),
        Method::ComputeValue => compute::answer(request)?,
        Method::ComputePixels => pictures::pixels(shared, request, None)?,
        Method::ComputeFeatures => features::answer(request)?,
        Method::Export(export) => operations::export(shared, request, *export, project)?,
        Method::Create(collection) => pictures::create(shared, request, *collection, project)?,
        Method::Tile(map, place) => {
            pictures::tile(shared, map, place.each_ref().map(String::as_str))?
        }
        Method::Thumbnail(name) => pictures::thumbnail(shared, name)?,
        Method::Asset(verb, name) => assets::answer(shared, request, *verb, name)?,
        Method::AssetPixels(name) => pictures::pixels(shared, request, Some(name))?,
        Method::ListOperations => operations::list(shared, request, project)?,
        Method::Operation(verb, name) => operations::answer(shared, request, *verb, name)?,
    };
    Ok(with_notices(reply, &called, request))
}

/// Whether the path's project is one that belongs to everybody: then it is the payer's
/// registration that counts.
fn is_commons(method: &Method, project: &str) -> bool {
    matches!(method, Method::Asset(..) | Method::AssetPixels(_))
        && matches!(project, "earthengine-public" | LEGACY_PROJECT)
}

/// Sets how many exports may run at once, the only thing that clients may set.
fn update_config(
    shared: &Shared,
    request: &Request,
    project: &Project,
    called: &str,
) -> Result<Reply, Reply> {
    let body = payload::object(
        request,
        &["name", "registrationState", "maxConcurrentExports"],
    )?;
    let mask = request.query("updateMask").unwrap_or_default();
    if !matches!(
        mask.as_str(),
        "max_concurrent_exports" | "maxConcurrentExports"
    ) {
        return Err(refusals::invalid_argument(
            "Only max_concurrent_exports can be updated.",
        ));
    }
    let most = body.get("maxConcurrentExports").and_then(Value::as_u64);
    let most = most
        .and_then(|most| u32::try_from(most).ok())
        .ok_or_else(|| refusals::invalid_argument("Invalid value at 'max_concurrent_exports'."))?;
    shared
        .state()
        .content
        .limits
        .insert(project.id.clone(), most);
    Ok(config(shared, project, called))
}

fn config(shared: &Shared, project: &Project, called: &str) -> Reply {
    let mut body = json!({
        "name": format!("projects/{called}/config"),
        "registrationState": project.registration,
    });
    let set = shared.state().content.limits.get(&project.id).copied();
    if let Some(exports) = set.or(project.max_concurrent_exports) {
        body["maxConcurrentExports"] = json!(exports);
    }
    Reply::json(200, &body)
}

/// What Earth Engine says beside its answer.
fn with_notices(mut reply: Reply, project: &Project, request: &Request) -> Reply {
    if let Some(status) = &project.quota_status {
        reply = reply.with(QUOTA_STATUS, status);
    }
    if let Some(message) = &project.init_message {
        reply = reply.with(INIT_MESSAGE, message);
    }
    if request.header(PROFILING).is_some() {
        reply = reply.with(PROFILE, &random::hex(16));
    }
    reply
}

/// The project that pays: the header's, or the credential's own.
fn check_payer(state: &State, name: &str, caller: &Caller, method: &Method) -> Result<(), Reply> {
    if SDK_PROJECTS.contains(&name) && state.project(name).is_none() {
        // Whoever ends up with the client's own project has chosen none.
        return Err(if owns(caller, name) {
            refusals::not_signed_up()
        } else {
            refusals::user_project_denied(EARTH_ENGINE, name)
        });
    }
    if state.project(name).is_none() {
        return Err(refusals::not_found_or_deleted(name));
    }
    check(state, name, caller, method).map(|_| ())
}

/// Whether the project is that of the client through which the caller came.
fn owns(caller: &Caller, number: &str) -> bool {
    match caller {
        Caller::Token(token) => matches!(
            &token.issued_to,
            IssuedTo::Client { id, .. } if OAuthClient::project_number(id) == number
        ),
        Caller::ApiKey { .. } => false,
    }
}

/// The project in the path, whose registration counts.
fn check_called<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    method: &Method,
) -> Result<&'a Project, Reply> {
    if state.project(name).is_none() {
        return Err(if name == LEGACY_PROJECT || SDK_PROJECTS.contains(&name) {
            refusals::not_signed_up()
        } else {
            refusals::project_not_found(name)
        });
    }
    check(state, name, caller, method)
}

fn check<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    method: &Method,
) -> Result<&'a Project, Reply> {
    if let Some(refusal) = state.project(name).and_then(|project| project.refusal) {
        return Err(refusal.reply(name));
    }
    let project = chargeable(state, name, caller, EARTH_ENGINE)?;
    if !project.api_enabled {
        return Err(refusals::service_disabled(name));
    }
    let answers = *method == Method::GetConfig && project.config_when_unregistered;
    if !project.is_registered() && !answers {
        return Err(refusals::not_registered(name));
    }
    match missing_permission(project, method) {
        Some(permission) => Err(refusals::iam_permission_denied(name, permission)),
        None => Ok(project),
    }
}

/// Reading the configuration needs the younger permission too; the other calls, the one to compute.
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
