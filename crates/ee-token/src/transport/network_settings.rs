//! The proxies and certificate authorities that environment variables name: one reading of them for
//! every client and for diagnosis. A blank variable counts as unset.
#![allow(missing_docs, reason = "internal to the crates of this project")]

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use reqwest::{ClientBuilder, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use url::Url;
use zeroize::Zeroizing;

use crate::secret::printable_path::PrintablePath;
use crate::{Error, ErrorKind, Remedy};

/// The variables of a proxy for HTTPS and for HTTP, in order of precedence.
const HTTPS_PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP_PROXY: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Variables of other programs that name certificate authorities.
const OTHER_BUNDLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
const FILE: &str = "SSL_CERT_FILE";
const DIR: &str = "SSL_CERT_DIR";

/// The settings in the variables, as they are set.
#[derive(Clone)]
pub struct NetworkSettings {
    https_proxy: Option<Variable>,
    http_proxy: Option<Variable>,
    no_proxy: Option<Variable>,
    file: Option<PrintablePath>,
    dirs: Vec<PrintablePath>,
    /// The variable for another program's certificates that is set, if any: `REQUESTS_CA_BUNDLE` or
    /// `CURL_CA_BUNDLE`.
    pub other_bundle: Option<(&'static str, PrintablePath)>,
}

/// A variable that is set. The value may contain a password.
#[derive(Clone)]
struct Variable {
    name: &'static str,
    value: Zeroizing<String>,
}

/// A proxy that can be used. `Display` shows it without its user and password.
#[derive(Clone)]
pub struct ProxySetting {
    /// The variable that names it.
    pub variable: &'static str,
    /// The variable that lists the hosts that are reached without it.
    pub except: Option<&'static str>,
    /// The host and port, with the scheme unless it is HTTP.
    address: String,
    is_socks: bool,
    url: Zeroizing<String>,
}

/// Certificate authorities that were loaded.
#[derive(Debug, Default)]
pub struct Authorities {
    pub certificates: Vec<CertificateDer<'static>>,
    /// The variable that names them. `None` for the system's.
    pub variable: Option<&'static str>,
    /// Where they were found.
    pub places: Vec<PrintablePath>,
    /// The problem of a variable that is not needed, because another one has authorities.
    pub unusable: Option<Error>,
}

impl NetworkSettings {
    /// Reads the variables.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &'static str| {
            let value = var(name)?;
            // Text that is not UTF-8 stays invalid as a URL.
            let value = value.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then(|| Variable {
                name,
                value: value.into(),
            })
        };
        let first = |names: &[&'static str]| names.iter().find_map(|name| set(name));
        // In a CGI program, HTTP_PROXY may be a request's header `Proxy` (CVE-2016-5385).
        let is_cgi = var("REQUEST_METHOD").is_some();
        let proxy = |names: &[&'static str]| if is_cgi { None } else { first(names) };
        let path = |name: &str| {
            let value = var(name)?;
            let is_blank = value.to_str().is_some_and(|text| text.trim().is_empty());
            (!is_blank).then_some(value)
        };
        let dirs = path(DIR).map(|dirs| std::env::split_paths(&dirs).collect::<Vec<_>>());
        let other = |name: &'static str| Some((name, PathBuf::from(path(name)?).into()));
        Self {
            https_proxy: proxy(&HTTPS_PROXY),
            http_proxy: proxy(&HTTP_PROXY),
            no_proxy: proxy(&NO_PROXY),
            file: path(FILE).map(|file| PathBuf::from(file).into()),
            dirs: dirs
                .into_iter()
                .flatten()
                .filter(|dir| !dir.as_os_str().is_empty())
                .map(PrintablePath::from)
                .collect(),
            other_bundle: OTHER_BUNDLES.iter().find_map(|name| other(name)),
        }
    }

    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var_os(name))
    }

    /// Returns the proxy of HTTPS requests.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if its variable cannot be used. The message names the
    /// variable and does not contain its value.
    pub fn https_proxy(&self) -> Result<Option<ProxySetting>, Error> {
        self.proxy(self.https_proxy.as_ref())
    }

    /// Returns the proxy of plain HTTP requests.
    ///
    /// # Errors
    /// As [`NetworkSettings::https_proxy`].
    pub fn http_proxy(&self) -> Result<Option<ProxySetting>, Error> {
        self.proxy(self.http_proxy.as_ref())
    }

    fn proxy(&self, variable: Option<&Variable>) -> Result<Option<ProxySetting>, Error> {
        let Some(Variable { name, value }) = variable else {
            return Ok(None);
        };
        let address = parse_proxy(value).map_err(|unusable| unusable.in_variable(name))?;
        let is_socks = address.scheme.starts_with("socks");
        if is_socks && !cfg!(feature = "socks") {
            return Err(Unusable::SocksFeature.in_variable(name));
        }
        let shown = match address.scheme.as_str() {
            "http" => address.host_and_port,
            scheme => format!("{scheme}://{}", address.host_and_port),
        };
        Ok(Some(ProxySetting {
            variable: name,
            except: self.no_proxy.as_ref().map(|variable| variable.name),
            address: shown,
            is_socks,
            url: address.url,
        }))
    }

    /// Returns whether a variable names certificate authorities.
    pub fn names_authorities(&self) -> bool {
        self.file.is_some() || !self.dirs.is_empty()
    }

    /// Sets the proxies of a client. Without any, the client keeps its own.
    pub(crate) fn set_proxies(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, Error> {
        let exceptions = self.no_proxy.as_ref();
        let exceptions = exceptions.and_then(|variable| NoProxy::from_string(&variable.value));
        for (setting, is_https) in [(self.https_proxy()?, true), (self.http_proxy()?, false)] {
            if let Some(setting) = setting {
                let url = setting.url.as_str();
                let proxy = if is_https {
                    Proxy::https(url)
                } else {
                    Proxy::http(url)
                };
                let proxy = proxy.map_err(|_| Unusable::Form.in_variable(setting.variable))?;
                builder = builder.proxy(proxy.no_proxy(exceptions.clone()));
            }
        }
        Ok(builder)
    }

    /// The system's verifier has its own authorities.
    ///
    /// # Errors
    /// None.
    #[cfg(not(all(unix, not(target_vendor = "apple"), not(target_os = "android"))))]
    pub fn authorities(&self) -> Result<Authorities, Error> {
        Ok(Authorities::default())
    }

    /// Loads the certificate authorities that the variables name, or else the system's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if there are none. The message names the variable and the
    /// file.
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    pub fn authorities(&self) -> Result<Authorities, Error> {
        let mut unusable = None;
        let mut found = Authorities::default();
        if let Some(file) = &self.file {
            let loaded = load(Some(file), &[]);
            match problem(&loaded, file) {
                // Who names a file wants its authorities and no others.
                Some(why) => return Err(invalid_authorities(FILE, &why)),
                None => found.add(FILE, loaded, std::slice::from_ref(file)),
            }
        }
        if !self.dirs.is_empty() {
            let loaded = load(None, &self.dirs);
            match problem(&loaded, &self.dirs[0]) {
                Some(why) => unusable = Some(invalid_authorities(DIR, &why)),
                None => found.add(DIR, loaded, &self.dirs),
            }
        }
        match (found.variable, unusable) {
            (Some(_), unusable) => return Ok(Authorities { unusable, ..found }),
            (None, Some(error)) => return Err(error),
            (None, None) => {}
        }
        let places = openssl_probe::probe();
        let dirs: Vec<_> = places
            .cert_dir
            .into_iter()
            .map(PrintablePath::from)
            .collect();
        let loaded = load(places.cert_file.map(PrintablePath::from).as_ref(), &dirs);
        if loaded.certs.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidEnvironment,
                "this system has no certificate authorities, so no server can be verified",
            )
            .with_remedy(Remedy::new(
                "Install the package ca-certificates, or set SSL_CERT_FILE to a file of certificate authorities.",
            )));
        }
        found.extend(loaded.certs);
        Ok(found)
    }

    /// The system's verifier has its own authorities.
    #[cfg(not(all(unix, not(target_vendor = "apple"), not(target_os = "android"))))]
    pub(crate) fn authorities_of_file(&self) -> Option<Vec<CertificateDer<'static>>> {
        None
    }

    /// Loads those [`authorities`](Self::authorities) that are in one file, if there are any.
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    pub(crate) fn authorities_of_file(&self) -> Option<Vec<CertificateDer<'static>>> {
        let of_system = || openssl_probe::probe().cert_file.map(PrintablePath::from);
        let file = match &self.file {
            Some(file) => Some(file.clone()),
            None if self.dirs.is_empty() => of_system(),
            None => None,
        };
        let certificates = load(Some(&file?), &[]).certs;
        (!certificates.is_empty()).then_some(certificates)
    }
}

