//! Explanations of error responses.
//!
//! The server states the reason in an `ErrorInfo` or only in its message. Both are interpreted
//! here and nowhere else. An interpretation can be wrong, so the server's message is always kept.

use std::fmt;

use ee_token::Remedy;
use ee_token::internal::{Refusal, RefusalCause, is_google_sdk_project};
use http::StatusCode;

use crate::project_id::{LEGACY_PROJECT, ProjectId};
use crate::{ApiError, Error, ErrorKind, RpcCode};

/// Where the project of a client came from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct ProjectOrigin {
    /// What follows "from": `GOOGLE_CLOUD_PROJECT`, for example.
    pub name: &'static str,
    /// Whether a user typed it, so that its spelling may be wrong.
    pub is_typed: bool,
}

/// Who sent a request, and which project it was billed to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caller<'a> {
    pub(crate) project: Option<&'a str>,
    /// Where the project came from, if the program says so.
    pub(crate) origin: Option<ProjectOrigin>,
    pub(crate) principal: Option<&'a str>,
}

impl Caller<'_> {
    /// Adds the project and the principal to an error that does not have them.
    pub(crate) fn identify(self, mut error: Error) -> Error {
        if let (None, Some(project)) = (error.project(), self.project) {
            error = error.with_project(project);
        }
        match (error.principal(), self.principal) {
            (None, Some(principal)) => error.with_principal(principal),
            _ => error,
        }
    }

    /// Returns a project for a message, and where it came from if it is the requested one.
    fn describe(&self, project: &str) -> String {
        match (self.project, self.origin) {
            (Some(requested), Some(ProjectOrigin { name, .. })) if requested != project => {
                format!("project {project} (requested: {requested}, from {name})")
            }
            (_, Some(ProjectOrigin { name, .. })) => format!("project {project} (from {name})"),
            (_, None) => format!("project {project}"),
        }
    }

    /// Returns the principal for a message.
    fn who(&self) -> &str {
        self.principal.unwrap_or("the caller")
    }

    /// Returns the principal in the format of `gcloud`'s `--member`. The name comes from a
    /// credential file, so it becomes part of a command only if no shell interprets it.
    fn member(&self) -> String {
        let is_plain = |name: &&str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"@.-_+/:=".contains(&b))
        };
        match self.principal.filter(is_plain) {
            Some(name) if name.starts_with("principal://") => name.to_owned(),
            Some(name) if name.starts_with("principalSet://") => name.to_owned(),
            Some(email) if email.ends_with(".gserviceaccount.com") => {
                format!("serviceAccount:{email}")
            }
            Some(email) if email.contains('@') => format!("user:{email}"),
            _ => "user:EMAIL".into(),
        }
    }
}

/// Explains an error response to the request with this name.
pub(crate) fn explain(name: &dyn fmt::Display, api: ApiError, caller: Caller<'_>) -> Error {
    let at_fault = project_at_fault(&api, caller.project);
    let project = at_fault.as_deref().unwrap_or("PROJECT");
    let rejection = Rejection {
        refusal: refusal(&api, "earthengine.googleapis.com", at_fault.as_deref()),
        api: &api,
        caller,
        project,
        described: caller.describe(project),
        message: format!("{name} failed: {api}"),
    };
    let error = rejection.explain().with_server_message(&api.message);
    let error = match at_fault {
        Some(project) => error.with_project(project),
        None => error,
    };
    caller.identify(error.with_source(api))
}

/// An error response and what is known about its request.
struct Rejection<'a> {
    api: &'a ApiError,
    caller: Caller<'a>,
    /// What the server says about the reason.
    refusal: Refusal<'a>,
    /// The project at fault.
    project: &'a str,
    /// The project at fault and its source.
    described: String,
    /// The message unless there is a clearer one.
    message: String,
}

