//! Login modes and their detection.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;

use crate::input::quote::clipped;
use crate::login::detect::{is_colab, is_jupyter};
use crate::{Environment, Error, ErrorKind};

/// How a user logs in. The names match the Python client's `auth_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginMode {
    /// A browser that is redirected to a port of this machine. Without one on this machine, the user
    /// pastes the address of the page that another machine's browser cannot load.
    Localhost {
        /// The port; 0 selects a free one. `None` selects 8085, or a free one if that is in use.
        port: Option<u16>,
    },
    /// A browser on any machine, which shows a code to paste. The login expires after 7 days.
    Notebook,
    /// `gcloud auth application-default login`.
    Gcloud,
    /// The same with Earth Engine's own OAuth client instead of gcloud's.
    GcloudLegacy,
    /// The login of Google Colab, which is made in a cell of the notebook.
    Colab,
    /// No login: Application Default Credentials are used.
    AppDefault,
}

impl LoginMode {
    /// Returns the name, without a port.
    pub fn name(self) -> &'static str {
        match self {
            Self::Localhost { .. } => "localhost",
            Self::Notebook => "notebook",
            Self::Gcloud => "gcloud",
            Self::GcloudLegacy => "gcloud-legacy",
            Self::Colab => "colab",
            Self::AppDefault => "appdefault",
        }
    }

    /// Selects a mode: `colab` in Colab, `notebook` in Jupyter, and `localhost` elsewhere. Unlike
    /// the Python client, it never selects `gcloud`, which may not be installed.
    ///
    /// ```
    /// use ee_credentials::Environment;
    /// use ee_credentials::login::LoginMode;
    ///
    /// let jupyter = Environment::empty().with_var("JPY_PARENT_PID", "42");
    /// assert_eq!(LoginMode::detect(&jupyter), LoginMode::Notebook);
    /// ```
    pub fn detect(environment: &Environment) -> Self {
        if is_colab(environment) {
            Self::Colab
        } else if is_jupyter(environment) {
            Self::Notebook
        } else {
            Self::Localhost { port: None }
        }
    }
}

impl FromStr for LoginMode {
    type Err = Error;

    /// Parses a name. `localhost` can have a port: `localhost:8086`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let mode = match (name, port) {
            ("localhost", None) => Self::Localhost { port: None },
            ("localhost", Some(port)) => {
                let number = port.parse().ok().filter(|_| !port.starts_with('+'));
                let number: u16 = number.ok_or_else(|| {
                    unknown(format!(
                        "invalid port {:?}: expected a number from 0 to 65535",
                        clipped(port)
                    ))
                })?;
                Self::Localhost { port: Some(number) }
            }
            ("notebook", None) => Self::Notebook,
            ("gcloud", None) => Self::Gcloud,
            ("gcloud-legacy", None) => Self::GcloudLegacy,
            ("colab", None) => Self::Colab,
            ("appdefault", None) => Self::AppDefault,
            _ => return Err(unknown(format!("unknown login mode {:?}", clipped(text)))),
        };
        Ok(mode)
    }
}

fn unknown(message: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, message).with_remedy(Remedy::new(
        "Use localhost, localhost:PORT, notebook, gcloud, gcloud-legacy, colab or appdefault, or omit the mode.",
    ))
}

impl fmt::Display for LoginMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost { port: Some(port) } => write!(f, "localhost:{port}"),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Platform;

    #[test]
    fn mode_names_match_the_python_client() {
        for name in [
            "localhost",
            "localhost:0",
            "localhost:8086",
            "notebook",
            "gcloud",
            "gcloud-legacy",
            "colab",
            "appdefault",
        ] {
            assert_eq!(name.parse::<LoginMode>().unwrap().to_string(), name);
        }
        for bad in [
            "",
            "paper",
            "localhost:",
            "localhost:65536",
            "localhost:-1",
            "localhost:+1",
            "notebook:1",
            "LOCALHOST",
        ] {
            let error = bad.parse::<LoginMode>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{bad}");
            assert!(!error.remedy().text.is_empty());
        }
    }

    #[test]
    fn detected_mode_fits_the_environment() {
        let bare = || Environment::empty().with_os(Platform::Linux);
        let jupyter = || bare().with_var("JPY_PARENT_PID", "1");
        for (environment, mode) in [
            (bare(), LoginMode::Localhost { port: None }),
            (
                bare().with_var("CLOUD_SHELL", "true"),
                LoginMode::Localhost { port: None },
            ),
            (jupyter(), LoginMode::Notebook),
            (
                jupyter().with_var("COLAB_RELEASE_TAG", "x"),
                LoginMode::Colab,
            ),
        ] {
            assert_eq!(LoginMode::detect(&environment), mode);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_port_round_trips(port: u16) {
            let mode = LoginMode::Localhost { port: Some(port) };
            assert_eq!(mode.to_string().parse::<LoginMode>().unwrap(), mode);
        }
    }
}
