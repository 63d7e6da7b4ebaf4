//! Subject tokens from a URL, as in GitHub Actions and Azure.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ee_token::internal::{
    Exchange, FailedAttempt, ReceivedResponse, is_loopback, sensitive_header, stated_reason,
    try_again,
};
use ee_token::{Endpoint, ErrorKind as Token, Remedy, Request, SecretString};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use url::{Host, Url};

use crate::input::allowed_hosts;
use crate::input::allowed_hosts::EXTERNAL_FILES_PAGE;
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::imds::is_imds_address;
use crate::kinds::external_account::subject_token::format::Format;
use crate::kinds::metadata_server::client_for;
use crate::{CredentialOptions, Error};

/// The headers without which the metadata server returns no token; the second is the older one.
const METADATA_HEADERS: [&str; 2] = ["metadata-flavor", "x-google-metadata-request"];
const GOOGLE_METADATA_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// The URL that returns subject tokens, and the headers of the request.
pub(crate) struct UrlToken {
    url: Url,
    headers: HeaderMap,
    format: Format,
}

impl UrlToken {
    pub(crate) fn from_object(
        source: &JsonObject<'_>,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let text: String = source.field("url")?;
        let (url, _) = allowed_hosts::parse(&text, "url", &source.location)?;
        let what = format!("{}: the field `url`", source.location);
        allowed_hosts::check_scheme(&url, &what, &options.allowed_hosts)?;
        let mut headers = HeaderMap::new();
        if source.has("headers") {
            let part = source.object("headers")?;
            for name in part.names() {
                let value: SecretString = part.field::<Option<_>>(name)?.unwrap_or_default();
                let header = HeaderName::from_bytes(name.as_bytes()).ok();
                let text = sensitive_header(&[value.expose_secret()]).ok();
                let (Some(header), Some(text)) = (header, text) else {
                    let name = clipped(name).escape_debug().to_string();
                    return Err(part
                        .location
                        .invalid_field(&name, "cannot be an HTTP header"));
                };
                headers.insert(header, text);
            }
        }
        if is_metadata_server(&url, &headers, options) {
            let why = format!(
                "leads to the metadata server of Google Cloud at {}, whose tokens are not subject tokens. Nothing was sent",
                url.host_str().unwrap_or_default()
            );
            return Err(allowed_hosts::disallowed(&source.location, "url", &why).with_remedy(
                Remedy::new("To act as the machine's own service account, use no credential file: the metadata server is found without one. Do not use a file that you do not trust.")
                    .url(EXTERNAL_FILES_PAGE),
            ));
        }
        Ok(Self {
            url,
            headers,
            format: Format::from_object(source)?,
        })
    }

    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let http = client_for(&context.http, &self.url);
        let exchange = Exchange::new(&http);
        let fetched = exchange.run(
            || {
                let mut request = Request::new(Method::GET, self.url.clone());
                *request.headers_mut() = self.headers.clone();
                Ok(request)
            },
            |received| self.interpret(received),
        );
        fetched.await.map_err(|FailedAttempt { error, .. }| {
            let why = format!("`credential_source.url`: {error}");
            context.error(error.kind(), why).with_cause(error)
        })
    }

    fn interpret(&self, received: &ReceivedResponse) -> Result<SecretString, FailedAttempt> {
        let host = self.host();
        let error = |kind, why: &str| ee_token::Error::new(kind, format!("{host} {why}"));
        let secrets: Vec<_> = self
            .headers
            .values()
            .filter_map(|v| v.to_str().ok())
            .collect();
        if received.status.is_redirection() {
            let why = "responded with a redirect, which is not followed: it could send the headers to another host";
            return Err(FailedAttempt::permanent(
                error(Token::UnconfirmedRejection, why)
                    .with_remedy(Remedy::new("Set `url` to the URL that it redirects to.")),
            ));
        }
        if received.is_busy() {
            let error = error(Token::Server, &received.describe(&secrets));
            let error = received.explain(error.with_remedy(try_again()), &secrets);
            return Err(error.into());
        }
        if received.status != StatusCode::OK {
            let error = error(Token::UnconfirmedRejection, &received.describe(&secrets));
            let error = received.explain(error.with_remedy(self.remedy()), &secrets);
            return Err(FailedAttempt::permanent(error));
        }
        let text = std::str::from_utf8(&received.body).map_err(|_| {
            error(
                Token::InvalidCredential,
                "responded with data that is not text",
            )
            .with_remedy(Remedy::new(
                "Check the URL: the response must be a token, as text or JSON.",
            ))
        })?;
        // Some services state a wrong type.
        if self.format.is_html(text, has_html_type(&received.headers)) {
            let why = "responded with HTML instead of a token";
            return Err(FailedAttempt::permanent(
                error(Token::UnconfirmedRejection, why).with_remedy(Remedy::new(
                    "Check the URL: it leads to a login page or an error page.",
                )),
            ));
        }
        let location = Location::Other(format!("the response of {host}"));
        self.format.token(text, &location).map_err(|why| {
            // Other text may be a token.
            let json = text
                .trim_start()
                .starts_with('{')
                .then_some(text.as_bytes());
            let what = format!("responded without a token: {why}");
            match json.and_then(|json| stated_reason(json, &secrets)) {
                Some(reason) => error(Token::InvalidCredential, &format!("{what} ({reason})"))
                    .with_remedy(self.remedy()),
                None => error(Token::InvalidCredential, &what),
            }
            .with_cause(why)
            .into()
        })
    }

    /// Returns the remedy for a service that returns no token.
    fn remedy(&self) -> Remedy {
        let path = self.url.path();
        if self.host().ends_with(".actions.githubusercontent.com") {
            Remedy::new("Give the job the permission to request ID tokens (`permissions: {id-token: write}`). The file is valid for its own job only.")
                .url("https://docs.github.com/actions/deployment/security-hardening-your-deployments/configuring-openid-connect-in-google-cloud-platform")
        } else if path.ends_with("/identity/oauth2/token") || path.ends_with("/msi/token") {
            Remedy::new("Assign a managed identity to this machine or app, and compare `resource` and `client_id` in `url` with it and with the registered application.")
                .url("https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token")
        } else {
            Remedy::new(
                "Check that this machine or job has the identity that `url` and `headers` ask for. In CI, their values are valid for one job only.",
            )
        }
    }
}

