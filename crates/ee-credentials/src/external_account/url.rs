//! Subject tokens from a URL: GitHub Actions, Azure, and whatever else hands tokens out.

use std::fmt;
use std::time::Duration;

use chrono::Utc;
use ee_token::{
    ErrorKind as Token, HttpClient, Remedy, Request, RetryPolicy, SecretString, is_loopback,
    read_bounded, retry_after, secret_header,
};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use url::Url;

use super::Context;
use super::format::Format;
use super::imds::is_link_local;
use crate::document::{Document, clipped};
use crate::metadata_server::client_for;
use crate::place::Place;
use crate::retry::{Failure, retried};
use crate::{Error, ErrorKind};

const MAX_REPLY: usize = 1 << 20;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A URL that is asked for each exchange, with its headers.
pub(super) struct UrlToken {
    url: Url,
    headers: HeaderMap,
    format: Format,
}

impl UrlToken {
    pub(super) fn from_document(source: &Document) -> Result<Self, Error> {
        let url = check(source.required_text("url")?, source)?;
        let mut headers = HeaderMap::new();
        if let Some(part) = source.part("headers")? {
            for name in part.names() {
                let value = part.secret(name)?.unwrap_or_default();
                let header = HeaderName::from_bytes(name.as_bytes()).ok();
                let text = secret_header(&[value.expose_secret()]).ok();
                let (Some(header), Some(text)) = (header, text) else {
                    let name = clipped(name).escape_debug().to_string();
                    return Err(part.place.invalid_field(&name, "cannot be an HTTP header"));
                };
                headers.insert(header, text);
            }
        }
        Ok(Self {
            url,
            headers,
            format: Format::from_document(source)?,
        })
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) async fn fetch(&self, context: &Context) -> Result<SecretString, ee_token::Error> {
        let http = client_for_url(&context.http, &self.url);
        let attempt = || self.attempt(&http, context);
        retried(&RetryPolicy::token(), self.host(), attempt).await
    }

    async fn attempt(&self, http: &HttpClient, context: &Context) -> Result<SecretString, Failure> {
        let host = self.host();
        let told = |kind, why: &str| {
            context.error(kind, format_args!("`credential_source.url`: {host} {why}"))
        };
        let mut request = Request::new(Method::GET, self.url.clone());
        *request.headers_mut() = self.headers.clone();
        *request.timeout_mut() = Some(ATTEMPT_TIMEOUT);
        let mut reply = http.send(request).await?;
        let status = reply.status();
        if status.is_redirection() {
            return Err(told(
                Token::InvalidCredential,
                "answered with a redirect, which is not followed: it could lead the headers anywhere",
            )
            .with_remedy(Remedy::new("Write the URL that it leads to into `url`."))
            .into());
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let why = format!("answered with status {}", status.as_u16());
            return Err(Failure {
                pause: retry_after(reply.headers(), Utc::now()),
                ..told(Token::Server, &why).into()
            });
        }
        if status != StatusCode::OK {
            let why = format!("refused with status {}", status.as_u16());
            return Err(told(Token::Rejected, &why).with_remedy(Remedy::new(
                "Check `url` and `headers`: what they are made of may be good for one job only.",
            ))
            .into());
        }
        let is_html = reply
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|of| of.to_str().ok())
            .is_some_and(|of| {
                of.trim_start()
                    .to_ascii_lowercase()
                    .starts_with("text/html")
            });
        if is_html {
            return Err(html(&told).into());
        }
        let body = read_bounded(&mut reply, MAX_REPLY)
            .await
            .map_err(|error| Failure {
                // Too much is too much again.
                again: error.kind() != Token::InvalidResponse,
                ..told(
                    error.kind(),
                    &format!("answered too much, or broke off: {error}"),
                )
                .into()
            })?;
        let text = std::str::from_utf8(&body)
            .map_err(|_| told(Token::InvalidCredential, "answered with what is no text"))?;
        let place = Place::Other(format!("the answer of {host}"));
        let token = self.format.token(text, &place).map_err(|error| {
            told(
                Token::InvalidCredential,
                &format!("answered with no token: {error}"),
            )
        })?;
        Ok(token)
    }
}

fn html(told: &dyn Fn(Token, &str) -> ee_token::Error) -> ee_token::Error {
    told(
        Token::InvalidCredential,
        "answered with HTML, which is no token",
    )
    .with_remedy(Remedy::new(
        "Check the URL: a login page or an error page answers there.",
    ))
}

impl fmt::Debug for UrlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlToken")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// Clear text is for this machine, and for the address at which a cloud talks to its own
/// machines (Azure's tokens are there).
fn check(text: &str, source: &Document) -> Result<Url, Error> {
    let place = &source.place;
    let url = Url::parse(text).map_err(|_| place.invalid_field("url", "is not a URL"))?;
    let host = url
        .host_str()
        .ok_or_else(|| place.invalid_field("url", "is a URL without a host"))?;
    let refused = |why: &str| {
        Error::new(
            ErrorKind::RefusedHost,
            format!("{place}: the field `url` names {host} {why}"),
        )
        .with_remedy(Remedy::new("Use an https:// URL."))
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("with a user name or a password"));
    }
    let in_clear = is_loopback(&url) || is_link_local(&url);
    match url.scheme() {
        "https" => Ok(url),
        "http" if in_clear => Ok(url),
        _ => Err(refused("without HTTPS, and it is not on this machine")),
    }
}

fn client_for_url(http: &HttpClient, url: &Url) -> HttpClient {
    if is_link_local(url) {
        client_for(http, url)
    } else {
        http.clone()
    }
}
