//! The Google hosts that these crates send requests to.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use url::{Host, Url};

use crate::transport::emulator::{Emulator, ListenerCheck};
use crate::{Error, ErrorKind, Remedy};

/// The audience (`aud`) of every assertion that a service account signs, whichever host it is sent to.
pub const JWT_BEARER_AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// A Google service that these crates send requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The Earth Engine REST API, without the version.
    EarthEngine,
    /// The Earth Engine endpoint for many small concurrent requests.
    EarthEngineHighVolume,
    /// The OAuth 2.0 token endpoint.
    Token,
    /// The tokeninfo endpoint.
    TokenInfo,
    /// The revocation endpoint (RFC 7009).
    Revocation,
    /// The authorization endpoint, which shows Google's consent page.
    Authorization,
    /// The Code Editor's page for notebook logins.
    NotebookAuth,
    /// The Security Token Service, for workload and workforce identity federation.
    Sts,
    /// The IAM Service Account Credentials API, for impersonation.
    IamCredentials,
    /// The Cloud Resource Manager API, which lists projects.
    ResourceManager,
    /// The Service Usage API, which lists the enabled APIs of a project.
    ServiceUsage,
    /// The metadata server of Compute Engine, GKE, Cloud Run and App Engine.
    MetadataServer,
}

impl Endpoint {
    const ALL: [Self; 12] = [
        Self::EarthEngine,
        Self::EarthEngineHighVolume,
        Self::Token,
        Self::TokenInfo,
        Self::Revocation,
        Self::Authorization,
        Self::NotebookAuth,
        Self::Sts,
        Self::IamCredentials,
        Self::ResourceManager,
        Self::ServiceUsage,
        Self::MetadataServer,
    ];

    fn google_text(self) -> &'static str {
        match self {
            Self::EarthEngine => "https://earthengine.googleapis.com/",
            Self::EarthEngineHighVolume => "https://earthengine-highvolume.googleapis.com/",
            Self::Token => JWT_BEARER_AUDIENCE,
            Self::TokenInfo => "https://oauth2.googleapis.com/tokeninfo",
            Self::Revocation => "https://oauth2.googleapis.com/revoke",
            Self::Authorization => "https://accounts.google.com/o/oauth2/auth",
            Self::NotebookAuth => "https://code.earthengine.google.com/client-auth",
            Self::Sts => "https://sts.googleapis.com/",
            Self::IamCredentials => "https://iamcredentials.googleapis.com/",
            Self::ResourceManager => "https://cloudresourcemanager.googleapis.com/",
            Self::ServiceUsage => "https://serviceusage.googleapis.com/",
            Self::MetadataServer => "http://metadata.google.internal/",
        }
    }

    /// Returns Google's URL. Parsed lazily, because short-lived programs need only two or three.
    fn google(self) -> &'static Url {
        static GOOGLE: [OnceLock<Url>; Endpoint::ALL.len()] =
            [const { OnceLock::new() }; Endpoint::ALL.len()];
        #[allow(clippy::expect_used)] // constants, and parsed by a test
        GOOGLE[self as usize]
            .get_or_init(|| Url::parse(self.google_text()).expect("a constant URL"))
    }
}

/// The URL of each [`Endpoint`], and the emulator if one is used. Cheap to clone.
///
/// ```
/// use ee_token::{Endpoint, Endpoints};
///
/// let endpoints = Endpoints::emulator("127.0.0.1:8090".parse()?)?;
/// let url = endpoints.resolve(endpoints.url(Endpoint::Token))?;
/// assert_eq!(url.as_str(), "http://127.0.0.1:8090/oauth2.googleapis.com/token");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The URLs that differ from Google's.
    moved: Option<Arc<BTreeMap<Endpoint, Url>>>,
    emulator: Option<Emulator>,
}

impl Endpoints {
    /// Returns Google's endpoints.
    pub fn google() -> Self {
        Self {
            moved: None,
            emulator: None,
        }
    }