fn has_html_type(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .trim_start()
                .to_ascii_lowercase()
                .starts_with("text/html")
        })
}

impl fmt::Debug for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlToken")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// Returns whether the request would go to Google Cloud's metadata server, which returns tokens of
/// the machine's service account. Its headers and path are checked for every host, since identity
/// providers do not use them.
fn is_metadata_server(url: &Url, headers: &HeaderMap, options: &CredentialOptions) -> bool {
    let is_its_host = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            ["metadata", "metadata.goog", "google.internal"].contains(&name)
                || name.ends_with(".google.internal")
        }
        Some(Host::Ipv6(ip)) => {
            ip == GOOGLE_METADATA_IPV6 || embedded_ipv4(ip).is_some_and(|ip| ip.is_link_local())
        }
        // AWS and Azure use the same address with other headers and paths.
        Some(Host::Ipv4(_)) | None => false,
    };
    is_its_host
        || METADATA_HEADERS
            .iter()
            .any(|name| headers.contains_key(*name))
        || decoded(url.path()).contains("computemetadata")
        || is_configured_metadata_server(url, options)
}

/// Returns the IPv4 address in an IPv6 address: mapped, compatible, NAT64 or 6to4.
fn embedded_ipv4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => ip.to_ipv4(),
    }
}

/// Returns a path in lower case with percent-encoding removed, however often it was applied.
fn decoded(path: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        decoded.push(byte);
        // A decoded character may complete another encoding.
        while let [.., b'%', high, low] = decoded[..]
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push((high << 4 | low) as u8);
        }
    }
    String::from_utf8_lossy(&decoded).to_ascii_lowercase()
}

/// Returns whether the URL leads to the metadata server that the endpoints or environment variables
/// configure.
fn is_configured_metadata_server(url: &Url, options: &CredentialOptions) -> bool {
    let is_named = |named: &Url| {
        let is_same_host = named.host() == url.host() || is_loopback(named) && is_loopback(url);
        is_same_host && named.port() == url.port() && url.path().starts_with(named.path())
    };
    let environment = options.current_environment();
    let variables = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"];
    let named = variables
        .into_iter()
        .filter_map(|name| environment.var(name));
    let named = named.filter_map(|host| Url::parse(&format!("http://{host}/")).ok());
    named
        .chain([options
            .http
            .endpoints()
            .url(Endpoint::MetadataServer)
            .clone()])
        .any(|named| !is_imds_address(&named) && is_named(&named))
}
