//! Projects in Earth Engine's login file and in gcloud's configuration.

use crate::discovery::account::account_project;
use crate::discovery::gcloud_config;
use crate::input::file::{Optional, read_optional};
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::{Environment, Error, Warning};

/// A project in a file, and warnings about files that cannot be accessed.
type ConfiguredProject = (Option<String>, Vec<Warning>);

/// [`Environment::earthengine_file_project`], with warnings about the file.
///
/// # Errors
/// As [`Environment::earthengine_file_project`].
pub fn earthengine_file_project(environment: &Environment) -> Result<ConfiguredProject, Error> {
    if let Some(name) = environment.account()? {
        return Ok((account_project(environment, &name)?, Vec::new()));
    }
    let Some(location) = environment.earth_engine_location()? else {
        return Ok((None, Vec::new()));
    };
    Ok(match read_optional(&location)? {
        Optional::File(file) => {
            let file = EarthEngineFile::read(&file.text, &location)?;
            (file.project().map(str::to_owned), Vec::new())
        }
        Optional::Missing => (None, Vec::new()),
        Optional::Inaccessible(warning) => (None, vec![warning]),
    })
}

/// [`Environment::gcloud_project`], with warnings about the files.
///
/// # Errors
/// As [`Environment::gcloud_project`].
pub fn gcloud_project(environment: &Environment) -> Result<ConfiguredProject, Error> {
    let mut warnings = Vec::new();
    let project = match environment.try_var("CLOUDSDK_CORE_PROJECT")? {
        Some(project) => Some(project.to_owned()),
        None => environment.gcloud_core_property("project", &mut warnings)?,
    };
    Ok((project, warnings))
}

impl Environment {
    /// Returns the project in Earth Engine's login file, or `None` if the file does not exist or
    /// cannot be accessed. If `EARTHENGINE_ACCOUNT` names an account, returns the project of that
    /// account.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`](crate::ErrorKind::NoCredentials) if there is no such account;
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) if the file is invalid; as
    /// [`Environment::earth_engine_credentials_file`].
    pub fn earthengine_file_project(&self) -> Result<Option<String>, Error> {
        Ok(earthengine_file_project(self)?.0)
    }

    /// Returns gcloud's project: `CLOUDSDK_CORE_PROJECT`, or `core/project` of the active
    /// configuration.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`](crate::ErrorKind::InvalidEnvironment) if a configuration
    /// file cannot be read; as [`Environment::gcloud_config_dir`].
    pub fn gcloud_project(&self) -> Result<Option<String>, Error> {
        Ok(gcloud_project(self)?.0)
    }

    /// Returns a property of gcloud's active configuration, in its section `core`.
    pub(crate) fn gcloud_core_property(
        &self,
        property: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<String>, Error> {
        let name = self.try_var("CLOUDSDK_ACTIVE_CONFIG_NAME")?;
        match self.gcloud_config_dir()? {
            Some(dir) => gcloud_config::core_property(&dir, name, property, warnings),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::{Environment, Platform};

    #[test]
    fn project_of_the_login_file_needs_no_login() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty().with_home(home.path());
        assert_eq!(environment.earthengine_file_project().unwrap(), None);
        let path = environment
            .earth_engine_credentials_file()
            .unwrap()
            .unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (text, project) in [
            (r#"{"project": "p"}"#, Some("p")),
            (r#"{"project": 123456789012}"#, Some("123456789012")),
            (r#"{"project": ""}"#, None),
            (r#"{"refresh_token": "1//x"}"#, None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                environment.earthengine_file_project().unwrap().as_deref(),
                project
            );
        }
        fs::write(&path, "{").unwrap();
        let error = environment.earthengine_file_project().unwrap_err();
        assert!(error.to_string().contains("credentials"), "{error}");
    }

    #[test]
    fn gcloud_project_is_the_variables_or_the_configurations() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_home(home.path());
        assert_eq!(environment.gcloud_project().unwrap(), None);
        let dir = environment
            .gcloud_config_dir()
            .unwrap()
            .unwrap()
            .join("configurations");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config_default"), "[core]\nproject = one\n").unwrap();
        fs::write(dir.join("config_b"), "[core]\nproject = two\n").unwrap();
        assert_eq!(
            environment.gcloud_project().unwrap().as_deref(),
            Some("one")
        );
        let environment = environment.with_var("CLOUDSDK_ACTIVE_CONFIG_NAME", "b");
        assert_eq!(
            environment.gcloud_project().unwrap().as_deref(),
            Some("two")
        );
        let environment = environment.with_var("CLOUDSDK_CORE_PROJECT", "three");
        assert_eq!(
            environment.gcloud_project().unwrap().as_deref(),
            Some("three")
        );
    }
}
