//! Everything outside of the program that the search looks at, as a value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ee_token::{EMULATOR_HOST, EMULATOR_TRUST, Endpoints, PrintablePath, Remedy};

use crate::discovery::gcloud_config;
use crate::input::file::read_if_there;
use crate::input::location::Location;
use crate::input::path_setting::PathSetting;
use crate::input::quote::clipped;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::{Error, ErrorKind};

/// An operating system, as far as places of files differ.
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
    /// The one that this program runs on.
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

/// A snapshot of the variables, the home folder and the machine: what the search for
/// credentials and projects looks at. Cheap to clone; `Debug` shows names of
/// variables alone.
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
    /// In no order: there are dozens, and few are asked for.
    variables: Vec<(OsString, OsString)>,
    home: Option<PrintablePath>,
    os: Platform,
    product_name: Option<String>,
    probes_network: bool,
}

impl Environment {
    /// The environment of this process, now.
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

    /// No variables, no home folder, no machine: what is not added to it is not looked at.
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

    /// Sets a variable to what may be no UTF-8.
    #[must_use]
    pub fn with_var_os(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        let variables = &mut self.update().variables;
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value.into()));
        self
    }

    /// Sets the home folder.
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

    /// Sets the machine's product name, as its firmware tells it: `Google Compute Engine`.
    #[must_use]
    pub fn with_dmi_product_name(mut self, name: impl Into<String>) -> Self {
        self.update().product_name = Some(name.into());
        self
    }

    /// Whether a metadata server may be looked for at its well-known address. Without this,
    /// only one that a variable names (`GCE_METADATA_HOST`, `GCE_METADATA_IP`) is asked.
    #[must_use]
    pub fn with_metadata_probe(mut self, yes: bool) -> Self {
        self.update().probes_network = yes;
        self
    }

    fn update(&mut self) -> &mut Snapshot {
        Arc::make_mut(&mut self.0)
    }

    /// A variable that is set and not blank, without the blanks around it. One that is no
    /// UTF-8 counts as unset here; [`Environment::try_var`] tells.
    pub fn var(&self, name: &str) -> Option<&str> {
        let text = self.raw(name)?.to_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// A variable that is set and not blank, without the blanks around it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if its value is no UTF-8.
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

    /// A variable that names a file or a directory: any bytes, set and not blank. Every variable
    /// of this kind is read here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if its value cannot be a path: a key or a token, for example.
    /// The message says what it is, and does not contain it.
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
        PathSetting::Variable(name).check(&path)?;
        Ok(Some(path))
    }

    /// Whether a variable is set and not blank, whatever it contains.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let is_blank = |value: &OsStr| value.to_str().is_some_and(|text| text.trim().is_empty());
        self.raw(name).is_some_and(|value| !is_blank(value))
    }

    /// Checks the variables that name certificate authorities, which TLS reads on Linux.
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

    /// Whether the firmware says that this machine is Google's.
    pub(crate) fn is_google_machine(&self) -> bool {
        self.product_name()
            .is_some_and(|name| name.starts_with("Google"))
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        let find = |is: fn(&OsStr, &OsStr) -> bool| {
            let mut variables = self.0.variables.iter();
            let found = variables.find(|(key, _)| is(key, OsStr::new(name)));
            found.map(|(_, value)| value.as_os_str())
        };
        match self.0.os {
            // Windows does not tell upper case from lower case here.
            Platform::Windows => find(OsStr::eq).or_else(|| find(|a, b| a.eq_ignore_ascii_case(b))),
            _ => find(OsStr::eq),
        }
    }

    /// Every variable, for a program that is started in this environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.variables.iter().map(|(name, value)| (name, value))
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.0.home.as_deref()
    }

    /// A path below the home folder.
    fn in_home(&self, names: &[&str]) -> Result<Option<PathBuf>, Error> {
        let Some(home) = self.home() else {
            return Ok(None);
        };
        let name = match self.0.os {
            Platform::Windows => "USERPROFILE",
            _ => "HOME",
        };
        PathSetting::Variable(name).check(home)?;
        Ok(Some(
            names
                .iter()
                .fold(home.to_owned(), |path, name| path.join(name)),
        ))
    }

    /// The operating system.
    pub fn os(&self) -> Platform {
        self.0.os
    }

    pub(crate) fn product_name(&self) -> Option<&str> {
        self.0.product_name.as_deref()
    }

    pub(crate) fn probes_network(&self) -> bool {
        self.0.probes_network
    }

    /// Where Earth Engine's own credentials file is, whether it exists or not:
    /// `EE_CONFIG_FILE`, else `~/.config/earthengine/credentials` on every system.
    ///
    /// # Errors
    /// As [`Environment::path_var`], also for the home folder.
    pub fn earth_engine_credentials_file(&self) -> Result<Option<PathBuf>, Error> {
        match self.path_var("EE_CONFIG_FILE")? {
            Some(path) => Ok(Some(path)),
            None => self.in_home(&[".config", "earthengine", "credentials"]),
        }
    }

    /// Where gcloud keeps its files: `CLOUDSDK_CONFIG`, else `~/.config/gcloud`, on Windows
    /// `%APPDATA%\gcloud`.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn gcloud_config_dir(&self) -> Result<Option<PathBuf>, Error> {
        if let Some(folder) = self.path_var("CLOUDSDK_CONFIG")? {
            return Ok(Some(folder));
        }
        match self.0.os {
            Platform::Windows => Ok(self.path_var("APPDATA")?.map(|data| data.join("gcloud"))),
            _ => self.in_home(&[".config", "gcloud"]),
        }
    }

    /// Where `gcloud auth application-default login` writes, whether the file exists or not.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn gcloud_adc_file(&self) -> Result<Option<PathBuf>, Error> {
        let folder = self.gcloud_config_dir()?;
        Ok(folder.map(|folder| folder.join("application_default_credentials.json")))
    }

    /// Where what can be had again is kept, whether the folder exists or not:
    /// `XDG_CACHE_HOME/earthengine`, else `~/.cache/earthengine`; on macOS
    /// `~/Library/Caches/earthengine`, on Windows `%LOCALAPPDATA%\earthengine\cache`.
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn cache_dir(&self) -> Result<Option<PathBuf>, Error> {
        match self.0.os {
            // The XDG Base Directory Specification has relative paths ignored.
            Platform::Linux => match self.path_var("XDG_CACHE_HOME")?.filter(|p| p.has_root()) {
                Some(folder) => Ok(Some(folder.join("earthengine"))),
                None => self.in_home(&[".cache", "earthengine"]),
            },
            Platform::MacOs => self.in_home(&["Library", "Caches", "earthengine"]),
            Platform::Windows => {
                let local = self.path_var("LOCALAPPDATA")?;
                Ok(local.map(|local| local.join("earthengine").join("cache")))
            }
        }
    }

    /// The file that `GOOGLE_APPLICATION_CREDENTIALS` names.
    ///
    /// # Errors
    /// As [`Environment::path_var`].
    pub fn application_credentials_file(&self) -> Result<Option<PathBuf>, Error> {
        self.path_var("GOOGLE_APPLICATION_CREDENTIALS")
    }

    /// The project in Earth Engine's own file, wherever the credential comes from. A
    /// missing file is none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if the file cannot be read; as
    /// [`Environment::earth_engine_credentials_file`].
    pub fn earthengine_file_project(&self) -> Result<Option<String>, Error> {
        let Some(path) = self.earth_engine_credentials_file()? else {
            return Ok(None);
        };
        let location = Location::file(path);
        match read_if_there(&location)? {
            None => Ok(None),
            Some(text) => {
                let file = EarthEngineFile::read(&text.text, &location)?;
                Ok(file.project().map(str::to_owned))
            }
        }
    }

    /// The project that gcloud works with: `CLOUDSDK_CORE_PROJECT`, else `core/project` of
    /// its active configuration.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if a configuration file is there and cannot be read; as
    /// [`Environment::gcloud_config_dir`].
    pub fn gcloud_project(&self) -> Result<Option<String>, Error> {
        if let Some(project) = self.try_var("CLOUDSDK_CORE_PROJECT")? {
            return Ok(Some(project.to_owned()));
        }
        let name = self.try_var("CLOUDSDK_ACTIVE_CONFIG_NAME")?;
        match self.gcloud_config_dir()? {
            Some(folder) => gcloud_config::project(&folder, name),
            None => Ok(None),
        }
    }

    /// The emulator that stands in for Google, if `EARTHENGINE_EMULATOR_HOST` names one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if that is no `ADDRESS:PORT` on this machine.
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
                Remedy::new("Name a loopback address and a port, or unset it.")
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
                "it is not on this machine, so that secrets would cross a network in clear text",
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

