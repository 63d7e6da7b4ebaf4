//! Which project: every place that can name one, in order.

use ee_credentials::{Credentials, Environment};
use ee_token::Remedy;

use crate::project::{Project, ProjectSource, check_project, is_sdk_project};
use crate::{Error, ErrorKind};

/// Where a project may be named.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) given: Option<&'a str>,
    pub(crate) environment: &'a Environment,
    pub(crate) credentials: &'a Credentials,
}

/// The first project that a place names. Numbers of Google's SDKs are passed over wherever
/// the caller did not name them: they say where a login came from, not who pays.
pub(crate) async fn resolve(places: &Places<'_>) -> Result<Project, Error> {
    let mut passed_over = None;
    for source in ProjectSource::ORDER {
        let Some(id) = look(source, places).await? else {
            continue;
        };
        if source != ProjectSource::Flag && is_sdk_project(&id) {
            if source != ProjectSource::OauthClient {
                passed_over.get_or_insert((source, id));
            }
            continue;
        }
        check_project(&id).map_err(|error| named_by(source, error))?;
        return Ok(Project { id, source });
    }
    Err(match passed_over {
        Some((source, id)) => Error::new(
            ErrorKind::SdkProject,
            format!("the only project found is {id} ({source}): it belongs to a Google SDK and can never be used for Earth Engine"),
        ),
        None => Error::new(
            ErrorKind::NoProject,
            "no Cloud project was named, and none was found",
        ),
    }
    .with_remedy(name_a_project()))
}

async fn look(source: ProjectSource, places: &Places<'_>) -> Result<Option<String>, Error> {
    let environment = places.environment;
    let credentials = places.credentials;
    let var = |name: &str| environment.var(name).map(str::to_owned);
    let found = match source {
        // Not even an empty one is passed over: whoever says a project means it.
        ProjectSource::Flag => return Ok(places.given.map(str::to_owned)),
        ProjectSource::EnvEarthEngineProject => var("EARTHENGINE_PROJECT"),
        ProjectSource::EnvEeProjectId => var("EE_PROJECT_ID"),
        ProjectSource::EarthEngineFile => environment.earthengine_file_project()?,
        ProjectSource::EnvQuotaProject => var("GOOGLE_CLOUD_QUOTA_PROJECT"),
        ProjectSource::CredentialsQuotaProject => credentials.quota_project().map(str::to_owned),
        ProjectSource::EnvGoogleCloudProject => var("GOOGLE_CLOUD_PROJECT"),
        ProjectSource::EnvGcloudProject => var("GCLOUD_PROJECT"),
        ProjectSource::CredentialsProject => credentials.project().map(str::to_owned),
        ProjectSource::GcloudConfig => environment.gcloud_project()?,
        ProjectSource::MetadataServer => credentials.metadata_project().await?,
        ProjectSource::OauthClient => credentials.oauth_client_project().map(str::to_owned),
    };
    Ok(found
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty()))
}

/// An error about a project that nobody typed just now must say who named it.
fn named_by(source: ProjectSource, error: Error) -> Error {
    if source == ProjectSource::Flag {
        return error;
    }
    let named = Error::new(error.kind(), format!("{error} (named by {source})"));
    match error.remedy() {
        Some(remedy) => named.with_remedy(remedy.clone()),
        None => named,
    }
}

/// What to do where no project is known.
pub(crate) fn name_a_project() -> Remedy {
    Remedy::new(
        "Name a Cloud project that is registered for Earth Engine: with --project or .project(…), or once and for all with the variable EARTHENGINE_PROJECT or `earthengine set_project`. Without one, create and register a project first.",
    )
    .command("export EARTHENGINE_PROJECT=your-project")
    .url("https://console.cloud.google.com/earth-engine")
}
