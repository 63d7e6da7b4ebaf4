//! Errors as visitors see them: what happened in plain words, and a page where they can fix it. The
//! operator's log has the details, and the commands that visitors cannot run.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use earthengine::ErrorKind;
use serde_json::json;

/// An error response.
#[derive(Debug)]
pub(crate) struct VisitorError {
    status: StatusCode,
    message: String,
    /// The text and the URL of a link.
    link: Option<(&'static str, String)>,
}

impl VisitorError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            link: None,
        }
    }

    /// A request that a page sends only in another state.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The user is not signed in, or no longer.
    pub(crate) fn signed_out() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Your sign-in has ended. Sign in again.",
        )
    }

    /// The session has ended, but Google did not revoke the user's grant.
    pub(crate) fn not_revoked() -> Self {
        let link = "https://myaccount.google.com/connections".to_owned();
        Self {
            link: Some(("Your connections in your Google account", link)),
            ..Self::new(
                StatusCode::BAD_GATEWAY,
                "You are signed out, but this site's access could not be removed. Remove it in your Google account.",
            )
        }
    }

    pub(crate) fn is_signed_out(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let link = self.link.as_ref();
        let link = link.map(|(text, url)| json!({"text": text, "url": url}));
        json!({"message": self.message, "link": link})
    }
}

impl From<&'static str> for VisitorError {
    fn from(problem: &'static str) -> Self {
        log(&problem);
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "This site has a problem. Try again later.",
        )
    }
}

impl From<earthengine::Error> for VisitorError {
    fn from(error: earthengine::Error) -> Self {
        use ErrorKind as Kind;
        // The alternate form has the remedy, too.
        log(&format_args!("{error:?}"));
        let project = match error.project() {
            Some(project) => format!("the project {project}"),
            None => "the project".to_owned(),
        };
        let (status, message, link) = match error.kind() {
            Kind::NoCredentials
            | Kind::InvalidCredentials
            | Kind::CredentialsRejected
            | Kind::ReauthenticationRequired => return Self::signed_out(),
            Kind::InsufficientScopes => (
                StatusCode::FORBIDDEN,
                "You did not allow this site to use Earth Engine. Sign out, sign in again, and select all permissions.".to_owned(),
                None,
            ),
            Kind::NotRegistered => (
                StatusCode::FORBIDDEN,
                format!("Before you can use {project}, register it for Earth Engine. Noncommercial use is free."),
                Some("Register the project"),
            ),
            Kind::ApiDisabled => (
                StatusCode::FORBIDDEN,
                format!("The Earth Engine API is not enabled in {project}. Enabling it takes a few minutes to have an effect."),
                Some("Enable the API"),
            ),
            Kind::ProjectDenied | Kind::PermissionDenied => (
                StatusCode::FORBIDDEN,
                format!("Your account may not use {project}. Ask an owner of the project for the roles Earth Engine Resource Viewer and Service Usage Consumer, or choose another project."),
                Some("Permissions of the project"),
            ),
            Kind::ProjectNotFound | Kind::InvalidProject | Kind::SdkProject | Kind::NoProject => (
                StatusCode::FORBIDDEN,
                format!("Your account has no access to {project}, or it does not exist. Choose another project."),
                Some("Your projects"),
            ),
            Kind::ProjectSuspended => (
                StatusCode::FORBIDDEN,
                format!("Google has suspended {project}. Choose another project."),
                Some("The project in the console"),
            ),
            Kind::QuotaExceeded | Kind::DailyQuotaExceeded => (
                StatusCode::TOO_MANY_REQUESTS,
                format!("The quota of {project} is used up. Try again later, or choose another project."),
                Some("Quotas of the project"),
            ),
            Kind::Network
            | Kind::NetworkBlocked
            | Kind::Timeout
            | Kind::ServerError
            | Kind::InvalidResponse
            | Kind::UnconfirmedRejection => (
                StatusCode::BAD_GATEWAY,
                "Earth Engine did not respond. Try again in a minute.".to_owned(),
                Some("Status of Google Cloud"),
            ),
            _ => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This did not work. Try again later.".to_owned(),
                None,
            ),
        };
        let url = error.remedy().url.clone();
        let url = url.filter(|url| url.starts_with("https://"));
        Self {
            link: link.zip(url),
            ..Self::new(status, message)
        }
    }
}

impl IntoResponse for VisitorError {
    fn into_response(self) -> Response {
        (self.status, Json(self.json())).into_response()
    }
}

/// Writes a line to the operator's log.
#[allow(clippy::print_stderr, reason = "the log of the server")]
pub(crate) fn log(problem: &dyn std::fmt::Display) {
    eprintln!("web_app: {problem}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_see_no_commands_and_no_variables() {
        for kind in ErrorKind::ALL {
            let error = earthengine::Error::new(*kind, "eectl failed: set EARTHENGINE_PROJECT");
            let text = VisitorError::from(error).json().to_string();
            for word in ["eectl", "gcloud", "--", "`", "EARTHENGINE", "environment"] {
                assert!(!text.contains(word), "{kind:?}: {text}");
            }
        }
    }
}