impl Rejection<'_> {
    fn says(&self, text: &str) -> bool {
        self.api.message.contains(text)
    }

    fn reason(&self) -> &str {
        self.api.reason.as_deref().unwrap_or_default()
    }

    fn explain(self) -> Error {
        let (project, who) = (self.project, self.caller.who());
        let status = self.api.status.as_u16();
        let cause = match status {
            400..=499 if !self.api.is_rate_limit() => self.refusal.cause(),
            _ => None,
        };
        if let Some(cause) = cause.filter(|cause| *cause != RefusalCause::ApiDisabled) {
            return self.known(cause);
        }
        let lacks_project = self
            .says("authenticating by using local Application Default Credentials")
            || self.says("requires a quota project");
        let is_denied = self.reason() == "USER_PROJECT_DENIED"
            || self.says("does not have required permission to use project");
        let is_disabled = cause == Some(RefusalCause::ApiDisabled);
        let is_unregistered =
            self.says("is not registered") || self.says("Not signed up for Earth Engine");
        let is_about_project = status == 403 && (is_denied || is_disabled || is_unregistered);
        if status == 401 {
            let message = format!(
                "Earth Engine rejected the credentials of {who}: {}",
                self.api.message
            );
            let error = Error::new(ErrorKind::CredentialsRejected, message);
            return match self.reason() {
                reason if reason.is_empty() || reason.starts_with("ACCESS_TOKEN_") => error,
                "CREDENTIALS_MISSING" | "authError" => error,
                _ => error.with_remedy(self.refusal.unknown()),
            };
        }
        if self.reason() == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            || self.says("insufficient authentication scopes")
        {
            return insufficient_scopes();
        }
        if lacks_project || (is_about_project && is_unchosen(project)) {
            return Error::new(
                ErrorKind::NoProject,
                "the request was sent without a Cloud project that can use Earth Engine",
            )
            .with_remedy(choose_project());
        }
        if is_denied {
            return self.project_denied();
        }
        if is_disabled {
            return self.api_disabled();
        }
        let described = &self.described;
        if self.reason() == "CONSUMER_SUSPENDED" || self.says("has been suspended") {
            return Error::new(ErrorKind::ProjectSuspended, format!("{described} is suspended"))
                .with_remedy(
                    Remedy::new("Use another project, or ask its owner to appeal. Google emailed the reason to the owner.")
                        .url(format!("https://console.cloud.google.com/home/dashboard?project={project}")),
                );
        }
        if is_unregistered {
            return not_registered_as(project, described);
        }
        if self.reason() == "CONSUMER_INVALID" || self.says("not found or deleted") {
            return Error::new(
                ErrorKind::ProjectNotFound,
                format!("{described} does not exist, or {who} may not see it"),
            )
            .with_remedy(
                Remedy::new(
                    self.check_project("Compare the project ID with the list of your projects."),
                )
                .command("gcloud projects list")
                .url("https://console.cloud.google.com/cloud-resource-manager"),
            );
        }
        self.explain_request()
    }

    /// Returns how to get the right project: by its spelling if a user typed it, else at its source.
    fn check_project(&self, then: &str) -> String {
        match self.caller.origin {
            Some(ProjectOrigin {
                name,
                is_typed: false,
            }) => format!(
                "{then} To use another project than the one from {name}, set it with --project or .project(…)."
            ),
            _ => format!("Check the project ID's spelling. {then}"),
        }
    }

    fn project_denied(&self) -> Error {
        let who = self.caller.who();
        let ask = format!(
            "Ask the project's owner to grant {who} the role Service Usage Consumer. Role changes take a few minutes to propagate."
        );
        Error::new(
            ErrorKind::ProjectDenied,
            format!("{who} may not use {}", self.described),
        )
        .with_remedy(self.grant(
            self.check_project(&ask),
            "roles/serviceusage.serviceUsageConsumer",
        ))
    }

    fn api_disabled(&self) -> Error {
        let (_, title) = self.refusal.api();
        let message = format!("the {title} is not enabled in {}", self.described);
        Error::new(ErrorKind::ApiDisabled, message)
            .with_remedy(self.refusal.remedy(RefusalCause::ApiDisabled))
    }

    /// Explains a refusal whose cause is known.
    fn known(&self, cause: RefusalCause) -> Error {
        let is_credential = cause.is_about_api_key() || cause == RefusalCause::AccountDisabled;
        let kind = if is_credential {
            ErrorKind::CredentialsRejected
        } else {
            ErrorKind::PermissionDenied
        };
        Error::new(kind, self.message_with_project()).with_remedy(self.refusal.remedy(cause))
    }

    /// Returns the message, with the project that the request was sent for if its origin is known.
    fn message_with_project(&self) -> String {
        match (self.caller.project, self.caller.origin) {
            (Some(project), Some(ProjectOrigin { name, .. })) => {
                format!("{} (project {project}, from {name})", self.message)
            }
            _ => self.message.clone(),
        }
    }

    /// Explains a response that is not about the choice of the project.
    fn explain_request(self) -> Error {
        let (api, project) = (self.api, self.project);
        let status = api.status.as_u16();
        let try_again =
            || Remedy::new("Try again in a moment.").url("https://status.cloud.google.com/");
        let reference = "https://developers.google.com/earth-engine/reference/rest";
        let (kind, remedy) = match status {
            403 if api.is_from_intermediary() => return blocked(api),
            511 => {
                let message = "the request did not reach Earth Engine: this network requires a login";
                return Error::new(ErrorKind::NetworkBlocked, message)
                    .with_remedy(Remedy::of_captive_portal());
            }
            407 | 451 if api.is_from_intermediary() => (
                ErrorKind::NetworkBlocked,
                Remedy::new("A proxy or a filter responded in place of Google. Check the user and password of the proxy (HTTPS_PROXY), and whether it allows this host."),
            ),
            _ if api.is_daily_quota() => (
                ErrorKind::DailyQuotaExceeded,
                Remedy::new(format!("Wait until midnight Pacific time, when the daily quota of project {project} is renewed. Retrying earlier does not help. Or request a higher quota, or use another project."))
                    .url(quotas(project)),
            ),
            _ if api.is_out_of_memory() => (
                ErrorKind::MemoryLimitExceeded,
                Remedy::new("Compute less in one request: use a smaller region, a coarser scale or a larger tileScale, or export the result.")
                    .url("https://developers.google.com/earth-engine/guides/debugging"),
            ),
            _ if api.is_rate_limit() => (
                ErrorKind::QuotaExceeded,
                Remedy::new("Send fewer requests at once, or wait a minute. This limit is temporary.")
                    .url(quotas(project)),
            ),
            403 => return self.permission_denied(),
            404 => (
                ErrorKind::NotFound,
                Remedy::new("Check the name and your access: a resource that you may not see is reported as not found."),
            ),
            400..=499 => (
                ErrorKind::InvalidArgument,
                {
                    let remedy = Remedy::new("Change the request as the server's message says.");
                    let remedy = self.refusal.with_link(remedy);
                    match &remedy.url {
                        Some(_) => remedy,
                        None => remedy.url(reference),
                    }
                },
            ),
            _ if api.is_transient() => (ErrorKind::ServerError, try_again()),
            _ if api.is_from_intermediary() => {
                (ErrorKind::InvalidResponse, Remedy::unexpected_intermediary())
            }
            _ => (ErrorKind::InvalidResponse, try_again()),
        };
        Error::new(kind, self.message).with_remedy(remedy)
    }

    /// Explains a 403 of Earth Engine. Roles help only if the server says that a permission is
    /// missing.
    fn permission_denied(self) -> Error {
        let (project, who) = (self.project, self.caller.who());
        let message = self.api.message.to_ascii_lowercase();
        let is_about_role = self.reason() == "IAM_PERMISSION_DENIED"
            || self.api.metadata.contains_key("permission")
            || MISSING_PERMISSION.iter().any(|text| message.contains(text));
        if !is_about_role {
            return Error::new(ErrorKind::PermissionDenied, self.message_with_project())
                .with_remedy(self.refusal.unknown());
        }
        let remedy = self.grant(
            format!("Ask the owner of project {project} to grant {who} two roles: Earth Engine Resource Viewer (roles/earthengine.viewer, or roles/earthengine.writer for writing) and Service Usage Consumer (roles/serviceusage.serviceUsageConsumer). Role changes take a few minutes to propagate."),
            "roles/earthengine.viewer",
        );
        let message = match self.api.metadata.get("permission") {
            Some(permission) => {
                format!(
                    "{who} lacks the permission {permission} in {}: {}",
                    self.described, self.api.message
                )
            }
            None => self.message_with_project(),
        };
        Error::new(ErrorKind::PermissionDenied, message).with_remedy(remedy)
    }

    /// Returns the remedy of a missing role.
    fn grant(&self, text: String, role: &str) -> Remedy {
        let project = self.project;
        Remedy::new(text)
            .command(format!(
                "gcloud projects add-iam-policy-binding {project} --member={} --role={role}",
                self.caller.member()
            ))
            .url(format!(
                "https://console.cloud.google.com/iam-admin/iam?project={project}"
            ))
    }
}

