//! The AWS instance metadata service, version 2: a session first, then requests with its token.
//! Version 1 is not used, because it can be reached through request forgery.

use std::time::Duration;

use ee_token::internal::{Exchange, ReceivedResponse, UrlField, sensitive_header, stated_reason};
use ee_token::{ErrorKind as Token, HttpClient, Remedy, Request, SecretString};
use http::{Method, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

use crate::input::allowed_hosts;
use crate::input::json::JsonObject;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::sigv4::AccessKey;
use crate::kinds::metadata_server::client_for;
use crate::{CredentialOptions, Error};

const SERVICE: &str = "AWS's instance metadata service";
const SESSION_TOKEN: &str = "X-aws-ec2-metadata-token";
const SESSION_LIFE: &str = "X-aws-ec2-metadata-token-ttl-seconds";
/// The lifetime of a session in seconds. It is used at once.
const SESSION_SECONDS: &str = "300";
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether the URL's host is the address of AWS's service, which other clouds use as well.
pub(crate) fn is_imds_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.octets() == [169, 254, 169, 254],
        Some(Host::Ipv6(ip)) => ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        _ => false,
    }
}

/// The URLs of the service in the credential file.
pub(crate) struct Imds {
    /// The URL of the role's keys.
    pub(crate) credentials: Option<Url>,
    pub(crate) zone: Option<Url>,
    session: Option<Url>,
}

impl Imds {
    pub(crate) fn from_object(
        source: &JsonObject<'_>,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let url = |name: &str| {
            source
                .field::<Option<String>>(name)?
                .map(|text| check(&text, name, source, options))
                .transpose()
        };
        let credentials = url("url")?;
        let zone = url("region_url")?;
        // A file without the session URL was created for version 1. Version 2 has a fixed path.
        let session = match url("imdsv2_session_token_url")? {
            Some(url) => Some(url),
            None => credentials
                .as_ref()
                .or(zone.as_ref())
                .and_then(|url| url.join("/latest/api/token").ok()),
        };
        Ok(Self {
            credentials,
            zone,
            session,
        })
    }

    /// Starts a session. Returns `None` if the file does not name the service.
    pub(crate) async fn session(
        &self,
        context: &Context,
    ) -> Result<Option<Session>, ee_token::Error> {
        let Some(url) = &self.session else {
            return Ok(None);
        };
        let http = client_for(&context.http, url);
        let header = (SESSION_LIFE, SESSION_SECONDS);
        let received = send(&http, Method::PUT, url, header, context)
            .await
            .map_err(|error| match error.kind() {
                // Responses do not reach a container whose packets take more hops than the limit.
                Token::Timeout => {
                    error.with_remedy(enable("On EC2, raise the hop limit to 2 for containers."))
                }
                Token::Network => error.with_remedy(Remedy::new(format!(
                    "{SERVICE} exists only on EC2. {SET_KEYS}"
                ))),
                _ => error,
            })?;
        let text = text(&received);
        let token = session_token(text.expose_secret());
        if received.status == StatusCode::OK
            && let Some(token) = token
        {
            let token = SecretString::from(token);
            return Ok(Some(Session { http, token }));
        }
        let kind = match received.is_busy() {
            true => Token::Server,
            false => Token::UnconfirmedRejection,
        };
        let why = format!(
            "{SERVICE} started no session: it {}",
            received.describe(&[])
        );
        let error = received.explain(context.error(kind, why), &[]);
        Err(error.with_remedy(match received.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                enable("The service is turned off for this instance, or IMDSv2 is not enabled.")
            }
            _ => Remedy::new(format!(
                "Another server than {SERVICE} responded, or one without IMDSv2. {SET_KEYS}"
            )),
        }))
    }
}

const SET_KEYS: &str =
    "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION.";

/// Returns the remedy that changes the options of an EC2 instance.
fn enable(why: &str) -> Remedy {
    Remedy::new(format!("{why} Enable IMDSv2 with this command, or use a key instead. {SET_KEYS}"))
        .command("aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled --http-tokens required --http-put-response-hop-limit 2")
}

/// Returns the token of a session, or `None` if it cannot be used in a header.
pub(crate) fn session_token(text: &str) -> Option<&str> {
    let token = text.trim();
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (usable && !token.starts_with('<')).then_some(token)
}

/// A session of the service.
pub(crate) struct Session {
    http: HttpClient,
    token: SecretString,
}

