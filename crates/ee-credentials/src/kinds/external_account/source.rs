//! `credential_source` of a federated credential: where its subject tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ee_token::SecretString;
use ee_token::internal::display_path;

use crate::input::json::JsonObject;
use crate::kinds::external_account::config::{AWS4_REQUEST, BEARER_TYPES, MTLS};
use crate::kinds::external_account::subject_token::aws::Aws;
use crate::kinds::external_account::subject_token::certificate::CertificateSource;
use crate::kinds::external_account::subject_token::executable::Executable;
use crate::kinds::external_account::subject_token::file::FileToken;
use crate::kinds::external_account::subject_token::url::UrlToken;
use crate::{CredentialOptions, Error};

/// The future that the caller's closure returns.
type SuppliedToken = Pin<Box<dyn Future<Output = Result<SecretString, ee_token::Error>> + Send>>;

/// A source of subject tokens.
pub(crate) enum Source {
    File(FileToken),
    Url(UrlToken),
    Executable(Executable),
    Aws(Aws),
    Certificate(CertificateSource),
    Closure(Box<dyn Fn() -> SuppliedToken + Send + Sync>),
}

impl Source {
    /// Reads `credential_source`, whose fields tell what it is.
    pub(crate) fn from_object(
        object: &JsonObject<'_>,
        token_type: &str,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let part = object.object("credential_source")?;
        let kinds = ["file", "url", "executable", "certificate", "environment_id"];
        let mut named = kinds.into_iter().filter(|name| part.has(name));
        let first = named.next();
        // AWS has `url` beside `environment_id`.
        let is_aws = part.has("environment_id");
        if let (Some(one), Some(other)) = (first, named.next())
            && !(is_aws && one == "url" && other == "environment_id")
        {
            return Err(part.location.invalid(format_args!(
                "the fields `{one}` and `{other}` exclude each other"
            )));
        }
        let source = match first {
            _ if is_aws => Self::Aws(Aws::from_object(&part, options)?),
            Some("file") => Self::File(FileToken::from_object(&part)?),
            Some("url") => Self::Url(UrlToken::from_object(&part, options)?),
            Some("executable") => {
                Self::Executable(Executable::from_object(&part.object("executable")?)?)
            }
            Some("certificate") => Self::Certificate(CertificateSource::from_object(
                &part.object("certificate")?,
            )?),
            _ => {
                return Err(part.location.invalid(
                    "one of the fields `file`, `url`, `executable`, `certificate` and `environment_id` is required: the source of the subject token",
                ));
            }
        };
        match source.accepts(token_type) {
            true => Ok(source),
            false => Err(object.location.invalid_field(
                "subject_token_type",
                format_args!(
                    "is {token_type}, and a subject token from {} is {}",
                    source.noun(),
                    source.token_types()
                ),
            )),
        }
    }

    /// Returns the name of the source in messages.
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::File(file) => format!("the file {}", display_path(file.path())),
            Self::Url(url) => format!("the URL source at {}", url.host()),
            Self::Executable(_) => "the executable".into(),
            Self::Aws(_) => "AWS".into(),
            Self::Certificate(_) => "the client certificate".into(),
            Self::Closure(_) => "the program".into(),
        }
    }

    fn accepts(&self, token_type: &str) -> bool {
        match self {
            Self::Aws(_) => token_type == AWS4_REQUEST,
            Self::Certificate(_) => token_type == MTLS,
            _ => BEARER_TYPES.contains(&token_type),
        }
    }

    fn token_types(&self) -> &'static str {
        match self {
            Self::Aws(_) => AWS4_REQUEST,
            Self::Certificate(_) => MTLS,
            _ => "urn:ietf:params:oauth:token-type:jwt, …:id_token or …:saml2",
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.noun())
    }
}
