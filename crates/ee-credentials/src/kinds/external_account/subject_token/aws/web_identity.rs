//! AWS keys for a token of another identity provider: a pod's own role (IAM roles for service
//! accounts of EKS), or the role of a CI job.

use std::path::PathBuf;

use ee_token::internal::{
    Exchange, FailedAttempt, ReceivedResponse, secret_request, try_again, xml_element,
};
use ee_token::{ErrorKind as Token, Remedy, SecretString};
use http::StatusCode;
use url::Url;
use zeroize::Zeroizing;

use crate::input::file::{read, read_async};
use crate::input::location::Location;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::sigv4::AccessKey;
use crate::{Environment, Error, ErrorKind};

const ROLE: &str = "AWS_ROLE_ARN";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";
const TRUST_PAGE: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html";

/// A role, and the file with the token that may assume it.
#[derive(Debug)]
pub(crate) struct WebIdentity {
    role: String,
    session_name: String,
    token_file: PathBuf,
}

impl WebIdentity {
    /// Returns the role, or `None` if the environment names no token.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Option<Self>, Error> {
        let Some(token_file) = environment.path_var(TOKEN_FILE)? else {
            return Ok(None);
        };
        let Some(role) = environment.try_var(ROLE)? else {
            return Err(Error::new(
                ErrorKind::InvalidEnvironment,
                format!("{TOKEN_FILE} is set, but {ROLE} is not"),
            )
            .with_remedy(Remedy::new(format!(
                "Set {ROLE} to the role that the token may assume, or unset {TOKEN_FILE}."
            ))));
        };
        let session_name = environment.try_var(SESSION_NAME)?.unwrap_or("earthengine");
        Ok(Some(Self {
            role: role.to_owned(),
            session_name: session_name.to_owned(),
            token_file,
        }))
    }

    /// Assumes the role at the region's Security Token Service.
    pub(crate) async fn access_key(
        &self,
        region: Option<&str>,
        context: &Context,
    ) -> Result<AccessKey, ee_token::Error> {
        let host = host(region);
        let url = Url::parse(&format!("https://{host}/")).map_err(|_| {
            let why = format!("{host} is not a host name");
            let remedy = Remedy::new("Set AWS_REGION to the name of a region.");
            context
                .error(Token::InvalidCredential, why)
                .with_remedy(remedy)
        })?;
        let location = Location::File {
            path: self.token_file.as_path().into(),
            named_by: Some(TOKEN_FILE),
        };
        let file = read_async(&location, read)
            .await
            .map_err(Error::into_token_error)?;
        let token = file.text.trim();
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role),
            ("RoleSessionName", &self.session_name),
            ("WebIdentityToken", token),
        ];
        let exchange = Exchange::new(&context.http);
        let assumed = exchange.run(
            || Ok(secret_request(&url, &fields)),
            |received| self.interpret(received, token),
        );
        assumed.await.map_err(|FailedAttempt { error, .. }| {
            let why = format!("{host} did not return keys of the role in {ROLE}: {error}");
            context.error(error.kind(), why).with_cause(error)
        })
    }

    fn interpret(
        &self,
        received: &ReceivedResponse,
        token: &str,
    ) -> Result<AccessKey, FailedAttempt> {
        let error = |kind, why: &str, remedy| ee_token::Error::new(kind, why).with_remedy(remedy);
        if received.is_busy() {
            let why = format!("it {}", received.describe(&[token]));
            let error = error(Token::Server, &why, try_again());
            return Err(received.explain(error, &[token]).into());
        }
        if received.status != StatusCode::OK {
            let why = format!("it {}", received.describe(&[token]));
            let remedy = Remedy::new(format!(
                "Check that {ROLE} ({}) exists, and that its trust policy accepts the issuer, the audience and the subject of the token in {TOKEN_FILE}.",
                self.role
            ));
            let error = error(Token::UnconfirmedRejection, &why, remedy.url(TRUST_PAGE));
            let error = received.explain(error, &[token]);
            return Err(FailedAttempt::permanent(error));
        }
        let text = Zeroizing::new(String::from_utf8_lossy(&received.body).into_owned());
        access_key(&text).ok_or_else(|| {
            let why = "its response is not an access key";
            error(
                Token::InvalidResponse,
                why,
                Remedy::unexpected_intermediary(),
            )
            .into()
        })
    }
}

/// Returns the region's endpoint, which AWS prefers, or the global one.
fn host(region: Option<&str>) -> String {
    match region {
        Some(region) if region.starts_with("cn-") => format!("sts.{region}.amazonaws.com.cn"),
        Some(region) => format!("sts.{region}.amazonaws.com"),
        None => "sts.amazonaws.com".to_owned(),
    }
}

/// Reads the response of `AssumeRoleWithWebIdentity`.
fn access_key(xml: &str) -> Option<AccessKey> {
    let secret = |name| Some(SecretString::from(xml_element(xml, name)?.as_str()));
    Some(AccessKey {
        id: xml_element(xml, "AccessKeyId")?.to_string(),
        secret: secret("SecretAccessKey")?,
        session_token: secret("SessionToken"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_is_read_from_xml() {
        let key = "<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>a/b&amp;</SecretAccessKey>\
            <SessionToken>t=</SessionToken></Credentials>";
        let read = access_key(key).unwrap();
        assert_eq!(read.id, "ASIAX");
        assert_eq!(read.secret.expose_secret(), "a/b&");
        assert_eq!(read.session_token.unwrap().expose_secret(), "t=");
        for missing in ["AccessKeyId", "SecretAccessKey"] {
            assert!(access_key(&key.replace(missing, "Other")).is_none());
        }
    }

    #[test]
    fn role_is_assumed_in_the_region() {
        for (region, expected) in [
            (Some("eu-west-1"), "sts.eu-west-1.amazonaws.com"),
            (Some("us-gov-west-1"), "sts.us-gov-west-1.amazonaws.com"),
            (Some("cn-north-1"), "sts.cn-north-1.amazonaws.com.cn"),
            (None, "sts.amazonaws.com"),
        ] {
            assert_eq!(host(region), expected);
        }
    }
}
