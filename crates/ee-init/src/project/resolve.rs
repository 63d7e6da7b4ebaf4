//! The search for the project: all sources, in order.

use ee_credentials::internal::{earthengine_file_project, gcloud_project, without_blocking};
use ee_credentials::{Credentials, Environment, Warning};
use ee_rest::internal::{ProjectOrigin, choose_project};
use ee_token::Remedy;

use crate::project::{check_project, is_google_sdk_project};
use crate::{Error, ErrorKind, Project, ProjectSource};

/// What the search for the project uses.
#[derive(Debug)]
pub(crate) struct ProjectInputs<'a> {
    pub(crate) given: Option<&'a str>,
    pub(crate) environment: &'a Environment,
    /// Without credentials, the sources that need them are skipped.
    pub(crate) credentials: Option<&'a Credentials>,
}

/// Returns the project of the first source that has one. The numbers of Google's SDK projects are
/// ignored unless the caller set them, because they identify an OAuth client and cannot be billed.
pub(crate) async fn resolve(inputs: &ProjectInputs<'_>) -> Result<Project, Error> {
    let mut ignored = None;
    let mut skipped = Vec::new();
    for source in ProjectSource::ORDER {
        let (id, inaccessible) = lookup(source, inputs).await?;
        // The search for credentials may have reported the same file.
        let is_reported = |warning: &Warning| {
            inputs
                .credentials
                .is_some_and(|credentials| credentials.warnings().contains(warning))
        };
        skipped.extend(
            inaccessible
                .into_iter()
                .filter(|warning| !is_reported(warning)),
        );
        let Some(id) = id else {
            continue;
        };
        if source != ProjectSource::Explicit && is_google_sdk_project(&id) {
            if source != ProjectSource::OauthClient {
                ignored.get_or_insert((source, id));
            }
            continue;
        }
        check_project(&id).map_err(|error| with_source_name(source, error))?;
        let mut warnings: Vec<_> = ignored
            .as_ref()
            .map(sdk_project_ignored)
            .into_iter()
            .collect();
        warnings.extend(skipped);
        warnings.extend(ignored_variable(source, &id, inputs.environment));
        return Ok(Project {
            id,
            source,
            warnings,
        });
    }
    Err(match ignored {
        Some((source, id)) => Error::new(
            ErrorKind::SdkProject,
            format!("the only project found is {id} ({source}), which belongs to a Google SDK and cannot be used for Earth Engine"),
        ),
        None => Error::new(
            ErrorKind::NoProject,
            "no Cloud project is set, and none was found",
        ),
    }
    .with_remedy(choose_project()))
}

/// Returns the project of a source, and warnings about its files.
async fn lookup(
    source: ProjectSource,
    inputs: &ProjectInputs<'_>,
) -> Result<(Option<String>, Vec<Warning>), Error> {
    let environment = inputs.environment;
    let from_credentials =
        |get: fn(&Credentials) -> Option<&str>| inputs.credentials.and_then(get).map(str::to_owned);
    let var = |name: &str| environment.var(name).map(str::to_owned);
    let mut warnings = Vec::new();
    let found = match source {
        // An empty explicit project is an error, not a missing one.
        ProjectSource::Explicit => return Ok((inputs.given.map(str::to_owned), warnings)),
        ProjectSource::EnvEarthEngineProject => var("EARTHENGINE_PROJECT"),
        ProjectSource::EnvEeProjectId => var("EE_PROJECT_ID"),
        ProjectSource::EarthEngineFile => {
            let environment = environment.clone();
            let path = environment.earth_engine_credentials_file().ok().flatten();
            let read = move || earthengine_file_project(&environment);
            let (project, skipped) = without_blocking(path, read).await?;
            warnings = skipped;
            project
        }
        ProjectSource::EnvQuotaProject => var("GOOGLE_CLOUD_QUOTA_PROJECT"),
        ProjectSource::CredentialsQuotaProject => from_credentials(Credentials::quota_project),
        ProjectSource::EnvGoogleCloudProject => var("GOOGLE_CLOUD_PROJECT"),
        ProjectSource::EnvGcloudProject => var("GCLOUD_PROJECT"),
        ProjectSource::CredentialsProject => from_credentials(Credentials::project),
        ProjectSource::GcloudConfig => {
            let environment = environment.clone();
            let dir = environment.gcloud_config_dir().ok().flatten();
            let read = move || gcloud_project(&environment);
            let (project, skipped) = without_blocking(dir, read).await?;
            warnings = skipped;
            project
        }
        ProjectSource::MetadataServer => match inputs.credentials {
            Some(credentials) => credentials.fetch_metadata_project().await?,
            None => None,
        },
        ProjectSource::OauthClient => from_credentials(Credentials::oauth_client_project_number),
    };
    let id = found.map(|id| id.trim().to_owned());
    Ok((id.filter(|id| !id.is_empty()), warnings))
}

