//! What a refusal means, and what to do about it.
//!
//! The servers say why in a reason (`google.rpc.ErrorInfo`) where there is one, and
//! otherwise in a sentence alone. Both are matched here and nowhere else; the sentence
//! itself always stays in the chain of sources, since a guess can be wrong.

use ee_rest::ApiError;
use ee_token::Remedy;

use crate::project::is_google_sdk_project;
use crate::project::resolve::name_a_project;
use crate::{Error, ErrorKind};

/// Who asked, and in the name of which project.
#[derive(Debug, Clone, Default)]
pub struct ErrorContext {
    /// The project that the request was billed to.
    pub project: Option<String>,
    /// The account that asked, where it is known.
    pub principal: Option<String>,
}

/// Turns a failed request into an error that says what to do.
pub fn explain(error: ee_rest::Error, context: &ErrorContext) -> Error {
    let mut explained = match error.api() {
        Some(api) => refusal(api, context),
        None => transport(&error),
    };
    if explained.remedy().is_none()
        && let Some(remedy) = error.remedy()
    {
        explained = explained.with_remedy(remedy.clone());
    }
    if let Some(principal) = error.principal().or(context.principal.as_deref()) {
        explained = explained.with_principal(principal);
    }
    if error.token_error().is_some() {
        return explained;
    }
    explained.with_source(error)
}

fn transport(error: &ee_rest::Error) -> Error {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    let of_emulator =
        source.filter(|e: &&ee_token::Error| e.kind() == ee_token::ErrorKind::UntrustedEmulator);
    if let Some(token) = error.token_error().or(of_emulator) {
        return Error::from(token.clone());
    }
    let kind = match error.kind() {
        ee_rest::ErrorKind::Network => ErrorKind::Network,
        ee_rest::ErrorKind::Timeout => ErrorKind::Timeout,
        ee_rest::ErrorKind::InvalidRequest => ErrorKind::InvalidArgument,
        ee_rest::ErrorKind::NoProject => ErrorKind::NoProject,
        ee_rest::ErrorKind::Runtime => ErrorKind::Usage,
        _ => ErrorKind::ServerError,
    };
    Error::new(kind, error.to_string())
}

fn token_kind(kind: ee_token::ErrorKind) -> ErrorKind {
    use ee_token::ErrorKind as Token;
    match kind {
        Token::InvalidKey | Token::InvalidCredential | Token::DisallowedUrl => {
            ErrorKind::InvalidCredentials
        }
        Token::Rejected | Token::Expired => ErrorKind::CredentialsRejected,
        Token::UnconfirmedRejection => ErrorKind::UnconfirmedRejection,
        Token::ReauthenticationRequired => ErrorKind::ReauthenticationRequired,
        Token::ClockSkew => ErrorKind::ClockSkew,
        Token::InvalidScope => ErrorKind::InsufficientScopes,
        Token::Network => ErrorKind::Network,
        Token::Timeout => ErrorKind::Timeout,
        Token::Io => ErrorKind::Io,
        Token::Runtime | Token::UntrustedEmulator => ErrorKind::Usage,
        _ => ErrorKind::ServerError,
    }
}

/// As [`explain`], for whom it is not known who asked.
impl From<ee_rest::Error> for Error {
    fn from(error: ee_rest::Error) -> Self {
        explain(error, &ErrorContext::default())
    }
}

impl From<ee_token::Error> for Error {
    fn from(error: ee_token::Error) -> Self {
        let mut explained = Self::new(token_kind(error.kind()), error.to_string());
        if let Some(remedy) = error.remedy() {
            explained = explained.with_remedy(remedy.clone());
        }
        if let Some(principal) = error.principal() {
            explained = explained.with_principal(principal);
        }
        explained.with_source(error)
    }
}

impl From<ee_credentials::Error> for Error {
    fn from(error: ee_credentials::Error) -> Self {
        use ee_credentials::ErrorKind as Found;
        let kind = match error.kind() {
            Found::NoCredentials => ErrorKind::NoCredentials,
            Found::InvalidEnvironment | Found::InvalidOptions => ErrorKind::Usage,
            Found::Io => ErrorKind::Io,
            Found::Token(kind) => token_kind(kind),
            _ => ErrorKind::InvalidCredentials,
        };
        let explained = Self::new(kind, error.to_string());
        match error.remedy() {
            Some(remedy) => explained.with_remedy(remedy.clone()),
            None => explained,
        }
        .with_source(error)
    }
}

