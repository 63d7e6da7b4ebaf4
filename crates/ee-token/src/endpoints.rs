//! Every Google host that these crates talk to, in one place.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use url::{Host, Url};

use crate::{Error, ErrorKind, Remedy};

/// `aud` of every assertion that a service account signs, whatever host it is sent to.
pub const TOKEN_AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// The base URL of every service, and whether an emulator stands in for all of them.
///
/// ```
/// use ee_token::Endpoints;
///
/// let endpoints = Endpoints::emulator("127.0.0.1:8090".parse()?)?;
/// let url = endpoints.resolve(&"https://oauth2.googleapis.com/token".parse()?)?;
/// assert_eq!(url.as_str(), "http://127.0.0.1:8090/oauth2.googleapis.com/token");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoints {
    /// Earth Engine's REST API, without the version.
    pub earth_engine: Url,
    /// Earth Engine's endpoint for many small requests at once.
    pub earth_engine_high_volume: Url,
    /// Where tokens are asked for.
    pub token: Url,
    /// Where it can be asked what a token is good for.
    pub token_info: Url,
    /// Where a grant is given back.
    pub revoke: Url,
    /// Google's consent page.
    pub consent: Url,
    /// The Code Editor's page for logging in from a notebook.
    pub notebook: Url,
    /// The Security Token Service, for federation.
    pub sts: Url,
    /// IAM credentials, for impersonation.
    pub iam_credentials: Url,
    /// The Resource Manager, which lists a person's projects.
    pub resource_manager: Url,
    /// Service Usage, which knows what a project has enabled.
    pub service_usage: Url,
    /// The metadata server of Compute Engine and its relatives.
    pub metadata: Url,
    emulator: Option<SocketAddr>,
}

/// Google's own, parsed once.
static GOOGLE: LazyLock<Endpoints> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // constants, and parsed by a test
    let url = |text: &str| Url::parse(text).expect("a constant URL");
    Endpoints {
        earth_engine: url("https://earthengine.googleapis.com/"),
        earth_engine_high_volume: url("https://earthengine-highvolume.googleapis.com/"),
        token: url(TOKEN_AUDIENCE),
        token_info: url("https://oauth2.googleapis.com/tokeninfo"),
        revoke: url("https://oauth2.googleapis.com/revoke"),
        consent: url("https://accounts.google.com/o/oauth2/auth"),
        notebook: url("https://code.earthengine.google.com/client-auth"),
        sts: url("https://sts.googleapis.com/"),
        iam_credentials: url("https://iamcredentials.googleapis.com/"),
        resource_manager: url("https://cloudresourcemanager.googleapis.com/"),
        service_usage: url("https://serviceusage.googleapis.com/"),
        metadata: url("http://metadata.google.internal/"),
        emulator: None,
    }
});

impl Endpoints {
    /// Google's own.
    pub fn google() -> Self {
        GOOGLE.clone()
    }

    /// An emulator on loopback in the place of every host: `https://HOST/PATH` becomes
    /// `http://ADDRESS/HOST/PATH`.
    ///
    /// # Errors
    /// [`ErrorKind::RefusedUrl`] for an address that is not on loopback, since
    /// secrets would cross a network in clear text.
    pub fn emulator(address: SocketAddr) -> Result<Self, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::RefusedUrl,
                format!("the emulator's address {address} is not on this machine: secrets would cross the network in clear text"),
            )
            .with_remedy(Remedy::new(
                "Use a loopback address, such as 127.0.0.1:8090 or [::1]:8090.",
            )));
        }
        Ok(Self {
            emulator: Some(address),
            ..Self::google()
        })
    }

    /// The emulator's address, if one stands in for Google.
    pub fn emulator_address(&self) -> Option<SocketAddr> {
        self.emulator
    }

    /// The URL that is really called for this one: the emulator's, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::RefusedUrl`] for anything but HTTPS, except on loopback and to the
    /// metadata server itself.
    pub fn resolve(&self, url: &Url) -> Result<Url, Error> {
        if is_loopback(url) && matches!(url.scheme(), "http" | "https") {
            return Ok(url.clone());
        }
        let metadata = url.host() == self.metadata.host();
        if url.scheme() != "https" && !(url.scheme() == "http" && metadata) {
            return Err(refused(url, "it is not HTTPS"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(url, "it carries a user name or a password"));
        }
        let (Some(emulator), Some(host)) = (self.emulator, url.host_str()) else {
            return Ok(url.clone());
        };
        let mut text = format!("http://{emulator}/{host}{}", url.path());
        if let Some(query) = url.query() {
            text.push('?');
            text.push_str(query);
        }
        Url::parse(&text).map_err(|_| refused(url, "it cannot be sent to the emulator"))
    }

    /// Whether requests to this URL must go straight there, past any proxy.
    pub(crate) fn is_direct(&self, url: &Url) -> bool {
        is_loopback(url) || url.host() == self.metadata.host()
    }
}

