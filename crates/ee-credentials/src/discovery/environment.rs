//! The environment of a search as a value: variables, directories and the machine.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ee_token::internal::{EMULATOR_HOST, EMULATOR_TRUST, NetworkSettings, PrintablePath};
use ee_token::{Endpoints, Remedy};

use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

const EE_CONFIG_FILE: &str = "EE_CONFIG_FILE";

/// An operating system, which determines the locations of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// Linux and other Unixes.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl Platform {
    /// Returns the operating system of this process.
    pub fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }
}

/// A snapshot of the environment variables, the home directory and the machine, which the search for
/// credentials and projects uses. Cheap to clone. `Debug` shows the names of variables, not their
/// values.
///
/// ```
/// use ee_credentials::{Environment, Platform};
///
/// let environment = Environment::empty().with_os(Platform::Linux).with_home("/home/jane");
/// assert_eq!(
///     environment.earth_engine_credentials_file()?,
///     Some("/home/jane/.config/earthengine/credentials".into()),
/// );
/// # Ok::<(), ee_credentials::Error>(())
/// ```
#[derive(Clone)]
pub struct Environment(Arc<Snapshot>);

#[derive(Clone)]
struct Snapshot {
    /// Unordered: there are dozens, and few lookups.
    variables: Vec<(OsString, OsString)>,
    home: Option<PrintablePath>,
    os: Platform,
    product_name: Option<String>,
    probes_network: bool,
}

impl Environment {
    /// Returns a snapshot of this process's environment.
    pub fn current() -> Self {
        let os = Platform::current();
        Self(Arc::new(Snapshot {
            variables: std::env::vars_os().collect(),
            home: std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .map(PrintablePath::from),
            os,
            product_name: (os == Platform::Linux).then(product_name).flatten(),
            probes_network: true,
        }))
    }

    /// Returns an environment without variables, home directory and machine.
    pub fn empty() -> Self {
        Self(Arc::new(Snapshot {
            variables: Vec::new(),
            home: None,
            os: Platform::current(),
            product_name: None,
            probes_network: false,
        }))
    }

    /// Sets a variable.
    #[must_use]
    pub fn with_var(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_var_os(name.into(), value.into())
    }