/// Parts of messages, in lower case, that say that a permission is missing.
const MISSING_PERMISSION: [&str; 6] = [
    "permission '",
    "have permission",
    "have the permission",
    "required permission",
    "missing permission",
    "lacks permission",
];

fn insufficient_scopes() -> Error {
    Error::new(
        ErrorKind::InsufficientScopes,
        "the token lacks a scope that Earth Engine needs: earthengine or cloud-platform",
    )
    .with_remedy(
        Remedy::new("Log in again with both scopes. On a virtual machine, give its service account the scope cloud-platform.")
            .command(LOGIN_WITH_SCOPES),
    )
}

/// The command that logs in with the scopes that Earth Engine needs.
pub const LOGIN_WITH_SCOPES: &str = "eectl auth login --scopes earthengine,cloud-platform --force";

/// Returns the error of a project that is not registered for Earth Engine.
pub fn not_registered(project: &str, origin: Option<ProjectOrigin>) -> Error {
    let caller = Caller {
        project: Some(project),
        origin,
        ..Caller::default()
    };
    not_registered_as(project, &caller.describe(project))
}

fn not_registered_as(project: &str, described: &str) -> Error {
    Error::new(
        ErrorKind::NotRegistered,
        format!("{described} is not registered for Earth Engine"),
    )
    .with_remedy(
        Remedy::new("Register the project for commercial or noncommercial use. Noncommercial use is free. The registration takes a few minutes to propagate.")
            .url(format!("https://console.cloud.google.com/earth-engine/configuration?project={project}")),
    )
    .with_project(project)
}

