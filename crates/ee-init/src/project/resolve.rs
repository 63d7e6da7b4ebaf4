//! Which project: every place that can name one, in order.

use ee_credentials::internal::without_blocking;
use ee_credentials::{Credentials, Environment, Warning};
use ee_token::Remedy;

use crate::project::{Project, ProjectSource, check_project, is_google_sdk_project};
use crate::{Error, ErrorKind};

/// Where a project may be named.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) given: Option<&'a str>,
    pub(crate) environment: &'a Environment,
    /// Without any, what credentials could say is passed over.
    pub(crate) credentials: Option<&'a Credentials>,
}

/// The first project that a place names. Numbers of Google's SDKs are passed over wherever
/// the caller did not name them: they say where a login came from, not who pays.
pub(crate) async fn resolve(places: &Places<'_>) -> Result<Project, Error> {
    let mut passed_over = None;
    for source in ProjectSource::ORDER {
        let Some(id) = look(source, places).await? else {
            continue;
        };
        if source != ProjectSource::Explicit && is_google_sdk_project(&id) {
            if source != ProjectSource::OauthClient {
                passed_over.get_or_insert((source, id));
            }
            continue;
        }
        check_project(&id).map_err(|error| named_by(source, error))?;
        let mut warnings: Vec<_> = passed_over
            .as_ref()
            .map(sdk_passed_over)
            .into_iter()
            .collect();
        warnings.extend(losing_variable(source, &id, places.environment));
        return Ok(Project {
            id,
            source,
            warnings,
        });
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
    let said_by =
        |ask: fn(&Credentials) -> Option<&str>| places.credentials.and_then(ask).map(str::to_owned);
    let var = |name: &str| environment.var(name).map(str::to_owned);
    let found = match source {
        // Not even an empty one is passed over: whoever says a project means it.
        ProjectSource::Explicit => return Ok(places.given.map(str::to_owned)),
        ProjectSource::EnvEarthEngineProject => var("EARTHENGINE_PROJECT"),
        ProjectSource::EnvEeProjectId => var("EE_PROJECT_ID"),
        ProjectSource::EarthEngineFile => {
            let environment = environment.clone();
            without_blocking(
                environment.earth_engine_credentials_file().ok().flatten(),
                move || environment.earthengine_file_project(),
            )
            .await?
        }
        ProjectSource::EnvQuotaProject => var("GOOGLE_CLOUD_QUOTA_PROJECT"),
        ProjectSource::CredentialsQuotaProject => said_by(Credentials::quota_project),
        ProjectSource::EnvGoogleCloudProject => var("GOOGLE_CLOUD_PROJECT"),
        ProjectSource::EnvGcloudProject => var("GCLOUD_PROJECT"),
        ProjectSource::CredentialsProject => said_by(Credentials::project),
        ProjectSource::GcloudConfig => {
            let environment = environment.clone();
            without_blocking(environment.gcloud_config_dir().ok().flatten(), move || {
                environment.gcloud_project()
            })
            .await?
        }
        ProjectSource::MetadataServer => match places.credentials {
            Some(credentials) => credentials.fetch_metadata_project().await?,
            None => None,
        },
        ProjectSource::OauthClient => said_by(Credentials::oauth_client_project_number),
    };
    Ok(found
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty()))
}

/// The code of the warning that a number of a Google SDK was passed over.
pub(crate) const SDK_PROJECT_IGNORED: &str = "sdk_project_ignored";

/// A number of a Google SDK stands where a project belongs. gcloud does that where it is not
/// told who pays.
fn sdk_passed_over((source, id): &(ProjectSource, String)) -> Warning {
    let remedy = match source {
        ProjectSource::CredentialsQuotaProject => {
            Remedy::new("Set the quota project of gcloud's login to one of your own.")
                .command("gcloud auth application-default set-quota-project your-project")
        }
        ProjectSource::EarthEngineFile => Remedy::new("Set the project to one of your own.")
            .command("eectl project set your-project"),
        ProjectSource::GcloudConfig => Remedy::new("Set gcloud's project to one of your own.")
            .command("gcloud config set project your-project"),
        _ => Remedy::new("Set it to a project of your own, or unset it."),
    };
    Warning::new(
        SDK_PROJECT_IGNORED,
        format!(
            "{source} names {id}, which belongs to a Google SDK and can never be used for Earth Engine: it was passed over"
        ),
        remedy,
    )
}

/// The variables of Google's other libraries, which come after Earth Engine's own file.
const LATER_VARIABLES: [&str; 3] = [
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_CLOUD_PROJECT",
    "GCLOUD_PROJECT",
];