#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
impl Authorities {
    fn add(
        &mut self,
        variable: &'static str,
        loaded: rustls_native_certs::CertificateResult,
        places: &[PrintablePath],
    ) {
        self.extend(loaded.certs);
        self.variable.get_or_insert(variable);
        self.places.extend_from_slice(places);
    }

    /// Adds certificates. Directories often have copies of those in a file or in each other.
    fn extend(&mut self, certificates: Vec<CertificateDer<'static>>) {
        self.certificates.extend(certificates);
        self.certificates.sort_unstable_by(|a, b| a.cmp(b));
        self.certificates.dedup();
    }
}

#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
fn load(
    file: Option<&PrintablePath>,
    dirs: &[PrintablePath],
) -> rustls_native_certs::CertificateResult {
    use rustls_native_certs::load_certs_from_paths;
    // Entries of the first directory that are also in the file are read once.
    let first = dirs.first().map(PrintablePath::as_path);
    let mut loaded = load_certs_from_paths(file.map(PrintablePath::as_path), first);
    for dir in dirs.iter().skip(1) {
        let more = load_certs_from_paths(None, Some(dir));
        loaded.certs.extend(more.certs);
        loaded.errors.extend(more.errors);
    }
    loaded
}

/// Returns why no certificate was loaded, or `None`.
#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
fn problem(
    loaded: &rustls_native_certs::CertificateResult,
    path: &PrintablePath,
) -> Option<String> {
    use std::io::ErrorKind as Io;
    if !loaded.certs.is_empty() {
        return None;
    }
    let io = loaded.errors.iter().find_map(|error| match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, .. } => Some(inner.kind()),
        _ => None,
    });
    Some(match io {
        Some(Io::NotFound) => format!("{path} does not exist"),
        Some(Io::PermissionDenied) => format!("{path} cannot be read: permission denied"),
        Some(Io::IsADirectory) => format!("{path} is a directory"),
        Some(Io::NotADirectory) => format!("{path} is not a directory"),
        Some(kind) => format!("{path} cannot be read: {kind}"),
        None => format!("{path} contains no certificate in PEM"),
    })
}

