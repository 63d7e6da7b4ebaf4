//! The projects that a user can access, and which of them can be used for Earth Engine.

use std::sync::Arc;
use std::time::Duration;

use ee_credentials::Credentials;
use ee_rest::{Client, ProjectConfig};
use ee_token::internal::open_ahead;
use ee_token::{Endpoint, HttpClient};
use http::Method;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::project::listed::{ApiState, ListedProject};
use crate::project::resolve::{ProjectInputs, resolve};
use crate::project::search;
use crate::verify::may_not_read_config;
use crate::{EarthEngine, EarthEngineBuilder, Error, ErrorKind, Registration};

/// The maximum number of projects that are checked at once. The requests share a connection.
const MAX_CONCURRENT: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(15);

impl EarthEngineBuilder {
    /// Lists the projects that the principal can access, those that can be used for Earth Engine
    /// first. No project needs to be set.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), ee_init::Error> {
    /// for project in ee_init::EarthEngine::builder().list_projects().await? {
    ///     println!("{} ({}): {}", project.id, project.name, project.registration);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns the error of the credentials or the network, or [`ErrorKind::PermissionDenied`],
    /// [`ErrorKind::ApiDisabled`] or [`ErrorKind::InsufficientScopes`] if the principal may not
    /// list projects. It may still be able to use one.
    pub async fn list_projects(self) -> Result<Vec<ListedProject>, Error> {
        let environment = self.search_environment();
        let (http, found) = self.find(&environment).await?;
        let credentials = &found.credentials;
        // The listing is billed to this project if possible.
        let payer = resolve(&ProjectInputs {
            given: self.given_project(),
            environment: &environment,
            credentials: Some(credentials),
        })
        .await;
        let payer = payer.ok().map(|project| project.id);
        let client = self.client_builder(&http, credentials).build()?;
        list(&http, credentials, payer.as_deref(), client).await
    }
}

impl EarthEngine {
    /// Lists the projects that the principal can access, like
    /// [`EarthEngineBuilder::list_projects`].
    ///
    /// # Errors
    /// Fails like [`EarthEngineBuilder::list_projects`].
    pub async fn list_projects(&self) -> Result<Vec<ListedProject>, Error> {
        let client = self.client();
        list(
            client.http(),
            self.credentials(),
            Some(&self.project().id),
            client.clone(),
        )
        .await
    }
}

async fn list(
    http: &HttpClient,
    credentials: &Credentials,
    payer: Option<&str>,
    client: Client,
) -> Result<Vec<ListedProject>, Error> {
    for url in [
        http.endpoints().url(Endpoint::ResourceManager),
        client.base_url(),
    ] {
        open_ahead(http, url);
    }
    let mut projects = search::search(http, credentials, payer).await?;
    let limit = Arc::new(Semaphore::new(MAX_CONCURRENT));
    // Dropping the set, and so this future, cancels the pending checks.
    let mut checks = JoinSet::new();
    for (index, project) in projects.iter().enumerate() {
        let check = ProjectCheck {
            http: http.clone(),
            credentials: credentials.clone(),
            client: client.clone(),
            project: project.id.clone(),
        };
        let limit = limit.clone();
        checks.spawn(async move {
            // The semaphore is never closed.
            let _permit = limit.acquire_owned().await;
            (index, check.run().await)
        });
    }
    while let Some(joined) = checks.join_next().await {
        if let Ok((index, state)) = joined
            && let Some(project) = projects.get_mut(index)
        {
            project.api = state.api;
            project.registration = state.registration;
            project.error = state.error;
        }
    }
    projects.sort_by(|a, b| (!a.is_ready(), &a.id).cmp(&(!b.is_ready(), &b.id)));
    Ok(projects)
}

/// What is known about a project.
struct ProjectState {
    api: ApiState,
    registration: Registration,
    error: Option<ErrorKind>,
}

/// The check of one project.
struct ProjectCheck {
    http: HttpClient,
    credentials: Credentials,
    client: Client,
    project: String,
}

impl ProjectCheck {
    /// Reads the project's configuration, which shows both. If that fails for another reason,
    /// Service Usage may still report whether the API is enabled.
    async fn run(&self) -> ProjectState {
        let state = |api, registration, error| ProjectState {
            api,
            registration,
            error,
        };
        let error = match self.registration().await {
            Ok(registration) => return state(ApiState::Enabled, registration, None),
            Err(error) => error,
        };
        let kind = error.kind();
        match kind {
            ErrorKind::NotRegistered => state(ApiState::Enabled, Registration::NotRegistered, None),
            ErrorKind::ApiDisabled => {
                state(ApiState::Disabled, Registration::Unspecified, Some(kind))
            }
            _ if may_not_read_config(error.api()) => {
                state(ApiState::Enabled, Registration::Unspecified, Some(kind))
            }
            _ => state(self.api().await, Registration::Unspecified, Some(kind)),
        }
    }

    async fn registration(&self) -> Result<Registration, ee_rest::Error> {
        let response = self
            .client
            .request(Method::GET, format!("projects/{}/config", self.project))
            .project(&self.project)
            .retry_policy(search::interactive_retries())
            .timeout(TIMEOUT)
            .send()
            .await?;
        Ok(response.json::<ProjectConfig>()?.registration_state)
    }

    async fn api(&self) -> ApiState {
        let path = format!(
            "v1/projects/{}/services/earthengine.googleapis.com",
            self.project
        );
        let Ok(url) = self
            .http
            .endpoints()
            .url(Endpoint::ServiceUsage)
            .join(&path)
        else {
            return ApiState::Unknown;
        };
        let response: Result<(Service, _), _> =
            search::get(&self.http, &self.credentials, Some(&self.project), &url).await;
        response.map_or(ApiState::Unknown, |(service, _)| service.api())
    }
}

/// Service Usage's response about an API in a project.
#[derive(Deserialize)]
pub(crate) struct Service {
    state: String,
}

impl Service {
    pub(crate) fn api(&self) -> ApiState {
        match self.state.as_str() {
            "ENABLED" => ApiState::Enabled,
            "DISABLED" => ApiState::Disabled,
            _ => ApiState::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
