//! The checks of the hosts, the proxy and the certificates, before anything is sent.

use ee_credentials::internal::{network_settings, without_blocking};
use ee_credentials::{Environment, Platform};
use ee_token::{Endpoints, Remedy};

use crate::EarthEngineBuilder;
use crate::doctor::{Check, Report};

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

pub(super) fn proxy(
    builder: &EarthEngineBuilder,
    environment: &Environment,
    report: &mut Report<impl FnMut(&Check)>,
) {
    const NAME: &str = "proxy";
    let settings = network_settings(environment);
    let check = if builder.has_own_http_client() {
        Check::skipped(NAME, "the program uses its own HTTP client")
    } else {
        match (settings.https_proxy(), settings.http_proxy()) {
            (Err(error), _) | (_, Err(error)) => Check::failed(NAME, &error.into()),
            (Ok(Some(proxy)), _) => Check::ok(NAME, proxy.to_string()),
            (Ok(None), Ok(Some(proxy))) => Check::warning(
                NAME,
                format!(
                    "{} is set, but applies only to http; all requests here use https",
                    proxy.variable
                ),
                Remedy::new("If this network requires a proxy, set HTTPS_PROXY too."),
            ),
            (Ok(None), Ok(None)) => Check::ok(NAME, "none"),
        }
    };
    report.add(check);
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
        match authorities(environment).await {
            Ok(check) => check,
            Err(error) => Check::failed(NAME, &error.into()),
        }
    };
    report.add(check);
}

/// Checks the certificate authorities that the variables name, or else the system's.
async fn authorities(environment: &Environment) -> Result<Check, ee_credentials::Error> {
    const NAME: &str = "certificates";
    environment.check_certificate_paths()?;
    let settings = network_settings(environment);
    let other_bundle = settings.other_bundle.clone();
    let load = move || Ok(settings.authorities()?);
    let found = without_blocking(None, load).await?;
    if let Some(error) = found.unusable {
        return Ok(Check::warning(
            NAME,
            error.to_string(),
            error.remedy().clone(),
        ));
    }
    let count = found.certificates.len();
    if let Some(variable) = found.variable {
        let places: Vec<_> = found.places.iter().map(ToString::to_string).collect();
        let places = places.join(", ");
        return Ok(Check::ok(
            NAME,
            format!("{count} in {places}, from {variable}"),
        ));
    }
    Ok(match other_bundle {
        Some((name, path)) => Check::warning(
            NAME,
            format!("{name} names {path}, but is ignored: the system's certificates are used"),
            Remedy::new(
                "If your organization has its own certificate authority, set SSL_CERT_FILE.",
            )
            .command(format!("export SSL_CERT_FILE=\"${name}\"")),
        ),
        None => Check::ok(NAME, "the system's"),
    })
}

#[cfg(test)]
mod tests;