fn invalid_authorities(variable: &str, why: &str) -> Error {
    let right = match variable {
        FILE => "a PEM file of certificate authorities",
        _ => "a directory with certificate authorities in PEM files",
    };
    Error::new(
        ErrorKind::InvalidEnvironment,
        format!("the certificate authorities in {variable} cannot be loaded: {why}"),
    )
    .with_remedy(Remedy::new(format!(
        "Set {variable} to {right}, or unset it to use the system's."
    )))
}

impl ProxySetting {
    /// Returns the remedy of a connection that this proxy refuses.
    pub(crate) fn remedy(&self) -> Remedy {
        let Self {
            address, variable, ..
        } = self;
        let what = if self.is_socks {
            "SOCKS proxy"
        } else {
            "proxy"
        };
        Remedy::new(format!(
            "Check the {what} {address} from {variable}: that it runs, its address, user and password, and whether it allows this host. Hosts in NO_PROXY are reached without a proxy."
        ))
    }
}

impl fmt::Display for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, from {}", self.address, self.variable)?;
        match self.except {
            Some(except) => write!(f, ", except for the hosts in {except}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows no value: a proxy's may be a password.
impl fmt::Debug for NetworkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |variable: &Option<Variable>| variable.as_ref().map(|variable| variable.name);
        f.debug_struct("NetworkSettings")
            .field("https_proxy", &name(&self.https_proxy))
            .field("http_proxy", &name(&self.http_proxy))
            .field("no_proxy", &name(&self.no_proxy))
            .field("file", &self.file)
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

/// Why the value of a proxy variable cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unusable {
    /// Not a URL, or without a host.
    Form,
    Quotes,
    Scheme,
    Port,
    Host,
    /// An IPv6 address without brackets.
    Brackets,
    /// A user name or password with a character that ends it.
    Encoding,
    /// The URL of a script that chooses proxies.
    Script,
    SocksFeature,
}

impl Unusable {
    fn in_variable(self, name: &str) -> Error {
        let form = format!("Set {name} to http://HOST:PORT, or unset it.");
        let (why, remedy) = match self {
            Self::Form => ("it is not the URL of a proxy", Remedy::new(form)),
            Self::Quotes => (
                "the quotes are part of the value",
                Remedy::new(format!("Set {name} without quotes around the URL.")),
            ),
            Self::Scheme => (
                "its scheme is not http, https, socks5 or socks5h",
                Remedy::new(format!(
                    "Set {name} to http://HOST:PORT for an HTTP proxy, or to socks5h://HOST:PORT for a SOCKS proxy."
                )),
            ),
            Self::Port => ("its port is not a number from 1 to 65535", Remedy::new(form)),
            Self::Host => (
                "its host contains characters that a host name cannot have",
                Remedy::new(form),
            ),
            Self::Brackets => (
                "its IPv6 address is not in brackets",
                Remedy::new(format!("Set {name} to http://[ADDRESS]:PORT.")),
            ),
            Self::Encoding => (
                "its user name or password contains a character that ends it in a URL",
                Remedy::new(format!(
                    "Percent-encode the user name and the password in {name}: \\ as %5C, / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, % as %25, a space as %20."
                ))
                .command("python3 -c 'import getpass, urllib.parse; print(urllib.parse.quote(getpass.getpass(), safe=\"\"))'"),
            ),
            Self::Script => (
                "it is the URL of a script that chooses proxies (PAC), which is not supported",
                Remedy::new(format!(
                    "Open the script, and set {name} to the proxy that it returns for googleapis.com."
                )),
            ),
            Self::SocksFeature => (
                "it names a SOCKS proxy, and this program was built without support for them",
                Remedy::new(format!(
                    "Build the program with the feature `socks` of the crate earthengine, or set {name} to an HTTP proxy."
                )),
            ),
        };
        let message = format!("the proxy in {name} cannot be used: {why}");
        Error::new(ErrorKind::InvalidEnvironment, message).with_remedy(remedy)
    }
}

/// The parts of a proxy's URL.
struct ProxyAddress {
    scheme: String,
    host_and_port: String,
    /// Without a path.
    url: Zeroizing<String>,
}

/// Parses `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/]`. Stricter than a URL parser, which reads a
/// part of an unencoded password as the host.
fn parse_proxy(text: &str) -> Result<ProxyAddress, Unusable> {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Err(Unusable::Quotes);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    let ends_authority = ['/', '\\', '?', '#'];
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    match scheme.as_str() {
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" => {}
        // A user name may contain `://` only if it is not encoded.
        _ if scheme.contains('@') => return Err(Unusable::Encoding),
        _ => return Err(Unusable::Scheme),
    }
    if user.is_some_and(|user| user.contains(ends_authority) || user.contains(char::is_whitespace))
    {
        return Err(Unusable::Encoding);
    }
    let end = rest.find(ends_authority).unwrap_or(rest.len());
    let (host_and_port, path) = rest.split_at(end);
    let script = path.to_ascii_lowercase();
    if script.contains(".pac") || script.contains("wpad.dat") {
        return Err(Unusable::Script);
    }
    check_host_and_port(host_and_port)?;
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let url = Zeroizing::new(format!("{scheme}://{user}{host_and_port}"));
    match Url::parse(&url) {
        Ok(parsed) if parsed.host_str().is_some() => Ok(ProxyAddress {
            scheme,
            host_and_port: host_and_port.to_owned(),
            url,
        }),
        _ => Err(Unusable::Form),
    }
}

fn check_host_and_port(text: &str) -> Result<(), Unusable> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(Unusable::Host)?;
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(Unusable::Port),
            };
            (is_address.then_some(address), port)
        }
        None if text.matches(':').count() > 1 => return Err(Unusable::Brackets),
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let host = host.ok_or(Unusable::Host)?;
    let is_name = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    if host.is_empty() {
        return Err(Unusable::Form);
    }
    if !host.chars().all(is_name) {
        return Err(Unusable::Host);
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => Err(Unusable::Port),
    }
}

#[cfg(test)]
mod tests;
