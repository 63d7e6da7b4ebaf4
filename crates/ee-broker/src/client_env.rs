//! The environment in which clients find the broker, and no other credentials.

mod private_dir;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use ee_credentials::Environment;
use ee_credentials::internal::{ACCESS_TOKENS, CREDENTIALS};

use crate::{Broker, Error, ErrorKind};
use private_dir::PrivateDir;

/// Variables with a credential, the path of one, or a setting that would hide the broker, besides the
/// credentials of other tools that the search knows. They are removed.
#[rustfmt::skip]
const HIDDEN: &[&str] = &[
    // This project's clients and Earth Engine's command in Python.
    "EARTHENGINE_TOKEN", "EARTHENGINE_ACCOUNT", "EE_CONFIG_FILE",
    // Google's clients, and Node.js in its second spelling.
    "GOOGLE_APPLICATION_CREDENTIALS", "google_application_credentials", "NO_GCE_CHECK",
    "METADATA_SERVER_DETECTION", "GOOGLE_PRIVATE_KEY", "GOOGLE_CLIENT_EMAIL",
    // gcloud and gsutil.
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "CLOUDSDK_CORE_ACCOUNT",
    "CLOUDSDK_ACTIVE_CONFIG_NAME",
    // GDAL, which asks the metadata server last.
    "EEDA_BEARER", "EEDA_BEARER_FILE", "EEDA_PRIVATE_KEY", "EEDA_PRIVATE_KEY_FILE",
    "EEDA_CLIENT_EMAIL", "GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY", "GS_OAUTH2_REFRESH_TOKEN",
    "GS_OAUTH2_CLIENT_ID", "GS_OAUTH2_CLIENT_SECRET", "GS_OAUTH2_PRIVATE_KEY",
    "GS_OAUTH2_PRIVATE_KEY_FILE", "GS_OAUTH2_CLIENT_EMAIL", "GDAL_HTTP_BEARER",
    "CPL_GS_CREDENTIALS_FILE",
];

/// Variables that name the home directory or a directory in it.
#[rustfmt::skip]
const HOME_DIRS: &[&str] = &[
    "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
];
const HOMES: &[&str] = match cfg!(windows) {
    true => &["HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"],
    false => &["HOME"],
};

/// The variables that name a proxy for the broker's plain HTTP.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The variables with which a program finds a [`Broker`] instead of other credentials, and a private
/// directory that some of them name. The directory is removed when the value is dropped.
///
/// Existing files are not changed, so that a client that reads a login in the home directory first
/// still finds it, unless [`with_clean_home`](Self::with_clean_home) is used.
///
/// ```no_run
/// use std::process::Command;
/// use ee_broker::{Broker, ClientEnvironment};
/// use ee_credentials::Environment;
///
/// # fn f(broker: &Broker) -> Result<(), Box<dyn std::error::Error>> {
/// let clients = ClientEnvironment::new(broker, &std::env::temp_dir(), &Environment::current())?;
/// let mut python = Command::new("python3");
/// clients.apply(&mut python);
/// python.arg("script.py").status()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ClientEnvironment {
    set: BTreeMap<&'static str, Value>,
    removed: Vec<&'static str>,
    dir: PrivateDir,
}

/// The value of a variable, which may contain the unguessable path.
#[derive(Clone)]
struct Value(OsString);

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl ClientEnvironment {
    /// Creates the environment and, in the calling thread, a private directory in `temp_dir`.
    /// `environment` is that of the program without the changes; proxies and existing header files
    /// are taken from it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] if the broker has no TCP address, and
    /// [`ErrorKind::PrivateDirectory`].
    pub fn new(broker: &Broker, temp_dir: &Path, environment: &Environment) -> Result<Self, Error> {
        let (Some(host), Some(url)) = (broker.metadata_host(), broker.token_url()) else {
            let why = "clients cannot find a broker without a TCP address";
            return Err(Error::new(ErrorKind::InvalidOptions, why));
        };
        let dir = PrivateDir::create(temp_dir)?;
        let mut this = Self {
            set: BTreeMap::new(),
            removed: [HIDDEN, &ACCESS_TOKENS, &CREDENTIALS].concat(),
            dir,
        };
        // The last is read by R's gargle.
        for name in [
            "GCE_METADATA_HOST",
            "GCE_METADATA_IP",
            "GCE_METADATA_ROOT",
            "GCE_METADATA_URL",
        ] {
            this.set(name, &host);
        }
        this.set("GCE_METADATA_MTLS_MODE", "none");
        this.set("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
        this.set("CLOUDSDK_CONFIG", this.dir.create_dir("gcloud")?);
        this.set("CPL_MACHINE_IS_GCE", "YES");
        this.set("CPL_GCE_CREDENTIALS_URL", url);
        if let Some(project) = broker.project() {
            for name in [
                "EARTHENGINE_PROJECT",
                "GOOGLE_CLOUD_PROJECT",
                "GOOGLE_CLOUD_QUOTA_PROJECT",
                // Node.js reads it before the others.
                "GCLOUD_PROJECT",
            ] {
                this.set(name, project);
            }
            const HEADERS: &str = "GDAL_HTTP_HEADER_FILE";
            if environment.var(HEADERS).is_none() {
                let line = format!("x-goog-user-project: {project}\n");
                this.set(HEADERS, this.dir.create_file("gdal-headers", &line)?);
            }
        }
        this.bypass_proxies(environment);
        Ok(this)
    }

    /// Gives programs an empty home directory in the private directory, so that they cannot find any
    /// file in the user's.
    ///
    /// # Errors
    /// [`ErrorKind::PrivateDirectory`].
    pub fn with_clean_home(mut self) -> Result<Self, Error> {
        let home = self.dir.create_dir("home")?;
        for name in HOMES {
            self.set(name, &home);
        }
        self.removed.extend(HOME_DIRS);
        Ok(self)
    }

    fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.set.insert(name, Value(value.into()));
    }

    /// Adds the broker's address to the hosts that are reached without a proxy. Without a proxy,
    /// nothing is set, because on macOS the variable alone disables the system's proxies.
    fn bypass_proxies(&mut self, environment: &Environment) {
        if PROXIES.iter().all(|name| environment.var(name).is_none()) {
            return;
        }
        let known = NO_PROXY.iter().find_map(|name| environment.var(name));
        for name in NO_PROXY {
            match environment.var(name).or(known) {
                Some("*") => self.set(name, "*"),
                Some(hosts) => self.set(name, format!("{hosts},127.0.0.1,::1")),
                None => self.set(name, "127.0.0.1,::1"),
            }
        }
    }

    /// Returns the variables to set. The values may contain the broker's unguessable path.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.set.iter().map(|(name, value)| (*name, &*value.0))
    }

    /// Returns the names of the variables to remove.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removed.iter().copied()
    }

    /// Sets and removes the variables for a command.
    pub fn apply(&self, command: &mut Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        for (name, value) in self.variables() {
            command.env(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
