//! AWS keys from the credential endpoint of a container: ECS, Fargate and EKS Pod Identity.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::path::PathBuf;

use ee_token::internal::{Exchange, sensitive_header};
use ee_token::{ErrorKind as Token, Remedy, Request, SecretString};
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use url::Url;

use crate::input::allowed_hosts;
use crate::input::file::{read, read_async};
use crate::input::location::Location;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::subject_token::aws::imds::{
    ATTEMPT_TIMEOUT, access_key, no_key,
};
use crate::kinds::external_account::subject_token::aws::sigv4::AccessKey;
use crate::kinds::metadata_server::client_for;
use crate::{Environment, Error, ErrorKind};

/// The path of the credentials at ECS's address.
pub(crate) const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ECS: &str = "http://169.254.170.2";

/// The endpoint that the platform names in the container's environment.
#[derive(Debug)]
pub(crate) struct Container {
    url: Url,
    token: Option<SecretString>,
    /// Takes precedence over `token`, and is read before each request.
    token_file: Option<PathBuf>,
}

impl Container {
    /// Returns the endpoint, or `None` if the environment names none.
    pub(crate) fn from_environment(
        environment: &Environment,
        allowed_hosts: &[String],
    ) -> Result<Option<Self>, Error> {
        let url = match environment.try_var(RELATIVE_URI)? {
            Some(path) if path.starts_with('/') => parse(RELATIVE_URI, &[ECS, path].concat())?,
            Some(_) => return Err(invalid(RELATIVE_URI, "does not start with /")),
            None => match environment.try_var(FULL_URI)? {
                Some(url) => parse(FULL_URI, url)?,
                None => return Ok(None),
            },
        };
        let what = format!("the variable {FULL_URI}");
        allowed_hosts::check_scheme(&url, &what, allowed_hosts)?;
        Ok(Some(Self {
            url,
            token: environment.try_var(TOKEN)?.map(SecretString::from),
            token_file: environment.path_var(TOKEN_FILE)?,
        }))
    }

    pub(crate) async fn access_key(&self, context: &Context) -> Result<AccessKey, ee_token::Error> {
        let host = self.url.host_str().unwrap_or_default();
        let error = |kind, why: &str| {
            let why = format!("the container's AWS credentials at {host}: {why}");
            context.error(kind, why).with_remedy(Remedy::new(match kind {
                Token::Network | Token::Timeout => "Check that the program runs in the container for which the platform set the AWS_CONTAINER_… variables. Elsewhere, unset them.",
                _ => "Check the task role (ECS) or the pod identity association (EKS) of this container.",
            }))
        };
        let token = self
            .authorization()
            .await
            .map_err(Error::into_token_error)?;
        let mut request = Request::new(Method::GET, self.url.clone());
        if let Some(token) = &token {
            let value = sensitive_header(&[token.expose_secret()]).map_err(|_| {
                let why = format!("{TOKEN} contains characters that a header cannot hold");
                error(Token::InvalidCredential, &why)
            })?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let http = client_for(&context.http, &self.url);
        let exchange = Exchange::new(&http).timeout(ATTEMPT_TIMEOUT);
        let received = exchange
            .send(request)
            .await
            .map_err(|cause| error(cause.kind(), &cause.to_string()).with_cause(cause))?;
        if received.status != StatusCode::OK {
            let secrets: Vec<_> = token.iter().map(SecretString::expose_secret).collect();
            let kind = match received.is_busy() {
                true => Token::Server,
                false => Token::UnconfirmedRejection,
            };
            let error = error(kind, &format!("it {}", received.describe(&secrets)));
            return Err(received.explain(error, &secrets));
        }
        let text = String::from_utf8_lossy(&received.body);
        access_key(&text).ok_or_else(|| error(Token::InvalidResponse, &no_key(&text)))
    }

    async fn authorization(&self) -> Result<Option<SecretString>, Error> {
        let Some(path) = &self.token_file else {
            return Ok(self.token.clone());
        };
        let location = Location::File {
            path: path.as_path().into(),
            named_by: Some(TOKEN_FILE),
        };
        let file = read_async(&location, read).await?;
        Ok(Some(SecretString::from(file.text.trim())))
    }
}

fn parse(variable: &str, text: &str) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if url.has_host() && url.username().is_empty() && url.password().is_none() => {
            Ok(url)
        }
        _ => Err(invalid(variable, "is not a URL without a password")),
    }
}

fn invalid(variable: &str, why: &str) -> Error {
    // The value may contain a secret.
    Error::new(
        ErrorKind::InvalidEnvironment,
        format!("the value of the variable {variable} {why}"),
    )
    .with_remedy(Remedy::new(format!(
        "{variable} is set by the platform that runs the container. Pass it on unchanged, or unset it."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_comes_from_the_environment() {
        for (variables, url) in [
            (&[][..], Ok(None)),
            (
                &[(RELATIVE_URI, "/v2/x?y"), (FULL_URI, "http://127.0.0.1/z")],
                Ok(Some("http://169.254.170.2/v2/x?y")),
            ),
            (
                &[(RELATIVE_URI, "//evil.example/x")],
                Ok(Some("http://169.254.170.2//evil.example/x")),
            ),
            (&[(RELATIVE_URI, "@evil.example/x")], Err(())),
            (&[(RELATIVE_URI, ".evil.example/x")], Err(())),
            (
                &[(FULL_URI, "http://localhost:8000/c")],
                Ok(Some("http://localhost:8000/c")),
            ),
            (
                &[(FULL_URI, "https://keys.example.com/c")],
                Ok(Some("https://keys.example.com/c")),
            ),
            (&[(FULL_URI, "http://keys.example.com/c")], Err(())),
            (&[(FULL_URI, "http://me:canary@127.0.0.1/c")], Err(())),
            (&[(FULL_URI, "file:///etc/passwd")], Err(())),
            (&[(FULL_URI, "/v2/x")], Err(())),
        ] {
            let environment = variables
                .iter()
                .fold(Environment::empty(), |all, (name, value)| {
                    all.with_var(*name, *value)
                });
            let container = Container::from_environment(&environment, &[]);
            let found = container.map(|container| container.map(|c| c.url.to_string()));
            if let Err(error) = &found {
                let shown = format!("{error:?}");
                assert!(
                    !error.remedy().text.is_empty() && !shown.contains("canary"),
                    "{shown}"
                );
            }
            let found = found.map_err(|_| ());
            assert_eq!(
                found,
                url.map(|url| url.map(str::to_owned)),
                "{variables:?}"
            );
        }
    }
}
