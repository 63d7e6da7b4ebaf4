//! The checks of the hosts, the proxy and the certificates, before anything is sent.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ee_credentials::internal::without_blocking;
use ee_credentials::{Environment, Platform};
use ee_token::internal::display_path;
use ee_token::{Endpoints, Remedy};
use url::Url;

use crate::EarthEngineBuilder;
use crate::doctor::{Check, Report};

/// Far larger than any bundle of certificate authorities.
const MAX_CERTIFICATES: u64 = 16 << 20;

pub(super) fn hosts(
    builder: &EarthEngineBuilder,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) -> Option<Endpoints> {
    let endpoints = match builder.hosts(environment) {
        Ok(endpoints) => endpoints,
        Err(error) => {
            report.add(Check::failed("hosts", &error));
            return None;
        }
    };
    report.add(Check::ok(
        "hosts",
        match endpoints.emulator_address() {
            Some(address) if environment.emulator().ok().flatten() == Some(address) => {
                format!("the emulator at {address} (EARTHENGINE_EMULATOR_HOST), not Google")
            }
            Some(address) => format!("the emulator at {address}, not Google"),
            None => "Google's".to_owned(),
        },
    ));
    Some(endpoints)
}

/// The variables that name a proxy for HTTPS, in order of precedence.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

pub(super) fn proxy(
    builder: &EarthEngineBuilder,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) {
    const NAME: &str = "proxy";
    let first = |names: &[&'static str]| {
        names
            .iter()
            .find_map(|name| Some((*name, environment.var(name)?)))
    };
    let check = if builder.has_own_http_client() {
        Check::skipped(NAME, "the program uses its own HTTP client")
    } else if let Some((variable, text)) = first(&PROXY) {
        match proxy_host(text) {
            Ok(host) => {
                let except = match first(&["NO_PROXY", "no_proxy"]) {
                    Some((variable, _)) => format!(", except for the hosts in {variable}"),
                    None => String::new(),
                };
                Check::ok(NAME, format!("{host}, from {variable}{except}"))
            }
            Err(why) => Check::warning(
                NAME,
                format!("{variable} is ignored: {why}"),
                Remedy::new("Set it to http://HOST:PORT, or unset it."),
            ),
        }
    } else if let Some((variable, _)) = first(&["HTTP_PROXY", "http_proxy"]) {
        Check::warning(
            NAME,
            format!("{variable} is set, but applies only to http; all requests here use https"),
            Remedy::new("If this network requires a proxy, set HTTPS_PROXY too."),
        )
    } else {
        Check::ok(NAME, "none")
    };
    report.add(check);
}

/// Returns a proxy's host and port, without the user name and password.
fn proxy_host(text: &str) -> Result<String, &'static str> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let url = url.map_err(|_| "it is not a URL")?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => Ok(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }),
        ("http" | "https", None) => Err("it has no host"),
        _ => Err("only http and https proxies are supported"),
    }
}

pub(super) async fn certificates(
    builder: &EarthEngineBuilder,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) {
    const NAME: &str = "certificates";
    let check = if builder.has_own_http_client() {
        Check::skipped(NAME, "the program uses its own HTTP client")
    } else if environment.os() != Platform::Linux {
        Check::ok(NAME, "the system's")
    } else {
        match authorities_of(environment).await {
            Ok(check) => check,
            Err(error) => Check::failed(NAME, &error.into()),
        }
    };
    report.add(check);
}

/// Checks the certificate authorities that the variables name, or else the system's.
async fn authorities_of(environment: &Environment) -> Result<Check, ee_credentials::Error> {
    const NAME: &str = "certificates";
    if let Some(file) = environment.path_var("SSL_CERT_FILE")? {
        let path = display_path(&file);
        return Ok(match authorities_async(file).await {
            Ok(count) => Check::ok(NAME, format!("{count} in {path}, from SSL_CERT_FILE")),
            Err(why) => Check::warning(
                NAME,
                format!("SSL_CERT_FILE names {path}, but {why}"),
                Remedy::new("Set it to a PEM file of certificate authorities, or unset it.")
                    .command("unset SSL_CERT_FILE"),
            ),
        });
    }
    if let Some(path) = environment.path_var("SSL_CERT_DIR")? {
        let path = display_path(&path);
        return Ok(Check::ok(
            NAME,
            format!("those in {path}, from SSL_CERT_DIR"),
        ));
    }
    for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        if let Some(path) = environment.path_var(name)? {
            let path = display_path(&path);
            return Ok(Check::warning(
                NAME,
                format!("{name} names {path}, but is ignored: the system's certificates are used"),
                Remedy::new(
                    "If your organization has its own certificate authority, set SSL_CERT_FILE.",
                )
                .command(format!("export SSL_CERT_FILE=\"${name}\"")),
            ));
        }
    }
    Ok(Check::ok(NAME, "the system's"))
}

async fn authorities_async(file: PathBuf) -> Result<usize, String> {
    let counted = without_blocking(Some(file.clone()), move || Ok(authorities(&file)));
    let silent = |_| Err("its file system does not respond".to_owned());
    counted.await.unwrap_or_else(silent)
}

/// Returns the number of certificates in a PEM file.
fn authorities(path: &Path) -> Result<usize, String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CERTIFICATES).read_to_end(&mut bytes))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    match text.matches("-----BEGIN CERTIFICATE-----").count() {
        0 => Err("it contains no certificate".to_owned()),
        count => Ok(count),
    }
}
