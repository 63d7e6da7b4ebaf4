//! AWS subject tokens: a signed `GetCallerIdentity` request, which Google sends to AWS.

mod container;
pub(crate) mod imds;
pub(crate) mod sigv4;
mod web_identity;

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
use crate::input::shell::is_plain_word;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::container::{Container, RELATIVE_URI};
use crate::kinds::external_account::subject_token::aws::imds::{Imds, Session};
use crate::kinds::external_account::subject_token::aws::sigv4::{AccessKey, encode, sign};
use crate::kinds::external_account::subject_token::aws::web_identity::WebIdentity;
use crate::{CredentialOptions, Environment, Error};

const VERIFICATION_URL: &str = "regional_cred_verification_url";
/// The region with which a file is validated before the actual region is known.
const EXAMPLE_REGION: &str = "us-east-1";
const TARGET: &str = "x-goog-cloud-target-resource";

/// An AWS source. Keys and region come from environment variables, a web identity, the container or
/// the instance metadata.
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
            imds: Imds::from_object(source, options)?,
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
        if let Some(what) = region.as_deref().and_then(unusable_region) {
            return Err(context
                .error(Token::InvalidCredential, what)
                .with_remedy(set_region()));
        }
        let key = self.key_of_environment(region.as_deref(), context).await?;
        let (region, key) = match (region, key) {
            (Some(region), Some(key)) => (region, key),
            (region, key) => {
                let session = self.session(key.is_none(), context).await?;
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

    /// Returns the key that the environment provides, in the order of AWS's own clients.
    async fn key_of_environment(
        &self,
        region: Option<&str>,
        context: &Context,
    ) -> Result<Option<AccessKey>, ee_token::Error> {
        let environment = context.environment();
        if let Some(key) = access_key(&environment).map_err(Error::into_token_error)? {
            return Ok(Some(key));
        }
        let web = WebIdentity::from_environment(&environment).map_err(Error::into_token_error)?;
        if let Some(web) = web {
            return web.access_key(region, context).await.map(Some);
        }
        if let Some(profile) = environment.var("AWS_PROFILE") {
            let shown = if is_plain_word(profile) {
                profile
            } else {
                "NAME"
            };
            return Err(context
                .error(
                    Token::InvalidCredential,
                    "AWS_PROFILE is set, and profiles of the AWS CLI are not supported",
                )
                .with_remedy(
                    Remedy::new("Export the profile's keys as variables. To use the role of this container or machine instead, unset AWS_PROFILE.")
                        .command(format!("eval \"$(aws configure export-credentials --profile {shown} --format env)\"")),
                ));
        }
        let container = Container::from_environment(&environment, &self.allowed_hosts)
            .map_err(Error::into_token_error)?;
        match container {
            Some(container) => container.access_key(context).await.map(Some),
            None => Ok(None),
        }
    }

    /// Starts a session of the instance metadata service, for the key or only for the region.
    async fn session(
        &self,
        needs_key: bool,
        context: &Context,
    ) -> Result<Option<Session>, ee_token::Error> {
        let environment = context.environment();
        let platform = Platform::of(&environment).filter(|_| needs_key);
        let error = match environment.var("AWS_EC2_METADATA_DISABLED") {
            Some(value) if value.eq_ignore_ascii_case("true") => context
                .error(
                    Token::InvalidCredential,
                    "AWS's instance metadata service was not used because AWS_EC2_METADATA_DISABLED is true",
                )
                .with_remedy(Remedy::new("Unset AWS_EC2_METADATA_DISABLED, or set the AWS key and AWS_REGION.")),
            _ => match self.imds.session(context).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            },
        };
        let why = match needs_key {
            true => "the environment contains no AWS key, web identity or container credentials",
            false => "needed because neither AWS_REGION nor AWS_DEFAULT_REGION is set",
        };
        let message = format!("{error} ({why})");
        let error = error.context(message);
        Err(match platform {
            Some(platform) => error.with_remedy(Remedy::new(platform.remedy())),
            None if !needs_key => error.with_remedy(set_region()),
            None => error,
        })
    }

    async fn region_of_machine(
        &self,
        session: Option<&Session>,
        context: &Context,
    ) -> Result<String, ee_token::Error> {
        match (session, &self.imds.zone) {
            (Some(session), Some(url)) => session.region(url, context).await,
            _ => Err(context
                .error(
                    Token::InvalidCredential,
                    "no AWS region: AWS_REGION and AWS_DEFAULT_REGION are not set, and `credential_source` has no `region_url`",
                )
                .with_remedy(set_region())),
        }
    }

    async fn key_of_machine(
        &self,
        session: Option<&Session>,
        context: &Context,
    ) -> Result<AccessKey, ee_token::Error> {
        match (session, &self.imds.credentials) {
            (Some(session), Some(url)) => session.access_key(url, context).await,
            _ => {
                let remedy = match Platform::of(&context.environment()) {
                    Some(platform) => platform.remedy(),
                    None => "Set the variables. On an AWS machine, create the credential configuration again with --enable-imdsv2.".into(),
                };
                Err(context
                    .error(
                        Token::InvalidCredential,
                        "no AWS key: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set, and `credential_source` has no `url`",
                    )
                    .with_remedy(Remedy::new(remedy)))
            }
        }
    }
}

/// A platform of AWS without an instance metadata service for its programs.
#[derive(Debug, Clone, Copy)]
enum Platform {
    Lambda,
    Ecs,
    Kubernetes,
}

impl Platform {
    fn of(environment: &Environment) -> Option<Self> {
        let is_set = |name: &str| environment.var(name).is_some();
        let runs_on = environment.var("AWS_EXECUTION_ENV").unwrap_or_default();
        if is_set("AWS_LAMBDA_FUNCTION_NAME") || runs_on.starts_with("AWS_Lambda") {
            Some(Self::Lambda)
        } else if is_set("ECS_CONTAINER_METADATA_URI_V4")
            || is_set("ECS_CONTAINER_METADATA_URI")
            || runs_on.contains("ECS")
        {
            Some(Self::Ecs)
        } else {
            is_set("KUBERNETES_SERVICE_HOST").then_some(Self::Kubernetes)
        }
    }

    fn remedy(self) -> String {
        match self {
            Self::Lambda => "Lambda sets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN for the function's role: pass them on to this program.".into(),
            Self::Ecs => format!("Assign a task role to the task definition. ECS then sets {RELATIVE_URI}, which must be passed on to this program."),
            Self::Kubernetes => "Assign an IAM role to the pod's service account, with EKS Pod Identity or IAM roles for service accounts, and start the pod again.".into(),
        }
    }
}

fn set_region() -> Remedy {
    Remedy::new("Set AWS_REGION to the name of the region.").command("export AWS_REGION=us-east-1")
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

fn unusable_region(region: &str) -> Option<&'static str> {
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.len() > 40 || !region.bytes().all(is_region) {
        return Some("the AWS region contains characters other than a-z, 0-9 and -");
    }
    if region.starts_with("s3") {
        return Some("the AWS region starts with s3, the host names of which belong to S3 buckets");
    }
    None
}

/// Returns what is wrong with a region or key that would change the signed request.
pub(crate) fn unusable(region: &str, key: &AccessKey) -> Option<&'static str> {
    if let Some(what) = unusable_region(region) {
        return Some(what);
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