    /// Sets the URL of one endpoint.
    ///
    /// ```
    /// use ee_token::{Endpoint, Endpoints};
    ///
    /// let own = "https://sts.example.com/".parse()?;
    /// let endpoints = Endpoints::google().with_url(Endpoint::Sts, own);
    /// assert_eq!(endpoints.url(Endpoint::Sts).as_str(), "https://sts.example.com/");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_url(mut self, endpoint: Endpoint, url: Url) -> Self {
        Arc::make_mut(self.moved.get_or_insert_default()).insert(endpoint, url);
        self
    }

    /// Returns the URL of an endpoint.
    pub fn url(&self, endpoint: Endpoint) -> &Url {
        let moved = self.moved.as_ref().and_then(|moved| moved.get(&endpoint));
        moved.unwrap_or_else(|| endpoint.google())
    }

    /// Returns endpoints that send every request to an emulator on loopback: `https://HOST/PATH`
    /// becomes `http://ADDRESS/HOST/PATH`.
    ///
    /// Requests are sent only if the listening socket belongs to the user of this process or to
    /// root, or if the system does not tell its owner.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedUrl`] if the address is not on loopback, because secrets would cross
    /// a network unencrypted.
    pub fn emulator(address: SocketAddr) -> Result<Self, Error> {
        Self::with_emulator(Emulator {
            address,
            is_from_env: false,
            allows_unknown_owner: true,
        })
    }

    /// Returns endpoints for the emulator that an environment variable names. Requests are sent
    /// only if the listening socket belongs to the user of this process or to root;
    /// `allow_unknown_owner` also allows a socket whose owner the system does not tell.
    ///
    /// # Errors
    /// As [`Endpoints::emulator`].
    pub fn emulator_from_env(
        address: SocketAddr,
        allow_unknown_owner: bool,
    ) -> Result<Self, Error> {
        Self::with_emulator(Emulator {
            address,
            is_from_env: true,
            allows_unknown_owner: allow_unknown_owner,
        })
    }

    fn with_emulator(emulator: Emulator) -> Result<Self, Error> {
        let address = emulator.address;
        if !address.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::DisallowedUrl,
                format!("the emulator's address {address} is not on loopback, so secrets would cross the network unencrypted"),
            )
            .with_remedy(Remedy::new(
                "Use a loopback address, such as 127.0.0.1:8090 or [::1]:8090.",
            )));
        }
        Ok(Self {
            emulator: Some(emulator),
            ..Self::google()
        })
    }

    /// Returns the address of the emulator, if one is used.
    pub fn emulator_address(&self) -> Option<SocketAddr> {
        Some(self.emulator?.address)
    }

    /// Returns the emulator, if one is used.
    pub(crate) fn emulator_in_force(&self) -> Option<Emulator> {
        self.emulator
    }

    /// Returns the check of connections to a resolved URL in emulator mode.
    pub(crate) fn listener_check(&self, url: &Url) -> Option<ListenerCheck> {
        let emulator = self.emulator.filter(|_| is_loopback(url))?;
        ListenerCheck::new(emulator, url)
    }

    /// Returns the URL that a request for `url` is sent to: `url` itself or the emulator's.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedUrl`] if the URL is not HTTPS, except on loopback and to the metadata
    /// server.
    pub fn resolve(&self, url: &Url) -> Result<Url, Error> {
        if is_loopback(url) && matches!(url.scheme(), "http" | "https") {
            return Ok(url.clone());
        }
        let metadata = url.host() == self.url(Endpoint::MetadataServer).host();
        if url.scheme() != "https" && !(url.scheme() == "http" && metadata) {
            return Err(disallowed(url, "it is not HTTPS"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(disallowed(url, "it contains a user name or a password"));
        }
        let (Some(emulator), Some(host)) = (self.emulator, url.host_str()) else {
            return Ok(url.clone());
        };
        let mut text = format!("http://{}/{host}{}", emulator.address, url.path());
        if let Some(query) = url.query() {
            text.push('?');
            text.push_str(query);
        }
        Url::parse(&text).map_err(|_| disallowed(url, "it cannot be sent to the emulator"))
    }

    /// Returns whether requests to this URL bypass proxies.
    pub(crate) fn is_direct(&self, url: &Url) -> bool {
        is_loopback(url) || url.host() == self.url(Endpoint::MetadataServer).host()
    }
}

impl Default for Endpoints {
    fn default() -> Self {
        Self::google()
    }
}

/// The names that stand for the loopback addresses without a lookup (RFC 6761, section 6.3).
pub(crate) const LOCALHOST: [&str; 2] = ["localhost", "localhost."];

/// The addresses of [`LOCALHOST`].
pub(crate) fn localhost(port: u16) -> [SocketAddr; 2] {
    [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ]
}

/// Returns whether the URL's host is a loopback address (127.0.0.0/8 or ::1) or `localhost`.
///
/// Requests to `localhost` are sent to 127.0.0.1 or ::1 without a lookup. Other names are not
/// loopback, whatever they resolve to.
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// Returns whether the URL's host is an address of this machine's own link, where cloud providers
/// serve tokens to it: 169.254.0.0/16, fe80::/10 and, at AWS, fd00:ec2::/32.
pub fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_link_local(),
        Some(Host::Ipv6(ip)) => ip.is_unicast_link_local() || ip.segments()[..2] == [0xfd00, 0xec2],
        _ => false,
    }
}

