//! Login modes and their detection.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;

use crate::discovery::program;
use crate::input::quote::clipped;
use crate::login::detect::{is_colab, is_jupyter};
use crate::login::terminal::Browser;
use crate::{Environment, Error, ErrorKind};

/// How a user logs in. The names match the Python client's `auth_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginMode {
    /// A browser on this machine, redirected to a port of this machine.
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

    /// Selects a mode like the Python client: `colab` in Colab, `notebook` in Jupyter, `localhost`
    /// with a browser and without gcloud, and `gcloud` otherwise.
    ///
    /// ```
    /// use ee_credentials::Environment;
    /// use ee_credentials::login::{LoginMode, SystemBrowser};
    ///
    /// let jupyter = Environment::empty().with_var("JPY_PARENT_PID", "42");
    /// let browser = SystemBrowser::new(&jupyter);
    /// assert_eq!(LoginMode::detect(&jupyter, &browser), LoginMode::Notebook);
    /// ```
    pub fn detect(environment: &Environment, browser: &dyn Browser) -> Self {
        let is_cloud_shell = environment.var("CLOUD_SHELL") == Some("true");
        if is_colab(environment) {
            Self::Colab
        } else if is_jupyter(environment) {
            Self::Notebook
        } else if browser.is_available()
            && !is_cloud_shell
            && program::find(environment, "gcloud").is_none()
        {
            Self::Localhost { port: None }
        } else {
            Self::Gcloud
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

    struct Screen(bool);

    impl Browser for Screen {
        fn is_available(&self) -> bool {
            self.0
        }

        fn open(&self, _: &url::Url) -> bool {
            self.0
        }
    }

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
        let of =
            |environment: &Environment, screen| LoginMode::detect(environment, &Screen(screen));
        assert_eq!(of(&bare(), true), LoginMode::Localhost { port: None });
        assert_eq!(of(&bare(), false), LoginMode::Gcloud);
        assert_eq!(
            of(&bare().with_var("JPY_PARENT_PID", "1"), true),
            LoginMode::Notebook
        );
        let colab = bare()
            .with_var("COLAB_RELEASE_TAG", "x")
            .with_var("JPY_PARENT_PID", "1");
        assert_eq!(of(&colab, true), LoginMode::Colab);
        assert_eq!(
            of(&bare().with_var("CLOUD_SHELL", "true"), true),
            LoginMode::Gcloud
        );
    }

    proptest::proptest! {
        #[test]
        fn any_port_round_trips(port: u16) {
            let mode = LoginMode::Localhost { port: Some(port) };
            assert_eq!(mode.to_string().parse::<LoginMode>().unwrap(), mode);
        }
    }
}