/// Returns how to choose a project.
pub fn choose_project() -> Remedy {
    Remedy::new(
        "Choose a Cloud project that is registered for Earth Engine: with --project or .project(…), with the variable EARTHENGINE_PROJECT, or permanently with `eectl project set`. If you have none, create and register one: it is free for noncommercial use. Without a project, only `eectl auth`, `eectl project list` and `eectl doctor` work.",
    )
    .command("eectl project select")
    .url("https://console.cloud.google.com/earth-engine")
}

/// Explains a 403 that is not in Earth Engine's format. Google's page for a region or network that
/// it does not serve has this title; other senders cannot be told apart.
fn blocked(api: &ApiError) -> Error {
    let (message, remedy) = if api.message.contains("Error 403 (Forbidden)!!1") {
        (
            "Google blocks this network or region: the request did not reach Earth Engine",
            "Try from another network, without a VPN. Google does not serve Earth Engine to every country and hosting provider.",
        )
    } else {
        (
            "the request was blocked before it reached Earth Engine: by a proxy, or by Google for this network or region",
            "Check the proxy (HTTPS_PROXY) and that it allows the host. Then try from another network, without a VPN.",
        )
    };
    Error::new(ErrorKind::NetworkBlocked, message).with_remedy(Remedy::new(remedy))
}

fn quotas(project: &str) -> String {
    format!(
        "https://console.cloud.google.com/apis/api/earthengine.googleapis.com/quotas?project={project}"
    )
}

/// Returns what the response says about the reason. The message of a 400 may quote the request.
pub fn refusal<'a>(api: &'a ApiError, host: &'a str, project: Option<&'a str>) -> Refusal<'a> {
    let types = api.precondition_violations.iter().map(|v| v.kind.as_str());
    let is_bad_request = api.status == StatusCode::BAD_REQUEST;
    // A page of a proxy may use the same words.
    let is_quoting =
        api.is_from_intermediary() || is_bad_request && api.code != RpcCode::FailedPrecondition;
    Refusal {
        host,
        names: api.reason.as_deref().into_iter().chain(types).collect(),
        message: if is_quoting { "" } else { &api.message },
        service: api.metadata.get("service").map(String::as_str),
        project,
        link: api.links.first().map(|link| link.url.as_str()),
    }
}

/// Returns the project that the response is about, which is not always the one that was requested.
/// It becomes part of commands and URLs, so only a valid ID is returned.
pub fn project_at_fault(api: &ApiError, requested: Option<&str>) -> Option<String> {
    let in_metadata = ["consumer", "containerInfo"]
        .iter()
        .filter_map(|key| api.metadata.get(*key))
        .map(|name| name.strip_prefix("projects/").unwrap_or(name))
        .find(|id| ProjectId::is_valid(id));
    let in_message = || {
        [
            "projects/",
            "to use project ",
            "used in project ",
            "Project ",
            "project=",
        ]
        .iter()
        .find_map(|marker| project_after(marker, &api.message))
    };
    in_metadata
        .or_else(in_message)
        .or(requested)
        .map(str::to_owned)
}

/// Returns the project ID that follows the marker in a message.
fn project_after<'a>(marker: &str, message: &'a str) -> Option<&'a str> {
    let rest = message.split_once(marker)?.1;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == ':'))
        .unwrap_or(rest.len());
    let id = rest[..end].trim_end_matches(':');
    (id.len() >= 6 && ProjectId::is_valid(id)).then_some(id)
}

/// Returns whether this project is used only if none was chosen.
fn is_unchosen(project: &str) -> bool {
    project == LEGACY_PROJECT || is_google_sdk_project(project)
}

#[cfg(test)]
mod tests;
