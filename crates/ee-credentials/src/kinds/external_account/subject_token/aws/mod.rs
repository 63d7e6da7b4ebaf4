//! AWS subject tokens: a signed `GetCallerIdentity` request, which Google sends to AWS.

pub(crate) mod imds;
pub(crate) mod sigv4;

use chrono::Utc;
use ee_token::internal::{UrlField, UrlMatch};
use ee_token::{ErrorKind as Token, Remedy, SecretString};
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

use crate::input::allowed_hosts;
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::imds::{Imds, Session};
use crate::kinds::external_account::subject_token::aws::sigv4::{AccessKey, encode, sign};
use crate::{CredentialOptions, Environment, Error};

const VERIFICATION_URL: &str = "regional_cred_verification_url";
/// The region with which a file is validated before the actual region is known.
const EXAMPLE_REGION: &str = "us-east-1";
const TARGET: &str = "x-goog-cloud-target-resource";

/// An AWS source. Keys and region come from environment variables or the instance metadata.
pub(crate) struct Aws {
    location: Location,
    verification_url: String,
    imds: Imds,
    allowed_hosts: Vec<String>,
}

impl Aws {
    pub(crate) fn from_object(
        source: &JsonObject<'_>,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let id: String = source.field("environment_id")?;
        if id != "aws1" {
            return Err(source.location.invalid_field(
                "environment_id",
                format_args!("is {:?}, but only aws1 is supported", clipped(&id)),
            ));
        }
        let aws = Self {
            location: source.location.clone(),
            verification_url: source.field(VERIFICATION_URL)?,
            imds: Imds::from_object(source)?,
            allowed_hosts: options.allowed_hosts.clone(),
        };
        // The URL is validated again when the region is known.
        aws.url_in(EXAMPLE_REGION)?;
        Ok(aws)
    }

    /// Returns the verification URL for a region, as text and parsed.
    fn url_in(&self, region: &str) -> Result<(String, Url), Error> {
        let text = self.verification_url.replace("{region}", region);
        let (url, host) = allowed_hosts::parse(&text, VERIFICATION_URL, &self.location)?;
        if url.scheme() != "https" || url.port().is_some() {
            let why = format!("names {host} without HTTPS at the default port");
            return Err(
                allowed_hosts::disallowed(&self.location, VERIFICATION_URL, &why).with_remedy(
                    Remedy::new("Use https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15."),
                ),
            );
        }
        // The region that the user set need not be a known AWS region.
        let example = self.verification_url.replace("{region}", EXAMPLE_REGION);
        let (example, _) = allowed_hosts::parse(&example, VERIFICATION_URL, &self.location)?;
        let field = UrlField::AwsVerification;
        if !allowed_hosts::is_allowed(&url, &self.allowed_hosts)
            && field.compare(&example) != UrlMatch::Listed
        {
            allowed_hosts::check_listed(&url, (VERIFICATION_URL, field), &self.location)?;
        }
        Ok((text, url))
    }

    pub(crate) async fn signed_request(
        &self,
        context: &Context,
    ) -> Result<SecretString, ee_token::Error> {
        let environment = context.environment();
        let region = region(&environment).map_err(Error::into_token_error)?;
        let key = access_key(&environment).map_err(Error::into_token_error)?;
        let (region, key) = match (region, key) {
            (Some(region), Some(key)) => (region, key),
            (region, key) => {
                let session = self.imds.session(context).await?;
                let session = session.as_ref();
                let region = match region {
                    Some(region) => region,
                    None => self.region_of_machine(session, context).await?,
                };
                let key = match key {
                    Some(key) => key,
                    None => self.key_of_machine(session, context).await?,
                };
                (region, key)
            }
        };
        if let Some(what) = unusable(&region, &key) {
            return Err(context.error(Token::InvalidCredential, what).with_remedy(
                Remedy::new("Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION again, without quotes or spaces."),
            ));
        }
        let (text, url) = self.url_in(&region).map_err(Error::into_token_error)?;
        Ok(subject_token(&text, &url, &region, &key, &context.audience))
    }

