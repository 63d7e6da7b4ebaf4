//! The error responses of Google's API front end and of Earth Engine, with their exact texts.
//!
//! [`GoogleError`](crate::GoogleError) names those that tests can choose.

use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value, json};

use crate::description::Violation;
use crate::response::Response;

/// The service named in most errors.
pub(crate) const EARTH_ENGINE: &str = "earthengine.googleapis.com";

/// Creates an error in the form of `google.rpc.Status`.
fn error(code: u16, status: &str, message: &str, details: Vec<Value>) -> Response {
    let mut error = Map::new();
    error.insert("code".to_owned(), json!(code));
    error.insert("message".to_owned(), json!(message));
    error.insert("status".to_owned(), json!(status));
    if !details.is_empty() {
        error.insert("details".to_owned(), Value::Array(details));
    }
    Response::json(code, &json!({ "error": error }))
}

fn error_info(reason: &str, metadata: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    })
}

fn help(description: &str, url: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{"description": description, "url": url}],
    })
}

fn consumer(project: &str) -> String {
    format!("projects/{project}")
}

fn permission_denied(message: &str, details: Vec<Value>) -> Response {
    error(403, "PERMISSION_DENIED", message, details)
}

pub(crate) fn user_project_denied(service: &str, project: &str) -> Response {
    let page =
        format!("https://console.developers.google.com/iam-admin/iam/project?project={project}");
    permission_denied(
        &format!(
            "Caller does not have required permission to use project {project}. Grant the caller \
             the roles/serviceusage.serviceUsageConsumer role, or a custom role with the \
             serviceusage.services.use permission, by visiting {page} and then retry. Propagation \
             of the new permission may take a few minutes."
        ),
        vec![
            help("Google developer console IAM admin", &page),
            error_info(
                "USER_PROJECT_DENIED",
                &json!({
                    "consumer": consumer(project),
                    "containerInfo": project,
                    "service": service,
                }),
            ),
        ],
    )
}

pub(crate) fn service_disabled(project: &str) -> Response {
    let page = format!(
        "https://console.developers.google.com/apis/api/{EARTH_ENGINE}/overview?project={project}"
    );
    let message = format!(
        "Google Earth Engine API has not been used in project {project} before or it is disabled. \
         Enable it by visiting {page} then retry. If you enabled this API recently, wait a few \
         minutes for the action to propagate to our systems and retry."
    );
    let details = vec![
        error_info(
            "SERVICE_DISABLED",
            &json!({
                "activationUrl": page,
                "consumer": consumer(project),
                "containerInfo": project,
                "service": EARTH_ENGINE,
                "serviceTitle": "Google Earth Engine API",
            }),
        ),
        json!({
            "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
            "locale": "en-US",
            "message": message,
        }),
        help("Google developers console API activation", &page),
    ];
    permission_denied(&message, details)
}

pub(crate) fn not_signed_up() -> Response {
    permission_denied(
        "Not signed up for Earth Engine or project is not registered. Visit \
         https://developers.google.com/earth-engine/guides/access",
        vec![],
    )
}

pub(crate) fn not_registered(project: &str) -> Response {
    permission_denied(
        &format!(
            "Project {project} is not registered to use Earth Engine. Visit \
             https://code.earthengine.google.com/register?project={project} to register."
        ),
        vec![],
    )
}

pub(crate) fn not_registered_console(project: &str) -> Response {
    permission_denied(
        &format!(
            "Project {project} is not registered to use Earth Engine. Visit \
             https://console.cloud.google.com/earth-engine/configuration?project={project} to \
             register."
        ),
        vec![],
    )
}

pub(crate) fn consumer_suspended(service: &str, project: &str) -> Response {
    permission_denied(
        &format!(
            "Permission denied: Consumer '{}' has been suspended.",
            consumer(project)
        ),
        vec![error_info(
            "CONSUMER_SUSPENDED",
            &json!({
                "consumer": consumer(project),
                "containerInfo": consumer(project),
                "service": service,
            }),
        )],
    )
}

pub(crate) fn suspended_without_reason(project: &str) -> Response {
    permission_denied(
        &format!(
            "Permission denied: Consumer '{}' has been suspended.",
            consumer(project)
        ),
        vec![],
    )
}