impl Session {
    /// Returns the value at a URL. `what` names it in messages.
    async fn get(
        &self,
        url: &Url,
        what: &str,
        context: &Context,
    ) -> Result<SecretString, ee_token::Error> {
        let header = (SESSION_TOKEN, self.token.expose_secret());
        let received = send(&self.http, Method::GET, url, header, context).await?;
        if received.status == StatusCode::OK {
            return Ok(text(&received));
        }
        let kind = match received.is_busy() {
            true => Token::Server,
            false => Token::UnconfirmedRejection,
        };
        let described = received.describe(&[header.1]);
        let why = format!("{SERVICE} has no {what}: it {described}");
        let error = context.error(kind, why).with_remedy(Remedy::new(
            "Attach a role to the machine, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ));
        Err(received.explain(error, &[header.1]))
    }

    /// Returns the machine's region: the name of its availability zone without the last letter.
    pub(crate) async fn region(
        &self,
        url: &Url,
        context: &Context,
    ) -> Result<String, ee_token::Error> {
        let zone = self.get(url, "availability zone", context).await?;
        Ok(region_of(zone.expose_secret()))
    }

    /// Returns the access key of the machine's role.
    pub(crate) async fn access_key(
        &self,
        url: &Url,
        context: &Context,
    ) -> Result<AccessKey, ee_token::Error> {
        let invalid = |why: &str| {
            context
                .error(Token::InvalidResponse, format_args!("{SERVICE}: {why}"))
                .with_remedy(Remedy::new(
                    "Check which server responds at `url`, and attach a role to the machine.",
                ))
        };
        let role = self.get(url, "role", context).await?;
        let role =
            role_of(role.expose_secret()).ok_or_else(|| invalid("the role name is invalid"))?;
        let mut of_role = url.clone();
        of_role
            .path_segments_mut()
            .map_err(|()| invalid("its URL cannot be used"))?
            .pop_if_empty()
            .push(role);
        let text = self.get(&of_role, "key of the role", context).await?;
        access_key(text.expose_secret()).ok_or_else(|| invalid(&no_key(text.expose_secret())))
    }
}

/// Returns why a response contains no access key: AWS states reasons with status 200, too.
pub(crate) fn no_key(text: &str) -> String {
    let why = "the response is not an access key";
    // Other text may be a secret.
    let json = text
        .trim_start()
        .starts_with('{')
        .then_some(text.as_bytes());
    match json.and_then(|json| stated_reason(json, &[])) {
        Some(reason) => format!("{why}: {reason}"),
        None => why.to_owned(),
    }
}

/// Returns the region of an availability zone or a local zone: its name up to the first number.
pub(crate) fn region_of(zone: &str) -> String {
    let zone = zone.trim();
    let is_digit = |c: char| c.is_ascii_digit();
    let number = zone.find(is_digit).unwrap_or(zone.len());
    let end = zone[number..].find(|c| !is_digit(c));
    end.map_or(zone, |end| &zone[..number + end]).to_owned()
}

/// Returns the name of a role, or `None` if it contains characters that IAM does not allow.
pub(crate) fn role_of(text: &str) -> Option<&str> {
    let role = text.trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    (!role.is_empty() && role.bytes().all(is_name)).then_some(role)
}

pub(crate) fn access_key(text: &str) -> Option<AccessKey> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct KeyBody {
        access_key_id: String,
        secret_access_key: SecretString,
        token: Option<SecretString>,
    }
    // serde's message could quote the key.
    let response: KeyBody = serde_json::from_str(text).ok()?;
    Some(AccessKey {
        id: response.access_key_id,
        secret: response.secret_access_key,
        session_token: response.token,
    })
}

fn text(received: &ReceivedResponse) -> SecretString {
    SecretString::from(String::from_utf8_lossy(&received.body).into_owned())
}

async fn send(
    http: &HttpClient,
    method: Method,
    url: &Url,
    (name, value): (&'static str, &str),
    context: &Context,
) -> Result<ReceivedResponse, ee_token::Error> {
    let value = sensitive_header(&[value]).map_err(|_| {
        let why = "the session token of AWS's instance metadata service contains characters that a header cannot hold";
        ee_token::Error::new(Token::InvalidResponse, why).with_remedy(Remedy::new(
            "Check which server responds at `imdsv2_session_token_url`: AWS's service responds with one line of text.",
        ))
    })?;
    let mut request = Request::new(method, url.clone());
    request.headers_mut().insert(name, value);
    let exchange = Exchange::new(http).timeout(ATTEMPT_TIMEOUT);
    exchange.send(request).await.map_err(|error| {
        let why = format!("{SERVICE}: {error}");
        context.error(error.kind(), why).with_cause(error)
    })
}

/// Checks that the URL is one of the service's two addresses or allowed by the caller, because a
/// server at another address could return keys of its choice.
fn check(
    text: &str,
    field: &str,
    source: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Url, Error> {
    let (url, _) = allowed_hosts::parse(text, field, &source.location)?;
    if !allowed_hosts::is_allowed(&url, &options.allowed_hosts) {
        allowed_hosts::check_listed(&url, (field, UrlField::AwsMetadata), &source.location)?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_the_start_of_the_zone() {
        for (zone, region) in [
            ("us-east-2b\n", "us-east-2"),
            ("us-gov-west-1a", "us-gov-west-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
            ("ap-southeast-10c", "ap-southeast-10"),
            ("eu-west-1", "eu-west-1"),
            ("", ""),
        ] {
            assert_eq!(region_of(zone), region);
        }
    }

    #[test]
    fn response_without_a_key_states_why() {
        for (text, shown) in [
            (
                r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}"#,
                "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role",
            ),
            ("canary", "not an access key"),
            (r#"{"SecretAccessKey": "canary"}"#, "not an access key"),
        ] {
            assert!(access_key(text).is_none());
            let why = no_key(text);
            assert!(why.contains(shown) && !why.contains("canary"), "{why}");
        }
    }
}