impl Default for Endpoints {
    fn default() -> Self {
        Self::google()
    }
}

/// Whether the URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

fn refused(url: &Url, why: &str) -> Error {
    // The host alone: a path or a query could hold a secret.
    let host = url.host_str().unwrap_or("no host");
    Error::new(
        ErrorKind::RefusedUrl,
        format!(
            "refused to send a request to {host} ({} URL): {why}",
            url.scheme()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(endpoints: &Endpoints, url: &str) -> Result<String, ErrorKind> {
        endpoints
            .resolve(&url.parse().unwrap())
            .map(String::from)
            .map_err(|e| e.kind())
    }

    #[test]
    fn the_emulator_takes_the_place_of_every_host() {
        let endpoints = Endpoints::emulator("127.0.0.1:9".parse().unwrap()).unwrap();
        for (url, real) in [
            (
                "https://sts.googleapis.com/v1/token?a=b%20c",
                "http://127.0.0.1:9/sts.googleapis.com/v1/token?a=b%20c",
            ),
            (
                "http://metadata.google.internal/x",
                "http://127.0.0.1:9/metadata.google.internal/x",
            ),
            (
                "https://anything.example/",
                "http://127.0.0.1:9/anything.example/",
            ),
            (
                "http://127.0.0.1:7/left/alone",
                "http://127.0.0.1:7/left/alone",
            ),
        ] {
            assert_eq!(resolve(&endpoints, url).as_deref(), Ok(real));
        }
    }

    #[test]
    fn an_emulator_elsewhere_is_refused() {
        let error = Endpoints::emulator("10.0.0.1:80".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RefusedUrl);
    }

    #[test]
    fn clear_text_is_refused_except_on_loopback_and_to_the_metadata_server() {
        let google = Endpoints::google();
        assert_eq!(
            resolve(&google, "http://oauth2.googleapis.com/token"),
            Err(ErrorKind::RefusedUrl)
        );
        assert_eq!(
            resolve(&google, "ftp://127.0.0.1/"),
            Err(ErrorKind::RefusedUrl)
        );
        assert_eq!(
            resolve(&google, "https://user:pw@sts.googleapis.com/"),
            Err(ErrorKind::RefusedUrl)
        );
        assert!(resolve(&google, "http://metadata.google.internal/a").is_ok());
        assert!(resolve(&google, "http://[::1]:1/a").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn the_emulator_is_told_host_path_and_query_to_the_letter(
            host in "([a-z][a-z0-9-]{0,9}\\.){1,3}example|\\[2001:db8::[1-9]\\]",
            path in "(/[ -~]{0,9}){0,4}", query in proptest::option::of("[ -~é]{0,20}"), port in 1_u16..,
        ) {
            let mut url: Url = format!("https://{host}/").parse().unwrap();
            url.set_path(&path);
            url.set_query(query.as_deref());
            let emulator: SocketAddr = ([127, 0, 0, 1], port).into();
            let real = Endpoints::emulator(emulator).unwrap().resolve(&url).unwrap();
            assert_eq!(real.path(), format!("/{host}{}", url.path()));
            assert_eq!(real.query(), url.query());
            assert_eq!((real.scheme(), real.host_str()), ("http", Some("127.0.0.1")));
            assert_eq!(real.port_or_known_default(), Some(port));
            assert_eq!(Endpoints::google().resolve(&url).unwrap(), url);
        }
    }
}