/// The code of the warning that a Google SDK's project was ignored.
pub(crate) const SDK_PROJECT_IGNORED: &str = "sdk_project_ignored";

/// Returns the warning that a source names a Google SDK's project. gcloud stores it if no quota
/// project is set.
fn sdk_project_ignored((source, id): &(ProjectSource, String)) -> Warning {
    let remedy = match source {
        ProjectSource::CredentialsQuotaProject => {
            Remedy::new("Set the quota project of gcloud's login to a project of your own.")
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
            "{source} names the project {id}, which belongs to a Google SDK and cannot be used for Earth Engine; it was ignored"
        ),
        remedy,
    )
}

/// The variables of Google's other libraries, which come after Earth Engine's credentials file.
const LATER_VARIABLES: [&str; 3] = [
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_CLOUD_PROJECT",
    "GCLOUD_PROJECT",
];

/// Returns the warning that a variable is ignored because a file takes precedence.
fn ignored_variable(winner: ProjectSource, id: &str, environment: &Environment) -> Option<Warning> {
    let later = match winner {
        ProjectSource::EarthEngineFile => &LATER_VARIABLES[..],
        ProjectSource::CredentialsQuotaProject => &LATER_VARIABLES[1..],
        _ => return None,
    };
    let (name, ignored) = later
        .iter()
        .filter_map(|name| Some((*name, environment.var(name)?)))
        .find(|(_, ignored)| *ignored != id && check_project(ignored).is_ok())?;
    Some(Warning::new(
        "project_variable_ignored",
        format!("{name} names the project {ignored}, but {id} ({winner}) takes precedence"),
        Remedy::new(format!(
            "To use {ignored}, set it with --project or EARTHENGINE_PROJECT. Otherwise unset {name}."
        ))
        .command(format!("export EARTHENGINE_PROJECT={ignored}")),
    ))
}

/// Adds the source to an error about a project that the caller did not set.
fn with_source_name(source: ProjectSource, error: Error) -> Error {
    if source == ProjectSource::Explicit {
        return error;
    }
    let ProjectOrigin { name, .. } = source.into();
    let message = format!("{error} (from {name})");
    error.context(message)
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
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        fs::write(&path, file).unwrap();
        let environment = variables.iter().fold(
            Environment::empty().with_var("EE_CONFIG_FILE", path.to_str().unwrap()),
            |environment, (name, value)| environment.with_var(*name, *value),
        );
        resolve(&ProjectInputs {
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
    async fn google_sdk_project_is_ignored_with_a_warning() {
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
                .contains("the credential's quota project names the project 764086051850")
        );
        let command = warning.remedy.command.as_deref().unwrap();
        assert!(command.contains("set-quota-project"), "{command}");

        let error = chosen("{}", &[], Some(&login)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SdkProject);
    }

    #[tokio::test]
    async fn variable_overridden_by_a_file_is_a_warning() {
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
        // The first ignored variable is named, not the first variable that is set.
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
