//! Validating the URLs in credential files, to which secrets are sent.

use ee_token::internal::{UrlField, UrlMatch, is_link_local, is_loopback};
use ee_token::{Endpoint, Endpoints, Remedy};
use url::Url;

use crate::input::location::{DOWNLOAD_AGAIN, Location};
use crate::input::quote::clipped;
use crate::input::shell::is_plain_word;
use crate::{CredentialOptions, Error, ErrorKind};

/// Characters of the longest DNS name (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 253;
/// Google's page about credential files from other sources.
pub(crate) const EXTERNAL_FILES_PAGE: &str =
    "https://cloud.google.com/docs/authentication/external/externally-sourced-credentials";

/// Validates a URL in a credential file: one that [`UrlField`] lists, or HTTPS to a host that the
/// caller allowed. Loopback must be allowed too, because other users of the machine can listen
/// there, but needs no HTTPS. If the caller's endpoints are on loopback, as in a test, all of
/// loopback is allowed.
///
/// With another host, the author of the file would receive a secret or a signed assertion.
pub(crate) fn check(
    url: &str,
    (name, field): (&str, UrlField),
    location: &Location,
    options: &CredentialOptions,
) -> Result<Url, Error> {
    let (url, host) = parse(url, name, location)?;
    let is_here = is_loopback(&url);
    if url.scheme() != "https" && !(is_here && url.scheme() == "http") {
        return Err(
            disallowed(location, name, &format!("names {host} without HTTPS"))
                .with_remedy(Remedy::new("Use an https:// URL.")),
        );
    }
    let is_test = is_here && is_on_this_machine(options.http.endpoints());
    if is_test
        || is_set(&url, field, options.http.endpoints())
        || is_allowed(&url, &options.allowed_hosts)
    {
        return Ok(url);
    }
    check_listed(&url, (name, field), location)?;
    Ok(url)
}

/// Parses a URL, and returns it with its host.
pub(crate) fn parse(url: &str, name: &str, location: &Location) -> Result<(Url, String), Error> {
    let url = Url::parse(url).map_err(|_| location.invalid_field(name, "is not a URL"))?;
    let Some(host) = url.host_str().map(str::to_owned) else {
        return Err(location.invalid_field(name, "is a URL without a host"));
    };
    if host.len() > LONGEST_HOST {
        return Err(location.invalid_field(name, "names a host whose name is too long"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = format!("names {host} with a user name or a password");
        return Err(disallowed(location, name, &why).with_remedy(Remedy::new(DOWNLOAD_AGAIN)));
    }
    Ok((url, host))
}

/// Validates a URL by the list of [`UrlField`] alone.
pub(crate) fn check_listed(
    url: &Url,
    (name, field): (&str, UrlField),
    location: &Location,
) -> Result<(), Error> {
    let host = with_port(url);
    let remedy = |text: &str| {
        let remedy = Remedy::new(format!(
            "Create the credential again, and use it unchanged. {text}"
        ));
        remedy.url(EXTERNAL_FILES_PAGE).command(allow_command(url))
    };
    match field.compare(url) {
        UrlMatch::Listed => Ok(()),
        UrlMatch::OtherHost => {
            let why = format!(
                "names {host}, which is not a host of {}. Nothing was sent",
                field.service()
            );
            Err(disallowed(location, name, &why).with_remedy(remedy(
                "If you trust this host with the credential, allow it: with .allow_host(…) in a program, or with --allow-host on the command line.",
            )))
        }
        UrlMatch::OtherPath => {
            let paths: Vec<_> = field.paths(url).collect();
            let query = match (url.query(), url.fragment()) {
                (None, None) => "",
                _ => " and a query or a fragment",
            };
            let why = format!(
                "names {host} with the path {:?}{query}, which is not {} of {}. Nothing was sent",
                clipped(url.path()),
                paths.join(" or "),
                field.service()
            );
            Err(location.invalid_field(name, why).with_remedy(remedy(
                "If you trust every path of this host, allow the host: with .allow_host(…) in a program, or with --allow-host on the command line.",
            )))
        }
    }
}

/// Returns the error for a field that names a disallowed host.
pub(crate) fn disallowed(location: &Location, name: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::DisallowedHost,
        format!("{location}: the field `{name}` {why}"),
    )
}

/// Whether the caller allowed the URL's host: as `HOST`, `HOST:PORT`, `https://HOST` or `http://HOST`,
/// the latter two with or without a port. Plain HTTP must be allowed with its scheme or port.
pub(crate) fn is_allowed(url: &Url, allowed: &[String]) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let is_encrypted = url.scheme() == "https" || is_loopback(url);
    allowed.iter().any(|allowed| {
        let allowed = allowed.trim();
        let (scheme, name) = match allowed.split_once("://") {
            Some((scheme, name)) => (Some(scheme), name.trim_end_matches('/')),
            None => (None, allowed),
        };
        let is_scheme = scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(url.scheme()));
        let is_host = name.eq_ignore_ascii_case(host) && (scheme.is_some() || is_encrypted);
        is_scheme && (is_host || name.eq_ignore_ascii_case(&format!("{host}:{port}")))
    })
}

/// Validates the scheme of a URL that returns a secret: HTTPS, or plain HTTP on this machine, on its
/// own link, or to a host that the caller allowed for it. `what` contains the URL.
pub(crate) fn check_scheme(url: &Url, what: &str, allowed: &[String]) -> Result<(), Error> {
    match url.scheme() {
        "https" => return Ok(()),
        "http" if is_loopback(url) || is_link_local(url) || is_allowed(url, allowed) => {
            return Ok(());
        }
        _ => {}
    }
    let host = with_port(url);
    let remedy = match url.scheme() {
        "http" => Remedy::new(
            "Use an https:// URL. If you trust the network between this machine and the host, as inside a cluster, allow plain HTTP to it: with .allow_host(…) in a program, or with --allow-host on the command line.",
        )
        .command(allow_command(url)),
        _ => Remedy::new("Use an https:// URL."),
    };
    let message = format!("{what} names {host} without HTTPS. Nothing was sent");
    Err(Error::new(ErrorKind::DisallowedHost, message).with_remedy(remedy))
}

/// Returns the URL's host, with its port if that is not the default one.
fn with_port(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    }
}

/// Returns the command that allows a URL's host, which may contain characters that a shell
/// interprets.
fn allow_command(url: &Url) -> String {
    let mut host = with_port(url);
    if url.scheme() == "http" && !is_loopback(url) {
        host = format!("http://{host}");
    }
    let shown = if is_plain_word(&host) { &host } else { "HOST" };
    format!("eectl --allow-host {shown} …")
}

/// Whether the caller set the field's endpoint to this URL.
fn is_set(url: &Url, field: UrlField, endpoints: &Endpoints) -> bool {
    let endpoint = match field {
        UrlField::TokenUri => Endpoint::Token,
        UrlField::TokenUrl => Endpoint::Sts,
        UrlField::Impersonation => Endpoint::IamCredentials,
        _ => return false,
    };
    let set = endpoints.url(endpoint);
    if set == Endpoints::google().url(endpoint) {
        return false;
    }
    url == set || set.path().ends_with('/') && url.as_str().starts_with(set.as_str())
}

/// Whether the endpoints are an emulator's or on loopback.
fn is_on_this_machine(endpoints: &Endpoints) -> bool {
    endpoints.emulator_address().is_some()
        || [Endpoint::Token, Endpoint::Sts, Endpoint::IamCredentials]
            .into_iter()
            .any(|endpoint| is_loopback(endpoints.url(endpoint)))
}

#[cfg(test)]
mod tests;