/// A variable that is set and loses to a file surprises everybody once.
fn losing_variable(winner: ProjectSource, id: &str, environment: &Environment) -> Option<Warning> {
    let later = match winner {
        ProjectSource::EarthEngineFile => &LATER_VARIABLES[..],
        ProjectSource::CredentialsQuotaProject => &LATER_VARIABLES[1..],
        _ => return None,
    };
    let (name, loser) = later
        .iter()
        .filter_map(|name| Some((*name, environment.var(name)?)))
        .find(|(_, loser)| *loser != id && check_project(loser).is_ok())?;
    Some(Warning::new(
        "project_variable_ignored",
        format!("{name} names the project {loser}, and {id} ({winner}) comes first"),
        Remedy::new(format!(
            "To use {loser}, name it with --project or EARTHENGINE_PROJECT; otherwise unset {name}."
        ))
        .command(format!("export EARTHENGINE_PROJECT={loser}")),
    ))
}

/// An error about a project that nobody typed just now must say who named it.
fn named_by(source: ProjectSource, error: Error) -> Error {
    if source == ProjectSource::Explicit {
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
        "Name a Cloud project that is registered for Earth Engine: with --project or .project(…), with the variable EARTHENGINE_PROJECT, or once and for all with `eectl project set`. If you have none, make and register one: that is free for noncommercial use. Until then `eectl auth`, `eectl project list` and `eectl doctor` work, and nothing that computes.",
    )
    .command("eectl project select")
    .url("https://console.cloud.google.com/earth-engine")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ee_credentials::CredentialOptions;

    use super::*;

    /// A machine with this in Earth Engine's file, and these variables.
    async fn chosen(
        file: &str,
        variables: &[(&str, &str)],
        credentials: Option<&Credentials>,
    ) -> Result<Project, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        fs::write(&path, file).unwrap();
        let environment = variables.iter().fold(
            Environment::empty().with_var("EE_CONFIG_FILE", path.to_str().unwrap()),
            |environment, (name, value)| environment.with_var(*name, *value),
        );
        resolve(&Places {
            given: None,
            environment: &environment,
            credentials,
        })
        .await
    }

    fn codes(project: &Project) -> Vec<&str> {
        project.warnings.iter().map(|w| w.code).collect()
    }

    #[tokio::test]
    async fn a_number_of_a_google_sdk_is_passed_over_with_a_warning() {
        let text = r#"{"type": "authorized_user", "client_id": "764086051850-x.example",
            "client_secret": "s", "refresh_token": "r", "quota_project_id": "764086051850"}"#;
        let login = Credentials::from_json(text, &CredentialOptions::default()).unwrap();
        let variables = [("GOOGLE_CLOUD_PROJECT", "my-project")];
        let project = chosen("{}", &variables, Some(&login)).await.unwrap();
        assert_eq!(project.source, ProjectSource::EnvGoogleCloudProject);
        assert_eq!(codes(&project), ["sdk_project_ignored"]);
        let warning = &project.warnings[0];
        assert!(
            warning
                .message
                .contains("credentials_quota_project names 764086051850")
        );
        let command = warning.remedy.command.as_deref().unwrap();
        assert!(command.contains("set-quota-project"), "{command}");

        let error = chosen("{}", &[], Some(&login)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SdkProject);
    }

    #[tokio::test]
    async fn a_variable_that_loses_to_a_file_is_a_warning_and_one_that_agrees_is_none() {
        let file = r#"{"project": "my-project"}"#;
        for (name, value, expected) in [
            (
                "GOOGLE_CLOUD_PROJECT",
                "other-project",
                &["project_variable_ignored"][..],
            ),
            (
                "GOOGLE_CLOUD_QUOTA_PROJECT",
                "other-project",
                &["project_variable_ignored"],
            ),
            ("GOOGLE_CLOUD_PROJECT", "my-project", &[]),
            ("GOOGLE_CLOUD_PROJECT", "764086051850", &[]),
            ("GOOGLE_CLOUD_PROJECT", " ", &[]),
        ] {
            let project = chosen(file, &[(name, value)], None).await.unwrap();
            assert_eq!(project.id, "my-project");
            assert_eq!(codes(&project), expected, "{name}={value}");
        }
        // The first that loses, and not the first that is set.
        for first in ["my-project", "764086051850"] {
            let variables = [
                ("GOOGLE_CLOUD_QUOTA_PROJECT", first),
                ("GCLOUD_PROJECT", "other-project"),
            ];
            let project = chosen(file, &variables, None).await.unwrap();
            assert_eq!(codes(&project), ["project_variable_ignored"], "{first}");
            assert!(project.warnings[0].message.contains("GCLOUD_PROJECT"));
        }
        let project = chosen(file, &[("EARTHENGINE_PROJECT", "other-project")], None)
            .await
            .unwrap();
        assert_eq!(
            (project.id.as_str(), codes(&project)),
            ("other-project", vec![])
        );
    }
}
