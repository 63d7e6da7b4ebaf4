//! Everything outside of the program that the search looks at, as a value.
//!
//! It is read in one place, [`Environment::current`], so that tests and servers with many
//! users can bring their own, and so that the logic of paths can be tested for every system.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ee_token::Endpoints;

use crate::{Error, ErrorKind, earthengine_file, file};

/// The family of operating system whose conventions for folders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Os {
    /// Linux, macOS and their like.
    Unix,
    /// Windows.
    Windows,
}

/// Variables, the home folder and the system: what a search looks at.
///
/// ```
/// use ee_credentials::Environment;
///
/// let environment = Environment::empty().with_home("/home/jane").with_var("EARTHENGINE_PROJECT", "p");
/// assert_eq!(environment.var("EARTHENGINE_PROJECT"), Some("p"));
/// assert!(environment.earthengine_file().unwrap().starts_with("/home/jane"));
/// ```
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
    os: Os,
}

impl Environment {
    /// The process's own. What is not Unicode reads as if each odd part were `�`, so that
    /// the error about it can name it.
    pub fn current() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self {
            variables: std::env::vars_os()
                .map(|(k, v)| (text(k), text(v)))
                .collect(),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            os: if cfg!(windows) { Os::Windows } else { Os::Unix },
        }
    }

    /// Nothing at all: no variable, no home, hence no file.
    pub fn empty() -> Self {
        Self {
            variables: BTreeMap::new(),
            home: None,
            os: if cfg!(windows) { Os::Windows } else { Os::Unix },
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with_var(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets the home folder.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Sets the system whose conventions hold.
    #[must_use]
    pub fn with_os(mut self, os: Os) -> Self {
        self.os = os;
        self
    }

    /// A variable's value without the blanks around it. An empty one counts as unset.
    pub fn var(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Earth Engine's own credentials file: `$EE_CONFIG_FILE`, else
    /// `~/.config/earthengine/credentials`, on every system.
    pub fn earthengine_file(&self) -> Option<PathBuf> {
        if let Some(path) = self.var("EE_CONFIG_FILE") {
            return Some(path.into());
        }
        Some(
            self.home()?
                .join(".config")
                .join("earthengine")
                .join("credentials"),
        )
    }

    /// gcloud's folder: `$CLOUDSDK_CONFIG`, else `~/.config/gcloud`, on Windows `%APPDATA%\gcloud`.
    pub fn gcloud_folder(&self) -> Option<PathBuf> {
        if let Some(path) = self.var("CLOUDSDK_CONFIG") {
            return Some(path.into());
        }
        match self.os {
            Os::Windows => Some(Path::new(self.var("APPDATA")?).join("gcloud")),
            Os::Unix => Some(self.home()?.join(".config").join("gcloud")),
        }
    }

    /// gcloud's file of Application Default Credentials.
    pub fn adc_file(&self) -> Option<PathBuf> {
        Some(
            self.gcloud_folder()?
                .join("application_default_credentials.json"),
        )
    }

    /// The project in Earth Engine's own credentials file, whether or not it holds a login.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if there is a file and it cannot be used.
    pub fn earthengine_file_project(&self) -> Result<Option<String>, Error> {
        let Some(path) = self.earthengine_file() else {
            return Ok(None);
        };
        let Some(text) = file::read_if_there(&path)? else {
            return Ok(None);
        };
        earthengine_file::project(&text, &path.display().to_string())
    }

    /// The project of gcloud: `$CLOUDSDK_CORE_PROJECT`, else `project` under `[core]` in the
    /// active configuration.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if there is a configuration and it cannot be read.
    pub fn gcloud_project(&self) -> Result<Option<String>, Error> {
        if let Some(project) = self.var("CLOUDSDK_CORE_PROJECT") {
            return Ok(Some(project.to_owned()));
        }
        let Some(folder) = self.gcloud_folder() else {
            return Ok(None);
        };
        let active = match self.var("CLOUDSDK_ACTIVE_CONFIG_NAME") {
            Some(name) => name.to_owned(),
            None => match file::read_if_there(&folder.join("active_config"))? {
                Some(name) if !name.trim().is_empty() => name.trim().to_owned(),
                _ => "default".to_owned(),
            },
        };
        // The name becomes part of a path, and must not lead out of the folder.
        if active.contains(['/', '\\']) || active.contains("..") {
            return Ok(None);
        }
        let path = folder
            .join("configurations")
            .join(format!("config_{active}"));
        Ok(file::read_if_there(&path)?.and_then(|text| core_project(&text)))
    }

    /// The emulator that `EARTHENGINE_EMULATOR_HOST` names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] for anything but a loopback address with a port.
    pub fn emulator(&self) -> Result<Option<SocketAddr>, Error> {
        const NAME: &str = "EARTHENGINE_EMULATOR_HOST";
        let Some(value) = self.var(NAME) else {
            return Ok(None);
        };
        let address = match value.strip_prefix("localhost:") {
            Some(port) => port
                .parse()
                .ok()
                .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => value.parse().ok(),
        };
        address
            .filter(|address| address.ip().is_loopback())
            .map(Some)
            .ok_or_else(|| {
                let shown: String = value.chars().filter(|c| !c.is_control()).take(60).collect();
                Error::new(
                    ErrorKind::InvalidEnvironment,
                    format!("{NAME} is \"{shown}\", which is no address on this machine: secrets would cross the network in clear text"),
                )
                .with_remedy(ee_token::Remedy::new(
                    "Set it to a loopback address and a port, such as 127.0.0.1:8090, or unset it.",
                ))
            })
    }

    /// The hosts to talk to: Google's, or the emulator's.
    ///
    /// # Errors
    /// As [`Environment::emulator`].
    pub fn endpoints(&self) -> Result<Endpoints, Error> {
        match self.emulator()? {
            None => Ok(Endpoints::google()),
            Some(address) => Endpoints::emulator(address).map_err(|error| {
                Error::new(ErrorKind::InvalidEnvironment, error.to_string()).with_source(error)
            }),
        }
    }

    fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }
}

impl fmt::Debug for Environment {
    /// The names of the variables alone: values are secrets too often.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("home", &self.home)
            .field("os", &self.os)
            .finish()
    }
}

/// `project` under `[core]`, as gcloud's configuration files have it.
fn core_project(text: &str) -> Option<String> {
    let mut in_core = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_core = section.trim_end_matches(']').trim() == "core";
        } else if in_core
            && let Some((name, value)) = line.split_once(['=', ':'])
            && name.trim() == "project"
        {
            let value = value.trim();
            return (!value.is_empty()).then(|| value.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jane() -> Environment {
        Environment::empty()
            .with_home("/home/jane")
            .with_os(Os::Unix)
    }

    #[test]
    fn files_are_where_the_other_clients_have_them() {
        let path = |path: Option<PathBuf>| path.unwrap().display().to_string().replace('\\', "/");
        assert_eq!(
            path(jane().earthengine_file()),
            "/home/jane/.config/earthengine/credentials"
        );
        assert_eq!(
            path(jane().with_var("EE_CONFIG_FILE", "/x").earthengine_file()),
            "/x"
        );
        assert_eq!(
            path(jane().adc_file()),
            "/home/jane/.config/gcloud/application_default_credentials.json"
        );
        assert_eq!(
            path(jane().with_var("CLOUDSDK_CONFIG", "/c").adc_file()),
            "/c/application_default_credentials.json"
        );
        let windows = Environment::empty()
            .with_os(Os::Windows)
            .with_home("C:/Users/jane")
            .with_var("APPDATA", "C:/Users/jane/AppData/Roaming");
        assert_eq!(
            path(windows.adc_file()),
            "C:/Users/jane/AppData/Roaming/gcloud/application_default_credentials.json"
        );
        assert_eq!(
            path(windows.earthengine_file()),
            "C:/Users/jane/.config/earthengine/credentials"
        );
        assert_eq!(Environment::empty().adc_file(), None);
        assert_eq!(Environment::empty().earthengine_file(), None);
    }

    #[test]
    fn an_empty_variable_is_unset_and_values_are_not_shown() {
        let environment = jane()
            .with_var("A", "  ")
            .with_var("B", " b\n")
            .with_var("EARTHENGINE_TOKEN", "canary");
        assert_eq!(environment.var("A"), None);
        assert_eq!(environment.var("B"), Some("b"));
        assert!(!format!("{environment:?}").contains("canary"));
    }

    #[test]
    fn the_emulator_is_on_loopback_or_an_error() {
        let at = |value: &str| {
            jane()
                .with_var("EARTHENGINE_EMULATOR_HOST", value)
                .emulator()
        };
        assert_eq!(at("").unwrap(), None);
        for (value, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:81", "127.0.0.1:81"),
            ("[::1]:82", "[::1]:82"),
        ] {
            assert_eq!(at(value).unwrap(), Some(address.parse().unwrap()));
        }
        for value in [
            "10.0.0.1:80",
            "example.com:80",
            "127.0.0.1",
            "http://127.0.0.1:80",
            "0.0.0.0:80",
            "localhost:x",
        ] {
            assert_eq!(
                at(value).unwrap_err().kind(),
                ErrorKind::InvalidEnvironment,
                "{value}"
            );
        }
    }

    #[test]
    fn gclouds_project_is_that_of_the_active_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let gcloud = jane().with_var("CLOUDSDK_CONFIG", folder.path().to_string_lossy());
        assert_eq!(gcloud.gcloud_project().unwrap(), None);
        write(
            "configurations/config_default",
            "[compute]\nproject = wrong\n[core]\naccount = a\nproject = right\n",
        );
        assert_eq!(gcloud.gcloud_project().unwrap().as_deref(), Some("right"));
        write("active_config", "work\n");
        write("configurations/config_work", "[core]\nproject=at-work");
        assert_eq!(gcloud.gcloud_project().unwrap().as_deref(), Some("at-work"));
        let named = |name: &str| {
            gcloud
                .clone()
                .with_var("CLOUDSDK_ACTIVE_CONFIG_NAME", name)
                .gcloud_project()
                .unwrap()
        };
        assert_eq!(named("default").as_deref(), Some("right"));
        assert_eq!(named("../config_work"), None);
        let direct = gcloud.with_var("CLOUDSDK_CORE_PROJECT", "direct");
        assert_eq!(direct.gcloud_project().unwrap().as_deref(), Some("direct"));
    }
}
