//! Validating the URLs in credential files, to which secrets are sent.

use ee_token::internal::{UrlField, UrlMatch, is_loopback};
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
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let remedy = |text: &str| {
        // A host may contain characters that a shell interprets.
        let shown = if is_plain_word(&host) { &host } else { "HOST" };
        let remedy = Remedy::new(format!(
            "Create the credential again, and use it unchanged. {text}"
        ));
        let remedy = remedy.url(EXTERNAL_FILES_PAGE);
        match field {
            UrlField::AwsMetadata => remedy,
            _ => remedy.command(format!("eectl --allow-host {shown} …")),
        }
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

/// Whether the caller allowed the URL's host, as `HOST` or `HOST:PORT`.
pub(crate) fn is_allowed(url: &Url, allowed: &[String]) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    allowed.iter().any(|allowed| {
        let allowed = allowed.trim();
        allowed.eq_ignore_ascii_case(host)
            || allowed.eq_ignore_ascii_case(&format!("{host}:{port}"))
    })
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
