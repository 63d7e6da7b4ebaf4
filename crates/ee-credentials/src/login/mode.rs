//! The ways to log in, and which of them fits where we are.

use std::fmt;
use std::str::FromStr;

use ee_token::Remedy;

use crate::discovery::program;
use crate::input::quote::clipped;
use crate::login::detect::{is_colab, is_jupyter};
use crate::login::terminal::Browser;
use crate::{Environment, Error, ErrorKind};

/// A way to log in. The names are those of the Python client's `auth_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginMode {
    /// A browser on this machine, which is sent back to a port of it.
    Localhost {
        /// The port; 0 for any that is free. `None`: 8085, or any other if that is in use.
        port: Option<u16>,
    },
    /// A browser anywhere, which shows a code to be pasted here. Such logins last 7 days.
    Notebook,
    /// `gcloud auth application-default login`, which must be installed.
    Gcloud,
    /// The same with Earth Engine's own OAuth client instead of gcloud's.
    GcloudLegacy,
    /// Google Colab, which logs people in by itself, in a cell of the notebook.
    Colab,
    /// Application Default Credentials that are there already: nothing to do.
    AppDefault,
}

impl LoginMode {
    /// The name, without a port.
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

    /// The one that the Python client would choose: `colab` inside Colab, `notebook` inside
    /// Jupyter, `localhost` where there is a browser and no gcloud, and `gcloud` otherwise.
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

    /// Reads a name; `localhost` may have a port: `localhost:8086`.
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
                        "{:?} is no port: a number from 0 to 65535",
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
            _ => return Err(unknown(format!("{:?} is no way to log in", clipped(text)))),
        };
        Ok(mode)
    }
}

fn unknown(what: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, what).with_remedy(Remedy::new(
        "Use localhost, localhost:PORT, notebook, gcloud, gcloud-legacy, colab or appdefault; without any, the one that fits is chosen.",
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
    fn the_names_are_the_python_clients() {
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
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn the_mode_fits_where_we_are() {
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
        fn any_port_is_one_and_is_told_as_it_was_given(port: u16) {
            let mode = LoginMode::Localhost { port: Some(port) };
            assert_eq!(mode.to_string().parse::<LoginMode>().unwrap(), mode);
        }
    }
}
