//! The crate's error type.

use ee_credentials::SearchStep;
use ee_rest::{ApiError, ErrorKind};
use ee_token::internal::{ErrorExtra, error_type};

use crate::{Project, ProjectSource};

error_type! {
    /// Why there is no verified client, or why a request failed.
    ///
    /// The [remedy](Error::remedy) says how to fix the problem. If a server responded with an
    /// error, its [message](Error::server_message) is kept.
    Error, ErrorKind, RequestedFrom
}

/// Where the requested project came from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestedFrom(Option<ProjectSource>);

impl ErrorExtra for RequestedFrom {}

impl Error {
    /// Returns the ID or number of the project concerned, if known. It is not always the one that
    /// was requested.
    pub fn project(&self) -> Option<&str> {
        self.0.details().project.as_deref()
    }

    /// Returns where the project that was requested came from, if one was selected.
    pub fn project_source(&self) -> Option<ProjectSource> {
        self.0.extra().0
    }

    /// Returns what each step of the search for credentials found, if it failed. Empty otherwise.
    pub fn search_steps(&self) -> &[SearchStep] {
        self.0
            .find_source::<ee_credentials::Error>()
            .map_or(&[], ee_credentials::Error::search_steps)
    }

    pub(crate) fn with_project(mut self, project: impl Into<String>) -> Self {
        self.0.details_mut().project = Some(project.into());
        self
    }

    /// Sets the project that was requested, unless the error names another one, and its source.
    pub(crate) fn for_project(mut self, project: &Project) -> Self {
        // A server may name the same project by its number.
        let is_number = |id: &str| id.bytes().all(|b| b.is_ascii_digit());
        let is_other = |id: &str| id != project.id && !is_number(id);
        if self.project().is_some_and(is_other) {
            return self;
        }
        *self.0.extra_mut() = RequestedFrom(Some(project.source));
        match self.project() {
            Some(_) => self,
            None => self.with_project(&project.id),
        }
    }

    /// Sets the server's error response as the source.
    pub(crate) fn with_api(mut self, api: ApiError) -> Self {
        self.0.details_mut().server_message = Some(api.message.clone());
        self.with_source(api)
    }

    /// Returns the server's error response, if there was one.
    pub(crate) fn api(&self) -> Option<&ApiError> {
        self.0.find_source()
    }
}

impl From<ee_rest::Error> for Error {
    fn from(error: ee_rest::Error) -> Self {
        Self::new(error.kind(), error.to_string()).with_cause(error)
    }
}

impl From<ee_token::Error> for Error {
    fn from(error: ee_token::Error) -> Self {
        Self::new(error.kind().into(), error.to_string()).with_cause(error)
    }
}

impl From<ee_credentials::Error> for Error {
    fn from(error: ee_credentials::Error) -> Self {
        Self::new(kind_of(error.kind()), error.to_string()).with_cause(error)
    }
}

/// Returns the kind of an error whose credentials failed.
fn kind_of(kind: ee_credentials::ErrorKind) -> ErrorKind {
    use ee_credentials::ErrorKind as Found;
    match kind {
        Found::NoCredentials => ErrorKind::NoCredentials,
        Found::InvalidEnvironment | Found::InvalidOptions => ErrorKind::Usage,
        Found::Io => ErrorKind::Io,
        Found::Token(kind) => kind.into(),
        _ => ErrorKind::InvalidCredentials,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of every crate, as an error that was created with nothing but a message.
    #[test]
    fn bare_error_of_every_kind_has_a_remedy_in_every_crate() {
        let of_tokens = ee_token::ErrorKind::ALL.iter();
        let tokens = of_tokens.map(|kind| ee_token::Error::new(*kind, "failed"));
        let requests = ee_rest::ErrorKind::ALL.iter();
        let requests = requests.map(|kind| ee_rest::Error::new(*kind, "failed"));
        let found = ee_credentials::ErrorKind::ALL.iter();
        let found = found.map(|kind| ee_credentials::Error::new(*kind, "failed"));
        let token_kinds = ee_token::ErrorKind::ALL.iter().copied();
        let mut errors: Vec<Error> = ErrorKind::ALL
            .iter()
            .map(|kind| Error::new(*kind, "failed"))
            .chain(tokens.map(Error::from))
            .chain(requests.map(Error::from))
            .chain(found.map(Error::from))
            .collect();
        errors.extend(token_kinds.map(|kind| {
            ee_credentials::Error::new(ee_credentials::ErrorKind::Token(kind), "failed").into()
        }));
        for error in errors {
            let remedy = &error.remedy().text;
            assert!(remedy.ends_with('.') && remedy.len() > 10, "{error:#?}");
        }
    }

    #[test]
    fn request_error_keeps_its_details() {
        let denied = ee_rest::internal::not_registered("my-project", None)
            .with_principal("jane@example.com");
        let error = Error::from(denied.clone());
        assert_eq!(error.kind(), ErrorKind::NotRegistered);
        assert_eq!(error.to_string(), denied.to_string());
        assert_eq!(error.remedy(), denied.remedy());
        assert_eq!(error.project(), Some("my-project"));
        assert_eq!(error.principal(), Some("jane@example.com"));
        let context = error.context("cannot start");
        assert_eq!(context.project(), Some("my-project"));
        assert_eq!(context.kind(), ErrorKind::NotRegistered);
    }
}