/// What the firmware says this machine is.
fn product_name() -> Option<String> {
    let text = std::fs::read_to_string("/sys/class/dmi/id/product_name").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn at(os: Platform, home: &str) -> Environment {
        Environment::empty().with_os(os).with_home(home)
    }

    #[test]
    fn files_are_where_the_other_clients_keep_them_on_every_system() {
        for (environment, earthengine, adc) in [
            (
                at(Platform::Linux, "/home/j"),
                Some("/home/j/.config/earthengine/credentials"),
                Some("/home/j/.config/gcloud/application_default_credentials.json"),
            ),
            (
                at(Platform::MacOs, "/Users/j"),
                Some("/Users/j/.config/earthengine/credentials"),
                Some("/Users/j/.config/gcloud/application_default_credentials.json"),
            ),
            (
                at(Platform::Windows, "C:/Users/j")
                    .with_var("AppData", "C:/Users/j/AppData/Roaming"),
                Some("C:/Users/j/.config/earthengine/credentials"),
                Some("C:/Users/j/AppData/Roaming/gcloud/application_default_credentials.json"),
            ),
            (
                at(Platform::Linux, "/home/j")
                    .with_var("EE_CONFIG_FILE", "/etc/ee")
                    .with_var("CLOUDSDK_CONFIG", "/content/.config"),
                Some("/etc/ee"),
                Some("/content/.config/application_default_credentials.json"),
            ),
            (
                at(Platform::Linux, "/home/j")
                    .with_var("EE_CONFIG_FILE", " ")
                    .with_var("CLOUDSDK_CONFIG", ""),
                Some("/home/j/.config/earthengine/credentials"),
                Some("/home/j/.config/gcloud/application_default_credentials.json"),
            ),
            (Environment::empty().with_os(Platform::Linux), None, None),
            (Environment::empty().with_os(Platform::Windows), None, None),
        ] {
            assert_eq!(
                environment.earth_engine_credentials_file().unwrap(),
                earthengine.map(PathBuf::from)
            );
            assert_eq!(
                environment.gcloud_adc_file().unwrap(),
                adc.map(PathBuf::from)
            );
        }
    }

    #[test]
    fn the_cache_folder_is_where_each_system_keeps_such_things() {
        for (environment, folder) in [
            (
                at(Platform::Linux, "/home/j"),
                Some("/home/j/.cache/earthengine"),
            ),
            (
                at(Platform::Linux, "/home/j").with_var("XDG_CACHE_HOME", "/scratch/j"),
                Some("/scratch/j/earthengine"),
            ),
            (
                at(Platform::Linux, "/home/j").with_var("XDG_CACHE_HOME", "scratch"),
                Some("/home/j/.cache/earthengine"),
            ),
            (
                at(Platform::MacOs, "/Users/j").with_var("XDG_CACHE_HOME", "/scratch/j"),
                Some("/Users/j/Library/Caches/earthengine"),
            ),
            (
                at(Platform::Windows, "C:/Users/j")
                    .with_var("LocalAppData", "C:/Users/j/AppData/Local"),
                Some("C:/Users/j/AppData/Local/earthengine/cache"),
            ),
            (at(Platform::Windows, "C:/Users/j"), None),
            (Environment::empty().with_os(Platform::Linux), None),
        ] {
            assert_eq!(environment.cache_dir().unwrap(), folder.map(PathBuf::from));
        }
    }

    #[test]
    fn blank_variables_are_unset_and_values_are_never_shown() {
        let environment = Environment::empty()
            .with_var("A", "  ")
            .with_var("B", " canary ");
        assert_eq!(environment.var("A"), None);
        assert_eq!(environment.var("B"), Some("canary"));
        assert_eq!(environment.clone().with_os(Platform::Linux).var("b"), None);
        assert_eq!(
            environment.clone().with_os(Platform::Windows).var("b"),
            Some("canary")
        );
        assert!(!format!("{environment:?}").contains("canary"));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_an_error_that_names_the_variable() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = OsString::from_vec(vec![b'/', 0xff]);
        let environment = Environment::empty()
            .with_var_os(EMULATOR_HOST, odd.clone())
            .with_var_os("EE_CONFIG_FILE", odd.clone());
        let error = environment.emulator().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(error.to_string().contains(EMULATOR_HOST));
        assert_eq!(environment.var(EMULATOR_HOST), None);
        // A path may be any bytes.
        assert_eq!(
            environment.earth_engine_credentials_file().unwrap(),
            Some(PathBuf::from(odd))
        );
    }

    #[test]
    fn an_emulator_is_on_this_machine_or_an_error() {
        let emulator = |text: &str| {
            let environment = Environment::empty().with_var(EMULATOR_HOST, text);
            environment
                .emulator()
                .map(|address| address.map(|a| a.to_string()))
        };
        for (text, address) in [
            ("", None),
            ("127.0.0.1:8090", Some("127.0.0.1:8090")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:1", Some("[::1]:1")),
            ("http://127.0.0.1:1/", Some("127.0.0.1:1")),
        ] {
            assert_eq!(emulator(text).unwrap().as_deref(), address, "{text}");
        }
        for text in [
            "8090",
            "127.0.0.1",
            "192.0.2.1:80",
            "example.com:80",
            "localhost:x",
            "https://127.0.0.1:1",
        ] {
            let error = emulator(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
            assert!(error.to_string().contains(text) && error.to_string().contains(EMULATOR_HOST));
        }
    }

    #[test]
    fn the_project_of_the_earth_engine_file_counts_without_a_login() {
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
    fn gclouds_project_is_the_variables_or_the_configurations() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_home(home.path());
        assert_eq!(environment.gcloud_project().unwrap(), None);
        let folder = environment
            .gcloud_config_dir()
            .unwrap()
            .unwrap()
            .join("configurations");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config_default"), "[core]\nproject = one\n").unwrap();
        fs::write(folder.join("config_b"), "[core]\nproject = two\n").unwrap();
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

    proptest::proptest! {
        #[test]
        fn every_address_of_this_machine_can_be_an_emulators_and_no_other_can(
            ip: std::net::Ipv4Addr, is_here: bool, port: u16,
        ) {
            let mut octets = ip.octets();
            if is_here {
                octets[0] = 127;
            }
            for address in [SocketAddr::from((octets, port)), ([0, 0, 0, 0, 0, 0, 0, 1], port).into()] {
                let text = address.to_string();
                let environment = Environment::empty().with_var(EMULATOR_HOST, &text);
                let found = environment.emulator();
                if address.ip().is_loopback() {
                    assert_eq!(found.unwrap(), Some(address));
                } else {
                    assert_eq!(found.unwrap_err().kind(), ErrorKind::InvalidEnvironment);
                }
            }
        }
    }
}