fn refusal(api: &ApiError, context: &ErrorContext) -> Error {
    let status = api.status.as_u16();
    let says = |sentence: &str| api.message.contains(sentence);
    let reason = api.reason.as_deref().unwrap_or_default();
    let project = project_at_fault(api, context);
    let who = context.principal.as_deref().unwrap_or("the caller");
    let error = |kind: ErrorKind, message: String, remedy: Remedy| {
        Error::new(kind, message).with_remedy(remedy)
    };

    if status == 401 {
        return error(
            ErrorKind::CredentialsRejected,
            format!(
                "Earth Engine did not take the token of {who}: {}",
                api.message
            ),
            Remedy::new(
                "Log in again, or make a new key. A token that was given by hand has expired: give a new one.",
            ),
        );
    }
    if reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT" || says("insufficient authentication scopes") {
        return error(
            ErrorKind::InsufficientScopes,
            "the token lacks a scope that Earth Engine needs: earthengine or cloud-platform".into(),
            Remedy::new("Log in again with both scopes; on a virtual machine, give its service account the scope cloud-platform.")
                .command("gcloud auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"),
        );
    }
    let chose_none = says("authenticating by using local Application Default Credentials")
        || says("requires a quota project");
    let project_refused = status == 403
        && (reason == "USER_PROJECT_DENIED"
            || reason == "SERVICE_DISABLED"
            || says("is not registered")
            || says("Not signed up for Earth Engine")
            || says("has not been used in project"));
    if chose_none || (project_refused && is_nobodys(&project)) {
        return error(
            ErrorKind::NoProject,
            "the request went out without a Cloud project that may use Earth Engine".into(),
            name_a_project(),
        );
    }
    if reason == "USER_PROJECT_DENIED" || says("does not have required permission to use project") {
        return error(
            ErrorKind::ProjectDenied,
            format!("{who} may not use project {project}"),
            Remedy::new(format!("Check the project's spelling, or ask its owner to grant {who} the role Service Usage Consumer. A grant takes a few minutes to be known everywhere."))
                .command(format!(
                    "gcloud projects add-iam-policy-binding {project} --member={} --role=roles/serviceusage.serviceUsageConsumer",
                    member(context)
                ))
                .url(format!("https://console.cloud.google.com/iam-admin/iam?project={project}")),
        );
    }
    if reason == "SERVICE_DISABLED" || says("has not been used in project") {
        return error(
            ErrorKind::ApiDisabled,
            format!("the Earth Engine API is not enabled in project {project}"),
            Remedy::new("Enable it, and wait a few minutes until that is known everywhere.")
                .command(format!("gcloud services enable earthengine.googleapis.com --project={project}"))
                .url(format!("https://console.cloud.google.com/apis/library/earthengine.googleapis.com?project={project}")),
        );
    }
    if reason == "CONSUMER_SUSPENDED" || says("has been suspended") {
        return error(
            ErrorKind::ProjectSuspended,
            format!("project {project} is suspended"),
            Remedy::new("Use another project, or ask its owner to appeal: the owner was told why by e-mail.")
                .url(format!("https://console.cloud.google.com/home/dashboard?project={project}")),
        );
    }
    if says("is not registered") || says("Not signed up for Earth Engine") {
        return not_registered(&project);
    }
    if reason == "CONSUMER_INVALID" || says("not found or deleted") {
        return error(
            ErrorKind::ProjectNotFound,
            format!("project {project} does not exist, or {who} may not see it"),
            Remedy::new("Check the spelling against the list of your projects.")
                .command("gcloud projects list")
                .url("https://console.cloud.google.com/cloud-resource-manager"),
        );
    }
    other(api, context, &project)
}

/// A project that is not registered for Earth Engine.
pub(crate) fn not_registered(project: &str) -> Error {
    Error::new(
        ErrorKind::NotRegistered,
        format!("project {project} is not registered for Earth Engine"),
    )
    .with_remedy(
        Remedy::new("Register it, commercially or not; that is free for noncommercial use, and known everywhere after a few minutes.")
            .url(format!("https://console.cloud.google.com/earth-engine/configuration?project={project}")),
    )
}