/// Returns whether the host is `localhost`.
pub fn is_localhost(host: &str) -> bool {
    LOCALHOST.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Returns whether a URL's host is a loopback address or `localhost`.
pub fn is_loopback_host(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    is_localhost(host)
        || match v6 {
            Some(v6) => v6.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback()),
            None => host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback()),
        }
}

fn disallowed(url: &Url, why: &str) -> Error {
    // Only the host, because a path or query could contain a secret.
    let host = url.host_str().unwrap_or("no host");
    Error::new(
        ErrorKind::DisallowedUrl,
        format!(
            "no request is sent to {host} ({} URL): {why}",
            url.scheme()
        ),
    )
    .with_remedy(Remedy::new(
        "Use an https:// URL without user name and password. Plain HTTP is allowed only on loopback.",
    ))
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
    fn emulator_replaces_every_host() {
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
    fn every_endpoint_url_can_be_changed() {
        let moved: Url = "https://elsewhere.example/".parse().unwrap();
        let google = Endpoints::google();
        for endpoint in Endpoint::ALL {
            assert_eq!(google.url(endpoint).as_str(), endpoint.google_text());
            let endpoints = google.clone().with_url(endpoint, moved.clone());
            for other in Endpoint::ALL {
                let expected = if other == endpoint {
                    &moved
                } else {
                    google.url(other)
                };
                assert_eq!(endpoints.url(other), expected);
            }
        }
    }

    #[test]
    fn only_loopback_addresses_and_localhost_are_loopback() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.255.1.2", true),
            ("0x7f.1", true),
            ("[::1]", true),
            ("[0:0:0:0:0:0:0:1]", true),
            ("localhost", true),
            ("LocalHost", true),
            ("localhost.", true),
            ("128.0.0.1", false),
            ("0.0.0.0", false),
            ("[::]", false),
            ("[::ffff:127.0.0.1]", false),
            ("foo.localhost", false),
            ("localhost.example.com", false),
            ("localhost.localdomain", false),
            ("localhost..", false),
            ("localhost4", false),
            ("127.0.0.1.example.com", false),
        ] {
            let url: Url = format!("http://{host}:1/").parse().unwrap();
            assert_eq!(is_loopback(&url), expected, "{host}");
            assert_eq!(
                resolve(&Endpoints::google(), url.as_str()).is_ok(),
                expected
            );
        }
        // Without the normalization of a URL.
        for host in ["0x7f.1", "127.1", "::1", "[127.0.0.1]", "", "[]"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn remote_emulator_is_rejected() {
        let error = Endpoints::emulator("10.0.0.1:80".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisallowedUrl);
    }

    #[test]
    fn plain_http_needs_loopback_or_the_metadata_server() {
        let google = Endpoints::google();
        assert_eq!(
            resolve(&google, "http://oauth2.googleapis.com/token"),
            Err(ErrorKind::DisallowedUrl)
        );
        assert_eq!(
            resolve(&google, "ftp://127.0.0.1/"),
            Err(ErrorKind::DisallowedUrl)
        );
        assert_eq!(
            resolve(&google, "https://user:pw@sts.googleapis.com/"),
            Err(ErrorKind::DisallowedUrl)
        );
        assert!(resolve(&google, "http://metadata.google.internal/a").is_ok());
        assert!(resolve(&google, "http://[::1]:1/a").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn emulator_receives_host_path_and_query_verbatim(
            host in "([a-z](-?[a-z0-9]){0,9}\\.){1,3}example|\\[2001:db8::[1-9]\\]",
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
