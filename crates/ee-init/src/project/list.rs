//! The projects of a login, and which of them may be used with Earth Engine.

#[cfg(fuzzing)]
pub(crate) use crate::project::search::{page, refusal};

use std::sync::Arc;
use std::time::Duration;

use ee_credentials::Credentials;
use ee_rest::Client;
use ee_token::{Endpoint, HttpClient, RetryPolicy};
use http::Method;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::project::registration::{ProjectConfig, Registration};
use crate::project::resolve::{Places, resolve};
use crate::refusal::{ErrorContext, explain};
use crate::verify::may_not_read_config;
use crate::{EarthEngine, EarthEngineBuilder, Error, ErrorKind};

/// How many projects are asked about at once.
const AT_ONCE: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(15);

/// A Cloud project that a login may see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedProject {
    /// Its id, which commands and programs name it by.
    pub id: String,
    /// Its number; empty where the server told none.
    pub number: String,
    /// The name that people gave it; not unique, and empty where the server told none that can
    /// be one (it has at most 30 characters).
    pub name: String,
    /// Whether the Earth Engine API is enabled in it.
    pub api: ApiState,
    /// How it is registered for Earth Engine; [`Registration::Unspecified`] where that
    /// cannot be known, [`Registration::Unverified`] where nobody asked.
    pub registration: Registration,
    /// Why Earth Engine did not say how it is registered, if it did not.
    pub error: Option<ErrorKind>,
}

impl ListedProject {
    /// Whether Earth Engine can be used in it, as far as is known.
    pub fn is_ready(&self) -> bool {
        self.api == ApiState::Enabled
            && matches!(
                self.registration,
                Registration::Commercial | Registration::NotCommercial
            )
    }
}

/// Whether the Earth Engine API is enabled in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiState {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
    /// The login may not know, or the server does not say.
    Unknown,
}

impl ApiState {
    /// Its name in JSON: `enabled`, `disabled` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

impl EarthEngineBuilder {
    /// The projects that the login may see, each with whether Earth Engine can be used in it:
    /// those that can be used first. Nothing is verified, and no project need be known.
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
    /// What is wrong with the credentials or the network;
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::ApiDisabled`] or
    /// [`ErrorKind::InsufficientScopes`] if this login may not list projects. It may still
    /// use one that it names.
    pub async fn list_projects(self) -> Result<Vec<ListedProject>, Error> {
        let environment = self.surroundings();
        let (http, found) = self.find(&environment).await?;
        let credentials = &found.credentials;
        // Who pays for the listing, if anybody is known who could.
        let payer = resolve(&Places {
            given: self.given_project(),
            environment: &environment,
            credentials: Some(credentials),
        })
        .await;
        let payer = payer.ok().map(|project| project.id);
        let client = self
            .client_builder(&http, credentials)
            .build()
            .map_err(|error| explain(error, &ErrorContext::default()))?;
        list(&http, credentials, payer.as_deref(), client).await
    }
}

impl EarthEngine {
    /// The projects that the login may see: [`EarthEngineBuilder::list_projects`].
    ///
    /// # Errors
    /// As [`EarthEngineBuilder::list_projects`].
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
    let mut projects = crate::project::search::search(http, credentials, payer).await?;
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    // Dropping the set, and so this future, ends what is still under way.
    let mut asking = JoinSet::new();
    for (place, project) in projects.iter().enumerate() {
        let asker = Asker {
            http: http.clone(),
            credentials: credentials.clone(),
            client: client.clone(),
            project: project.id.clone(),
        };
        let limit = limit.clone();
        asking.spawn(async move {
            // The semaphore is never closed.
            let _turn = limit.acquire_owned().await;
            (place, asker.ask().await)
        });
    }
    while let Some(answered) = asking.join_next().await {
        if let Ok((place, answer)) = answered
            && let Some(project) = projects.get_mut(place)
        {
            project.api = answer.api;
            project.registration = answer.registration;
            project.error = answer.error;
        }
    }
    projects.sort_by(|a, b| (!a.is_ready(), &a.id).cmp(&(!b.is_ready(), &b.id)));
    Ok(projects)
}

/// What was told of one project.
struct Answer {
    api: ApiState,
    registration: Registration,
    error: Option<ErrorKind>,
}

/// Asks about one project.
struct Asker {
    http: HttpClient,
    credentials: Credentials,
    client: Client,
    project: String,
}

impl Asker {
    /// Earth Engine's own answer tells both. Where it refuses for another reason, Service Usage
    /// may still tell whether the API is enabled.
    async fn ask(&self) -> Answer {
        let answer = |api, registration, error| Answer {
            api,
            registration,
            error,
        };
        let error = match self.registration().await {
            Ok(registration) => return answer(ApiState::Enabled, registration, None),
            Err(error) => error,
        };
        let kind = error.kind();
        match kind {
            ErrorKind::NotRegistered => {
                answer(ApiState::Enabled, Registration::NotRegistered, None)
            }
            ErrorKind::ApiDisabled => {
                answer(ApiState::Disabled, Registration::Unspecified, Some(kind))
            }
            _ if may_not_read_config(error.api()) => {
                answer(ApiState::Enabled, Registration::Unspecified, Some(kind))
            }
            _ => answer(self.api().await, Registration::Unspecified, Some(kind)),
        }
    }

    async fn registration(&self) -> Result<Registration, Error> {
        let context = ErrorContext {
            project: Some(self.project.clone()),
            principal: None,
        };
        let config = self
            .client
            .request(Method::GET, format!("projects/{}/config", self.project))
            .project(&self.project)
            .retry_policy(brief())
            .timeout(TIMEOUT)
            .send()
            .await
            .and_then(|response| response.json::<ProjectConfig>())
            .map_err(|error| explain(error, &context))?;
        Ok(config
            .registration_state
            .unwrap_or(Registration::Unspecified))
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
        let asked: Result<(Service, _), _> =
            crate::project::search::get(&self.http, &self.credentials, Some(&self.project), &url)
                .await;
        asked.map_or(ApiState::Unknown, |(service, _)| service.api())
    }
}

/// What Service Usage tells of the API in a project.
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

/// Somebody waits for a list: two more tries are enough.
pub(crate) fn brief() -> RetryPolicy {
    RetryPolicy {
        max_retries: 2,
        max_backoff: Duration::from_secs(2),
        max_elapsed: Duration::from_secs(20),
        ..RetryPolicy::default()
    }
}

#[cfg(test)]
mod tests;