/// Refusals that are not about the choice of the project.
fn other(api: &ApiError, context: &ErrorContext, project: &str) -> Error {
    let reason = api.reason.as_deref().unwrap_or_default();
    let who = context.principal.as_deref().unwrap_or("the caller");
    let status = api.status.as_u16();
    let says = |sentence: &str| api.message.contains(sentence);
    let message = format!("Earth Engine refused the request: {}", api.message);
    match status {
        400 | 403 if reason.starts_with("API_KEY_") => Error::new(ErrorKind::CredentialsRejected, message)
            .with_remedy(Remedy::new("Check the API key, and what it is restricted to.")
                .url(format!("https://console.cloud.google.com/apis/credentials?project={project}"))),
        403 if api.is_from_intermediary() => blocked(api),
        _ if api.is_daily_quota() => Error::new(ErrorKind::DailyQuotaExceeded, message)
            .with_remedy(
                Remedy::new(format!("Wait until tomorrow, Pacific time: the computing time of project {project} for today is used up, and trying again before is useless. Or have its daily quota raised, or use another project."))
                    .url(quotas(project)),
            ),
        _ if says("User memory limit exceeded") => {
            Error::new(ErrorKind::MemoryLimitExceeded, message).with_remedy(
                Remedy::new("Compute less in one request: a smaller area, a coarser scale, a larger tileScale; or export the result.")
                    .url("https://developers.google.com/earth-engine/guides/debugging"),
            )
        }
        403 if reason.to_ascii_lowercase().contains("rate") => quota(message, project),
        403 => {
            let permission = api.metadata.get("permission").cloned().unwrap_or_default();
            let what = if permission.is_empty() {
                message
            } else {
                format!("{who} lacks the permission {permission}: {}", api.message)
            };
            Error::new(ErrorKind::PermissionDenied, what).with_remedy(
                Remedy::new(format!("Ask the owner of project {project} to grant {who} two roles: Earth Engine Resource Viewer (roles/earthengine.viewer; to write, roles/earthengine.writer) and Service Usage Consumer (roles/serviceusage.serviceUsageConsumer). A grant takes a few minutes to be known everywhere."))
                    .command(format!(
                        "gcloud projects add-iam-policy-binding {project} --member={} --role=roles/earthengine.viewer",
                        member(context)
                    ))
                    .url(format!("https://console.cloud.google.com/iam-admin/iam?project={project}")),
            )
        }
        404 => Error::new(ErrorKind::NotFound, message).with_remedy(Remedy::new(
            "Check the name; what exists but may not be seen is answered in the same way.",
        )),
        429 => quota(message, project),
        400..=499 => Error::new(ErrorKind::InvalidArgument, message),
        _ => Error::new(ErrorKind::ServerError, message)
            .with_remedy(Remedy::new("Try again in a moment.").url("https://status.cloud.google.com/")),
    }
}

/// A 403 without Earth Engine's form. Google's own page for a region or network that it does
/// not serve bears this title; what else it was nobody can tell from here.
fn blocked(api: &ApiError) -> Error {
    let (message, remedy) = if api.message.contains("Error 403 (Forbidden)!!1") {
        (
            "Google refuses this network or region altogether: the request did not reach Earth Engine",
            "Try from another network, without a VPN: Google serves Earth Engine neither to every country nor to every hosting provider.",
        )
    } else {
        (
            "something refused the request that is not Earth Engine: a proxy, or Google itself for this network or region",
            "Check the proxy (HTTPS_PROXY), and that it lets the host through; then try from another network, without a VPN.",
        )
    };
    Error::new(ErrorKind::NetworkBlocked, message).with_remedy(Remedy::new(remedy))
}

fn quota(message: String, project: &str) -> Error {
    Error::new(ErrorKind::QuotaExceeded, message).with_remedy(
        Remedy::new("Send fewer requests at once, or wait a minute: this limit passes by itself.")
            .url(quotas(project)),
    )
}

fn quotas(project: &str) -> String {
    format!(
        "https://console.cloud.google.com/apis/api/earthengine.googleapis.com/quotas?project={project}"
    )
}

/// The project that the server complains of. It is not always the one that was asked for.
/// It stands in commands and addresses, so what cannot be a project is not taken for one.
pub(crate) fn project_at_fault(api: &ApiError, context: &ErrorContext) -> String {
    let is_one = |id: &str| crate::check_project(id).is_ok() || is_google_sdk_project(id);
    let from_metadata = ["consumer", "containerInfo"]
        .iter()
        .filter_map(|key| api.metadata.get(*key))
        .map(|name| name.strip_prefix("projects/").unwrap_or(name))
        .find(|id| is_one(id))
        .map(str::to_owned);
    let after = |marker: &str| {
        let rest = api.message.split_once(marker)?.1;
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == ':'))
            .unwrap_or(rest.len());
        let id = rest[..end].trim_end_matches(':');
        let is_project = id.len() >= 6
            && id
                .chars()
                .any(|c| c.is_ascii_digit() || c == '-' || c.is_ascii_lowercase());
        (is_project && is_one(id)).then(|| id.to_owned())
    };
    from_metadata
        .or_else(|| {
            [
                "projects/",
                "to use project ",
                "used in project ",
                "Project ",
                "project=",
            ]
            .iter()
            .find_map(|m| after(m))
        })
        .or_else(|| context.project.clone())
        .unwrap_or_else(|| "(none)".into())
}

/// Whether this is no project that somebody chose.
fn is_nobodys(project: &str) -> bool {
    project == "earthengine-legacy" || is_google_sdk_project(project)
}

/// The account as `gcloud` wants it named. A name comes from a credential file: what is no
/// plain name does not get into a command that people paste.
fn member(context: &ErrorContext) -> String {
    let is_plain = |name: &&str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@.-_+/:=".contains(&b))
    };
    match context.principal.as_deref().filter(is_plain) {
        Some(name) if name.starts_with("principal://") || name.starts_with("principalSet://") => {
            name.to_owned()
        }
        Some(email) if email.ends_with(".gserviceaccount.com") => format!("serviceAccount:{email}"),
        Some(email) if email.contains('@') => format!("user:{email}"),
        _ => "user:EMAIL".into(),
    }
}

#[cfg(test)]
mod tests;
