//! What stands around a program before it sends anything: other hosts, a proxy, certificates.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ee_credentials::internal::without_blocking;
use ee_credentials::{Environment, Platform};
use ee_token::{Endpoints, Remedy, display_path};
use url::Url;

use crate::EarthEngineBuilder;
use crate::doctor::{Check, Report};

/// All certificates of the world are not a megabyte.
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
            None => "Google's own".to_owned(),
        },
    ));
    Some(endpoints)
}

/// The variables that name a proxy for HTTPS, in the order in which they count.
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
        Check::skipped(NAME, "the program brings its own connections")
    } else if let Some((variable, text)) = first(&PROXY) {
        match proxy_host(text) {
            Ok(host) => {
                let except = match first(&["NO_PROXY", "no_proxy"]) {
                    Some((variable, _)) => format!(", except for what {variable} names"),
                    None => String::new(),
                };
                Check::ok(NAME, format!("{host}, named by {variable}{except}"))
            }
            Err(why) => Check::warning(
                NAME,
                format!("{variable} is passed over: {why}"),
                Remedy::new("Write it as http://HOST:PORT, or unset it."),
            ),
        }
    } else if let Some((variable, _)) = first(&["HTTP_PROXY", "http_proxy"]) {
        Check::warning(
            NAME,
            format!("{variable} is set, and only counts for http: nothing here is sent by it"),
            Remedy::new("If the internet is reached through a proxy, name it in HTTPS_PROXY too."),
        )
    } else {
        Check::ok(NAME, "none")
    };
    report.add(check);
}

/// A proxy's host and port, and not the user and password that may stand there too.
fn proxy_host(text: &str) -> Result<String, &'static str> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let url = url.map_err(|_| "it is no URL")?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => Ok(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }),
        ("http" | "https", None) => Err("it names no host"),
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
        Check::skipped(NAME, "the program brings its own connections")
    } else if environment.os() != Platform::Linux {
        Check::ok(NAME, "those that this system trusts")
    } else {
        match authorities_of(environment).await {
            Ok(check) => check,
            Err(error) => Check::failed(NAME, &error.into()),
        }
    };
    report.add(check);
}

/// The certificate authorities that the variables name, or else the system's.
async fn authorities_of(environment: &Environment) -> Result<Check, ee_credentials::Error> {
    const NAME: &str = "certificates";
    if let Some(file) = environment.path_var("SSL_CERT_FILE")? {
        let path = display_path(&file);
        return Ok(match authorities_async(file).await {
            Ok(count) => Check::ok(NAME, format!("{count} in {path}, named by SSL_CERT_FILE")),
            Err(why) => Check::warning(
                NAME,
                format!("SSL_CERT_FILE names {path}, and {why}"),
                Remedy::new("Let it name a PEM file of certificate authorities, or unset it.")
                    .command("unset SSL_CERT_FILE"),
            ),
        });
    }
    if let Some(path) = environment.path_var("SSL_CERT_DIR")? {
        let path = display_path(&path);
        return Ok(Check::ok(
            NAME,
            format!("those in {path}, named by SSL_CERT_DIR"),
        ));
    }
    for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        if let Some(path) = environment.path_var(name)? {
            let path = display_path(&path);
            return Ok(Check::warning(
                NAME,
                format!("{name} names {path}, and has no meaning here: those that this system trusts count"),
                Remedy::new("If your organisation has a certificate authority of its own, name it in SSL_CERT_FILE.")
                    .command(format!("export SSL_CERT_FILE=\"${name}\"")),
            ));
        }
    }
    Ok(Check::ok(NAME, "those that this system trusts"))
}

async fn authorities_async(file: PathBuf) -> Result<usize, String> {
    let counted = without_blocking(Some(file.clone()), move || Ok(authorities(&file)));
    let silent = |_| Err("its file system does not respond".to_owned());
    counted.await.unwrap_or_else(silent)
}

/// How many certificates a PEM file has.
fn authorities(path: &Path) -> Result<usize, String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        return Err("that is no file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CERTIFICATES).read_to_end(&mut bytes))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    match text.matches("-----BEGIN CERTIFICATE-----").count() {
        0 => Err("there is no certificate in it".to_owned()),
        count => Ok(count),
    }
}
