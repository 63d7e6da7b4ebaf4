//! Cloud projects.

pub(crate) mod list;
pub(crate) mod listed;
pub(crate) mod resolve;
pub(crate) mod search;
pub(crate) mod suggest;

use ee_credentials::is_google_sdk_project;
use ee_rest::ProjectId;
use ee_token::Remedy;

use crate::{Error, ErrorKind};

/// Checks that Earth Engine could be used with this project: that it is a valid [`ProjectId`] and
/// not the number of a Google SDK's project.
///
/// # Errors
/// [`ErrorKind::InvalidProject`], whose remedy suggests the nearest valid ID, and
/// [`ErrorKind::SdkProject`].
///
/// ```
/// assert!(ee_init::check_project("my-project").is_ok());
/// let error = ee_init::check_project("My Project").unwrap_err();
/// assert!(error.remedy().text.contains("my-project"));
/// ```
pub fn check_project(project: &str) -> Result<(), Error> {
    if is_google_sdk_project(project) {
        return Err(Error::new(
            ErrorKind::SdkProject,
            format!("project {project} belongs to a Google SDK and cannot be used for Earth Engine"),
        )
        .with_project(project)
        .with_remedy(
            Remedy::new("Use a Cloud project of your own, for example with --project or EARTHENGINE_PROJECT.")
                .url("https://console.cloud.google.com/projectselector2/home/dashboard"),
        ));
    }
    ProjectId::new(project)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_of_google_sdks_are_rejected() {
        for number in ee_credentials::SDK_PROJECTS {
            let error = check_project(number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SdkProject);
        }
    }

    #[test]
    fn invalid_project_keeps_its_kind_and_remedy() {
        let error = check_project("My Project").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidProject);
        assert!(!error.remedy().text.is_empty());
    }
}
