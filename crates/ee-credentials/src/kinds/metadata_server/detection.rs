//! The detection of a metadata server.

use std::sync::Arc;
use std::time::Duration;

use ee_token::internal::Exchange;
use ee_token::{Endpoint, ErrorKind as Token, HttpClient, Remedy, RetryPolicy};
use http::StatusCode;
use tokio::runtime::Handle;
use tokio::time::timeout;
use url::Url;

use super::{
    DEFAULT, MetadataServer, ROOT, client_for, has_flavor, joined, metadata_request, token_path,
};
use crate::iam::account::is_account;
use crate::input::quote::clipped;
use crate::{CredentialOptions, Environment, Error, ErrorKind};

/// The address that detection uses, because resolving the name can take long.
pub(super) const ADDRESS: &str = "169.254.169.254";
/// How long detection takes at most, in seconds. A metadata server responds within milliseconds,
/// but that of a new container may still be starting.
const DETECTION_TIMEOUT: f64 = 0.8;
const CONTAINER_DETECTION_TIMEOUT: f64 = 3.0;
/// The metadata server of a new pod may take a while to start.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of [`detect`].
pub(crate) enum Detection {
    Server(Arc<MetadataServer>),
    NotFound(&'static str),
}

/// Detects a metadata server: the one that an environment variable names, one that responds, or one
/// that must exist because the firmware says that this is a Google Cloud machine.
///
/// On other machines this takes up to `GCE_METADATA_TIMEOUT` seconds, and no time with
/// `NO_GCE_CHECK=true`.
pub(crate) async fn detect(
    environment: &Environment,
    options: &CredentialOptions,
) -> Result<Detection, Error> {
    if environment.var("NO_GCE_CHECK") == Some("true") {
        return Ok(Detection::NotFound(
            "skipped because NO_GCE_CHECK=true is set",
        ));
    }
    refuse_mutual_tls(environment)?;
    let mut host = None;
    for variable in ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"] {
        if host.is_none() {
            host = environment.try_var(variable)?.map(|host| (variable, host));
        }
    }
    let address = environment.try_var("GCE_METADATA_IP")?;
    let usual = if environment.is_container_platform() {
        CONTAINER_DETECTION_TIMEOUT
    } else {
        DETECTION_TIMEOUT
    };
    let seconds = number(environment, "GCE_METADATA_TIMEOUT", usual, 300.0)?;
    let attempts = number(environment, "GCE_METADATA_DETECT_RETRIES", 3.0, 100.0)?;
    let is_google = environment.is_google_machine();
    let there = if host.is_some() && address.is_none() {
        // Configured explicitly, so a server that does not respond is an error.
        true
    } else if address.is_none() && !environment.probes_network() {
        return Ok(Detection::NotFound("skipped in this environment"));
    } else if is_google {
        true
    } else {
        if Handle::try_current().is_err() {
            return Err(ee_token::Error::new(
                Token::Runtime,
                "detecting a metadata server needs a tokio runtime",
            )
            .with_remedy(Remedy::new("Call from inside a tokio runtime."))
            .into());
        }
        let url = url("GCE_METADATA_IP", address.unwrap_or(ADDRESS), "")?;
        let ping = ping(&options.http, &url, attempts as u32);
        let answered = timeout(Duration::from_secs_f64(seconds), ping).await;
        answered.unwrap_or(false)
    };
    if !there {
        return Ok(Detection::NotFound("not running on Google Cloud"));
    }
    let max_elapsed = if is_google {
        STARTUP_TIMEOUT
    } else {
        STARTUP_TIMEOUT / 3
    };
    let retry = RetryPolicy {
        max_retries: 100,
        initial_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        max_elapsed,
    };
    let account = account(options)?;
    let scopes = options.scopes.clone().unwrap_or_default();
    let path = [ROOT, &token_path(&account, &scopes)].concat();
    let url = match host {
        Some((variable, host)) => url(variable, host, &path)?,
        None => joined(
            options.http.endpoints().url(Endpoint::MetadataServer),
            &path,
        )?,
    };
    let http = client_for(&options.http, &url);
    let server = MetadataServer::new(http, url, account, scopes, retry);
    Ok(Detection::Server(Arc::new(server)))
}

/// Rejects a setting that requires mutual TLS, before anything is sent over plain HTTP.
fn refuse_mutual_tls(environment: &Environment) -> Result<(), Error> {
    const VARIABLE: &str = "GCE_METADATA_MTLS_MODE";
    let why = match environment.try_var(VARIABLE)? {
        None | Some("default" | "none") => return Ok(()),
        Some("strict") => {
            "is strict, but mutual TLS to the metadata server is not supported. Nothing was sent"
                .to_owned()
        }
        Some(other) => format!(
            "is {:?}, but must be strict, default or none",
            clipped(other)
        ),
    };
    Err(Error::new(ErrorKind::InvalidEnvironment, format!("{VARIABLE} {why}")).with_remedy(
        Remedy::new("Unset it if plain HTTP to the metadata server is acceptable, or use other credentials.")
            .command(format!("unset {VARIABLE}")),
    ))
}

/// Returns the requested account, which becomes part of a path.
fn account(options: &CredentialOptions) -> Result<String, Error> {
    match options.service_account_email.as_deref().map(str::trim) {
        None | Some("" | DEFAULT) => Ok(DEFAULT.to_owned()),
        Some(email) if is_account(email) => Ok(email.to_owned()),
        Some(other) => Err(Error::new(
            ErrorKind::InvalidOptions,
            format!("{:?} is not the email address of a service account", clipped(other)),
        )
        .with_remedy(Remedy::new(
            "Use the email address of one of the machine's service accounts, or omit it for the default account.",
        ))),
    }
}

fn number(environment: &Environment, name: &str, default: f64, max: f64) -> Result<f64, Error> {
    let Some(text) = environment.try_var(name)? else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|n: &f64| *n >= 0.0 && *n <= max)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!(
                    "{name} is {:?}, but must be a number from 0 to {max}",
                    clipped(text)
                ),
            )
            .with_remedy(
                Remedy::new("Set it to a number, or unset it.").command(format!("unset {name}")),
            )
        })
}

pub(super) fn url(variable: &str, host: &str, path: &str) -> Result<Url, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidEnvironment,
            format!(
                "{variable} is {:?}, but must be HOST or HOST:PORT",
                clipped(host)
            ),
        )
        .with_remedy(
            Remedy::new("Set it to a host, or unset it.").command(format!("unset {variable}")),
        )
    };
    if host.contains(['/', '@', '?', '#']) {
        return Err(invalid());
    }
    Url::parse(&format!("http://{host}/{path}")).map_err(|_| invalid())
}

/// Returns whether a metadata server responds at this address.
async fn ping(http: &HttpClient, url: &Url, attempts: u32) -> bool {
    let http = client_for(http, url);
    for _ in 0..attempts.max(1) {
        match Exchange::new(&http).send(metadata_request(url)).await {
            Ok(received) => {
                return received.status == StatusCode::OK && has_flavor(&received.headers);
            }
            Err(error) => tracing::debug!(%error, "no metadata server"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