    /// Sets a variable to a value that may not be UTF-8.
    #[must_use]
    pub fn with_var_os(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        let variables = &mut self.update().variables;
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value.into()));
        self
    }

    /// Sets the home directory.
    #[must_use]
    pub fn with_home(mut self, path: impl Into<PathBuf>) -> Self {
        self.update().home = Some(PrintablePath::from(path));
        self
    }

    /// Sets the operating system.
    #[must_use]
    pub fn with_os(mut self, os: Platform) -> Self {
        self.update().os = os;
        self
    }

    /// Sets the product name in the machine's DMI table, such as `Google Compute Engine`.
    #[must_use]
    pub fn with_dmi_product_name(mut self, name: impl Into<String>) -> Self {
        self.update().product_name = Some(name.into());
        self
    }

    /// Sets whether the search probes the metadata server's well-known address. If not, it uses only
    /// a metadata server that `GCE_METADATA_HOST` or `GCE_METADATA_IP` names.
    #[must_use]
    pub fn with_metadata_probe(mut self, yes: bool) -> Self {
        self.update().probes_network = yes;
        self
    }

    fn update(&mut self) -> &mut Snapshot {
        Arc::make_mut(&mut self.0)
    }

    /// Returns the trimmed value of a variable, or `None` if it is not set, blank or not UTF-8.
    pub fn var(&self, name: &str) -> Option<&str> {
        let text = self.raw(name)?.to_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Returns the trimmed value of a variable, or `None` if it is not set or blank.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if the value is not UTF-8.
    pub fn try_var(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.raw(name) {
            Some(value) if value.to_str().is_none() => Err(Error::new(
                ErrorKind::InvalidEnvironment,
                format!("the value of the variable {name} is not UTF-8 text"),
            )
            .with_remedy(Remedy::new(format!("Set {name} again, or unset it.")))),
            _ => Ok(self.var(name)),
        }
    }

    /// Returns the path in a variable, or `None` if it is not set or blank.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if the value cannot be a path: a key or a token, for example. The
    /// message says what the value is, and does not contain it.
    pub fn path_var(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let Some(value) = self.raw(name) else {
            return Ok(None);
        };
        let path = match value.to_str() {
            Some(text) => PathBuf::from(text.trim()),
            None => PathBuf::from(value),
        };
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        PathSetting::Variable(name).check_on(self.0.os == Platform::Windows, &path)?;
        Ok(Some(path))
    }

    /// Whether a variable is set and not blank.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let is_blank = |value: &OsStr| value.to_str().is_some_and(|text| text.trim().is_empty());
        self.raw(name).is_some_and(|value| !is_blank(value))
    }

    /// Validates `SSL_CERT_FILE` and `SSL_CERT_DIR`, the certificate authorities of TLS on Linux.
    ///
    /// # Errors
    /// As [`Environment::path_var`].
    pub fn check_certificate_paths(&self) -> Result<(), Error> {
        if self.0.os == Platform::Linux {
            self.path_var("SSL_CERT_FILE")?;
            self.path_var("SSL_CERT_DIR")?;
        }
        Ok(())
    }

    /// Whether the DMI table names a machine of Google Cloud.
    pub(crate) fn is_google_machine(&self) -> bool {
        self.product_name()
            .is_some_and(|name| name.starts_with("Google"))
    }

    /// Whether a variable is set that Google's and other platforms for containers set.
    pub(crate) fn is_container_platform(&self) -> bool {
        const VARIABLES: [&str; 5] = [
            "CLOUD_RUN_JOB",
            "FUNCTION_TARGET",
            "GAE_SERVICE",
            "K_SERVICE",
            "KUBERNETES_SERVICE_HOST",
        ];
        VARIABLES.into_iter().any(|name| self.is_set(name))
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        let find = |is: fn(&OsStr, &OsStr) -> bool| {
            let mut variables = self.0.variables.iter();
            let found = variables.find(|(key, _)| is(key, OsStr::new(name)));
            found.map(|(_, value)| value.as_os_str())
        };
        match self.0.os {
            // Names of variables are case-insensitive on Windows.
            Platform::Windows => find(OsStr::eq).or_else(|| find(|a, b| a.eq_ignore_ascii_case(b))),
            _ => find(OsStr::eq),
        }
    }

    /// Returns the variables, for a child process.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.variables.iter().map(|(name, value)| (name, value))
    }

    /// Returns the home directory.
    pub fn home(&self) -> Option<&Path> {
        self.0.home.as_deref()
    }

    /// Returns a path below the home directory.
    fn in_home(&self, names: &[&str]) -> Result<Option<PathBuf>, Error> {
        let Some(home) = self.home() else {
            return Ok(None);
        };
        let is_windows = self.0.os == Platform::Windows;
        let name = if is_windows { "USERPROFILE" } else { "HOME" };
        PathSetting::Variable(name).check_on(is_windows, home)?;
        Ok(Some(
            names
                .iter()
                .fold(home.to_owned(), |path, name| path.join(name)),
        ))
    }

    /// Returns the operating system.
    pub fn os(&self) -> Platform {
        self.0.os
    }

    pub(crate) fn product_name(&self) -> Option<&str> {
        self.0.product_name.as_deref()
    }

    pub(crate) fn probes_network(&self) -> bool {
        self.0.probes_network
    }

    /// Returns the path of Earth Engine's login file: `EE_CONFIG_FILE`, or
    /// `~/.config/earthengine/credentials` on every operating system. The file may not exist.
    ///
    /// # Errors
    /// As [`Environment::path_var`], also for the home directory.
    pub fn earth_engine_credentials_file(&self) -> Result<Option<PathBuf>, Error> {
        match self.path_var(EE_CONFIG_FILE)? {
            Some(path) => Ok(Some(path)),
            None => self.in_home(&[".config", "earthengine", "credentials"]),
        }
    }

    /// Returns the location of Earth Engine's login file, with the variable that names it.
    pub(crate) fn earth_engine_location(&self) -> Result<Option<Location>, Error> {
        let path = self.earth_engine_credentials_file()?;
        Ok(path.map(|path| match self.is_set(EE_CONFIG_FILE) {
            true => Location::named(path, EE_CONFIG_FILE),
            false => Location::file(path),
        }))
    }

    /// Returns gcloud's configuration directory: `CLOUDSDK_CONFIG`, or `~/.config/gcloud`; on Windows
    /// `%APPDATA%\gcloud`.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn gcloud_config_dir(&self) -> Result<Option<PathBuf>, Error> {
        if let Some(dir) = self.path_var("CLOUDSDK_CONFIG")? {
            return Ok(Some(dir));
        }
        match self.0.os {
            Platform::Windows => Ok(self.path_var("APPDATA")?.map(|data| data.join("gcloud"))),
            _ => self.in_home(&[".config", "gcloud"]),
        }
    }

    /// Returns the file that `gcloud auth application-default login` writes. It may not exist.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn gcloud_adc_file(&self) -> Result<Option<PathBuf>, Error> {
        let dir = self.gcloud_config_dir()?;
        Ok(dir.map(|dir| dir.join("application_default_credentials.json")))
    }

    /// Returns the cache directory: `XDG_CACHE_HOME/earthengine`, or `~/.cache/earthengine`; on macOS
    /// `~/Library/Caches/earthengine`, on Windows `%LOCALAPPDATA%\earthengine\cache`. It may not
    /// exist.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn cache_dir(&self) -> Result<Option<PathBuf>, Error> {
        match self.0.os {
            // The XDG Base Directory Specification requires relative paths to be ignored.
            Platform::Linux => match self.path_var("XDG_CACHE_HOME")?.filter(|p| p.has_root()) {
                Some(dir) => Ok(Some(dir.join("earthengine"))),
                None => self.in_home(&[".cache", "earthengine"]),
            },
            Platform::MacOs => self.in_home(&["Library", "Caches", "earthengine"]),
            Platform::Windows => {
                let local = self.path_var("LOCALAPPDATA")?;
                Ok(local.map(|local| local.join("earthengine").join("cache")))
            }
        }
    }

    /// Returns the path in `GOOGLE_APPLICATION_CREDENTIALS`.
    ///
    /// # Errors
    /// As [`Environment::path_var`].
    pub fn application_credentials_file(&self) -> Result<Option<PathBuf>, Error> {
        self.path_var("GOOGLE_APPLICATION_CREDENTIALS")
    }

    /// Returns the emulator's address in `EARTHENGINE_EMULATOR_HOST`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if the value is not `ADDRESS:PORT` with a loopback address.
    pub fn emulator(&self) -> Result<Option<SocketAddr>, Error> {
        let Some(text) = self.try_var(EMULATOR_HOST)? else {
            return Ok(None);
        };
        let invalid = |why: &str| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!("{EMULATOR_HOST} is {:?}: {why}", clipped(text)),
            )
            .with_remedy(
                Remedy::new("Set a loopback address and a port, or unset the variable.")
                    .command(format!("export {EMULATOR_HOST}=127.0.0.1:8090")),
            )
        };
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let numeric = match bare.split_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
                format!("127.0.0.1:{port}")
            }
            _ => bare.to_owned(),
        };
        let address: SocketAddr = numeric
            .parse()
            .map_err(|_| invalid("it is not ADDRESS:PORT, such as 127.0.0.1:8090"))?;
        if !address.ip().is_loopback() {
            return Err(invalid(
                "it is not a loopback address, and secrets would cross a network unencrypted",
            ));
        }
        Ok(Some(address))
    }

    /// Returns the hosts to send requests to: the emulator's if `EARTHENGINE_EMULATOR_HOST` is
    /// set, else Google's.
    ///
    /// Requests reach the emulator only if the user of this process or root serves it. Where the
    /// system does not tell who does, `EARTHENGINE_EMULATOR_TRUST=1` allows it.
    ///
    /// # Errors
    /// As [`Environment::emulator`]. [`ErrorKind::InvalidEnvironment`] if
    /// `EARTHENGINE_EMULATOR_TRUST` is neither `1` nor `0`.
    pub fn endpoints(&self) -> Result<Endpoints, Error> {
        let Some(address) = self.emulator()? else {
            return Ok(Endpoints::google());
        };
        let allow_unknown_owner = match self.try_var(EMULATOR_TRUST)? {
            None | Some("0") => false,
            Some("1") => true,
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidEnvironment,
                    format!("{EMULATOR_TRUST} is neither 1 nor 0"),
                )
                .with_remedy(
                    Remedy::new(
                        "Set it to 1 to allow an emulator whose owner is unknown, or unset it.",
                    )
                    .command(format!("unset {EMULATOR_TRUST}")),
                ));
            }
        };
        tracing::warn!(%address, "{EMULATOR_HOST} is set: requests go to the emulator, not to Google");
        Ok(Endpoints::emulator_from_env(address, allow_unknown_owner)?)
    }
}

impl Default for Environment {
    /// [`Environment::current`].
    fn default() -> Self {
        Self::current()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any variable may hold a secret, so no value is shown.
        let names = self.variables().map(|(name, _)| name);
        f.debug_struct("Environment")
            .field("variables", &names.collect::<Vec<_>>())
            .field("home", &self.0.home)
            .field("os", &self.0.os)
            .finish_non_exhaustive()
    }
}

/// Returns the proxies and certificate authorities in the variables.
pub fn network_settings(environment: &Environment) -> NetworkSettings {
    NetworkSettings::read(|name| environment.raw(name).map(OsStr::to_owned))
}

/// Reads the product name in the DMI table.
fn product_name() -> Option<String> {
    let text = std::fs::read_to_string("/sys/class/dmi/id/product_name").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