    async fn region_of_machine(
        &self,
        session: Option<&Session>,
        context: &Context,
    ) -> Result<String, ee_token::Error> {
        match (session, &self.imds.zone) {
            (Some(session), Some(url)) => session.region(url, context).await,
            _ => Err(missing(
                context,
                "no AWS region: AWS_REGION and AWS_DEFAULT_REGION are not set, and `credential_source` has no `region_url`",
            )),
        }
    }

    async fn key_of_machine(
        &self,
        session: Option<&Session>,
        context: &Context,
    ) -> Result<AccessKey, ee_token::Error> {
        match (session, &self.imds.credentials) {
            (Some(session), Some(url)) => session.access_key(url, context).await,
            _ => Err(missing(
                context,
                "no AWS key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set, and `credential_source` has no `url`",
            )),
        }
    }
}

fn missing(context: &Context, what: &str) -> ee_token::Error {
    context
        .error(Token::InvalidCredential, what)
        .with_remedy(Remedy::new(
            "Set the variables. On an AWS machine, create the credential configuration again with --enable-imdsv2.",
        ))
}

fn region(environment: &Environment) -> Result<Option<String>, Error> {
    let region = match environment.try_var("AWS_REGION")? {
        Some(region) => Some(region),
        None => environment.try_var("AWS_DEFAULT_REGION")?,
    };
    Ok(region.map(str::to_owned))
}

fn access_key(environment: &Environment) -> Result<Option<AccessKey>, Error> {
    let id = environment.try_var("AWS_ACCESS_KEY_ID")?;
    let secret = environment.try_var("AWS_SECRET_ACCESS_KEY")?;
    let (Some(id), Some(secret)) = (id, secret) else {
        return Ok(None);
    };
    let session_token = environment.try_var("AWS_SESSION_TOKEN")?;
    Ok(Some(AccessKey {
        id: id.to_owned(),
        secret: SecretString::from(secret),
        session_token: session_token.map(SecretString::from),
    }))
}

/// Returns what is wrong with a region or key that would change the signed request.
pub(crate) fn unusable(region: &str, key: &AccessKey) -> Option<&'static str> {
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.len() > 40 || !region.bytes().all(is_region) {
        return Some("the AWS region contains characters other than a-z, 0-9 and -");
    }
    if region.starts_with("s3") {
        return Some("the AWS region starts with s3, the host names of which belong to S3 buckets");
    }
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !graphic(&key.id) || key.id.contains('/') {
        return Some("the AWS access key ID is empty or contains invalid characters");
    }
    if !graphic(key.secret.expose_secret()) {
        return Some("the AWS secret access key is empty or contains invalid characters");
    }
    let token = key
        .session_token
        .as_ref()
        .map(|token| token.expose_secret());
    if token.is_some_and(|token| !graphic(token)) {
        return Some("the AWS session token is empty or contains invalid characters");
    }
    None
}

/// Returns the signed request as URL-encoded JSON. The audience is added after signing, as in the
/// reference client.
pub(crate) fn subject_token(
    text: &str,
    url: &Url,
    region: &str,
    key: &AccessKey,
    audience: &str,
) -> SecretString {
    #[derive(Serialize)]
    struct Header<'a> {
        key: &'a str,
        value: &'a str,
    }
    #[derive(Serialize)]
    struct Request<'a> {
        headers: Vec<Header<'a>>,
        method: &'a str,
        url: &'a str,
    }
    let signed = sign(key, region, url, Utc::now());
    let signed = signed
        .headers
        .iter()
        .map(|(key, value)| Header { key, value });
    let target = Header {
        key: TARGET,
        value: audience,
    };
    let request = Request {
        headers: signed.chain([target]).collect(),
        method: "POST",
        url: text,
    };
    // Large enough, because growing would leave copies behind.
    let length: usize = request
        .headers
        .iter()
        .map(|h| h.key.len() + h.value.len() + 32)
        .sum();
    let mut json = Zeroizing::new(Vec::with_capacity(2 * (length + text.len()) + 256));
    // Strings can always be written as JSON.
    let _ = serde_json::to_writer(&mut *json, &request);
    let json = std::str::from_utf8(&json).unwrap_or_default();
    SecretString::from(Zeroizing::new(encode(json)).as_str())
}