pub(crate) fn not_found_or_deleted(project: &str) -> Response {
    permission_denied(
        &format!("Project '{}' not found or deleted.", consumer(project)),
        vec![],
    )
}

pub(crate) fn project_not_found(project: &str) -> Response {
    error(
        404,
        "NOT_FOUND",
        &format!("Project '{}' not found or deleted.", consumer(project)),
        vec![],
    )
}

pub(crate) fn consumer_invalid(service: &str, project: &str) -> Response {
    permission_denied(
        &format!(
            "Permission denied on resource project {project}. Project '{}' not found or deleted.",
            consumer(project)
        ),
        vec![
            help(
                "Google developers console",
                "https://console.developers.google.com",
            ),
            error_info(
                "CONSUMER_INVALID",
                &json!({
                    "consumer": consumer(project),
                    "containerInfo": project,
                    "service": service,
                }),
            ),
        ],
    )
}

pub(crate) fn forbidden() -> Response {
    Response::text(403, "Forbidden")
}

pub(crate) fn forbidden_html() -> Response {
    Response::html(
        403,
        "<!DOCTYPE html>\n<html lang=en>\n<title>Error 403 (Forbidden)!!1</title>\n\
         <p><b>403.</b> <ins>That’s an error.</ins>\n\
         <p>Your client does not have permission to get URL from this server. \
         <ins>That’s all we know.</ins>\n",
    )
}

pub(crate) fn scope_insufficient(service: &str, method: &str, wanted: &[&str]) -> Response {
    permission_denied(
        "Request had insufficient authentication scopes.",
        vec![error_info(
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            &json!({"service": service, "method": method}),
        )],
    )
    .with(
        WWW_AUTHENTICATE,
        &format!(
            "Bearer realm=\"https://accounts.google.com/\", error=\"insufficient_scope\", \
             scope=\"{}\"",
            wanted.join(" ")
        ),
    )
}

pub(crate) fn iam_permission_denied(project: &str, permission: &str) -> Response {
    let resource = format!("//earthengine.googleapis.com/{}", consumer(project));
    permission_denied(
        &format!(
            "Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
        ),
        vec![error_info(
            "IAM_PERMISSION_DENIED",
            &json!({"permission": permission, "resource": resource}),
        )],
    )
}

pub(crate) fn local_default_credentials(service: &str) -> Response {
    permission_denied(
        &format!(
            "Your application is authenticating by using local Application Default Credentials. \
             The {service} API requires a quota project, which is not set by default. To learn \
             how to set your quota project, see \
             https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds ."
        ),
        vec![],
    )
}

/// Creates the response to an invalid credential.
fn invalid_credentials(reason: &str, service: &str, method: &str) -> Response {
    error(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
         cookie or other valid authentication credential. See \
         https://developers.google.com/identity/sign-in/web/devconsole-project.",
        vec![error_info(
            reason,
            &json!({"service": service, "method": method}),
        )],
    )
    .with(
        WWW_AUTHENTICATE,
        "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"",
    )
}

pub(crate) fn access_token_expired(service: &str, method: &str) -> Response {
    invalid_credentials("ACCESS_TOKEN_EXPIRED", service, method)
}

pub(crate) fn token_type_unsupported(service: &str, method: &str) -> Response {
    invalid_credentials("ACCESS_TOKEN_TYPE_UNSUPPORTED", service, method)
}

pub(crate) fn credentials_missing(service: &str, method: &str) -> Response {
    error(
        401,
        "UNAUTHENTICATED",
        "Request is missing required authentication credential. Expected OAuth 2 access token, \
         login cookie or other valid authentication credential. See \
         https://developers.google.com/identity/sign-in/web/devconsole-project.",
        vec![error_info(
            "CREDENTIALS_MISSING",
            &json!({"service": service, "method": method}),
        )],
    )
    .with(
        WWW_AUTHENTICATE,
        "Bearer realm=\"https://accounts.google.com/\"",
    )
}

pub(crate) fn api_key_invalid(service: &str) -> Response {
    error(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        vec![
            error_info("API_KEY_INVALID", &json!({"service": service})),
            json!({
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "en-US",
                "message": "API key not valid. Please pass a valid API key.",
            }),
        ],
    )
}

fn resource_exhausted(message: &str, details: Vec<Value>) -> Response {
    error(429, "RESOURCE_EXHAUSTED", message, details)
}

pub(crate) fn too_many_concurrent_aggregations() -> Response {
    resource_exhausted("Too many concurrent aggregations.", vec![])
}

pub(crate) fn rate_limit_exceeded(project: &str) -> Response {
    resource_exhausted(
        "Request was rejected because the request rate or concurrency limit was exceeded.",
        vec![error_info(
            "RATE_LIMIT_EXCEEDED",
            &json!({"consumer": consumer(project), "service": EARTH_ENGINE}),
        )],
    )
}

fn quota_exceeded(project: &str, metric: &str, name: &str, limit: &str, per: &str) -> Response {
    resource_exhausted(
        &format!(
            "Quota exceeded for quota metric '{name}' and limit '{name} per {per}' of service \
             '{EARTH_ENGINE}' for consumer '{}'.",
            consumer(project)
        ),
        vec![
            error_info(
                "RATE_LIMIT_EXCEEDED",
                &json!({
                    "consumer": consumer(project),
                    "quota_limit": limit,
                    "quota_location": "global",
                    "quota_metric": format!("{EARTH_ENGINE}/{metric}"),
                    "service": EARTH_ENGINE,
                }),
            ),
            help(
                "Request a higher quota limit.",
                "https://cloud.google.com/docs/quotas/help/request_increase",
            ),
        ],
    )
}

pub(crate) fn quota_per_minute_exceeded(project: &str) -> Response {
    quota_exceeded(
        project,
        "default",
        "Queries",
        "DefaultPerMinutePerProject",
        "minute",
    )
}

pub(crate) fn daily_quota_exceeded(project: &str) -> Response {
    quota_exceeded(
        project,
        "daily_eecu_usage_time",
        "Daily EECU usage time",
        "DailyEecuUsageTimePerProject",
        "day",
    )
}

/// Creates the response to a malformed request or a failed computation.
pub(crate) fn invalid_argument(message: &str) -> Response {
    error(400, "INVALID_ARGUMENT", message, vec![])
}

pub(crate) fn not_found(message: &str) -> Response {
    error(404, "NOT_FOUND", message, vec![])
}

pub(crate) fn failed_precondition(message: &str) -> Response {
    error(400, "FAILED_PRECONDITION", message, vec![])
}

pub(crate) fn aborted(message: &str) -> Response {
    error(409, "ABORTED", message, vec![])
}

/// Creates the response to a request that deviates from the description of the API.
pub(crate) fn bad_request(violations: &[Violation]) -> Response {
    let texts: Vec<&str> = violations
        .iter()
        .map(|one| one.description.as_str())
        .collect();
    let violations = violations.iter().map(|violation| {
        let mut shown = json!({"description": violation.description});
        if !violation.field.is_empty() {
            shown["field"] = json!(violation.field);
        }
        shown
    });
    let details = json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": violations.collect::<Vec<_>>(),
    });
    error(400, "INVALID_ARGUMENT", &texts.join("\n"), vec![details])
}

/// Creates the response to a write without permission.
pub(crate) fn asset_denied(name: &str) -> Response {
    permission_denied(
        &format!("Asset '{name}' does not exist or doesn't allow this operation."),
        vec![],
    )
}

pub(crate) fn user_memory_limit_exceeded() -> Response {
    invalid_argument("User memory limit exceeded.")
}

pub(crate) fn payload_too_large() -> Response {
    error(
        413,
        "INVALID_ARGUMENT",
        "Request payload size exceeds the limit.",
        vec![],
    )
}

pub(crate) fn internal() -> Response {
    error(500, "INTERNAL", "Internal error encountered.", vec![])
}

pub(crate) fn unavailable() -> Response {
    error(
        503,
        "UNAVAILABLE",
        "The service is currently unavailable.",
        vec![],
    )
}

/// Creates the response about an API that does not exist, or that the caller may not see.
pub(crate) fn service_unknown(service: &str) -> Response {
    permission_denied(
        &format!("Not found or permission denied for service(s): {service}."),
        vec![error_info(
            "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
            &json!({"services": service}),
        )],
    )
}
