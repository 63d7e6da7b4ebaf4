//! Service accounts as IAM Credentials names them.

use std::collections::BTreeSet;

use ee_token::{Endpoint, HttpClient, Scopes};
use url::Url;

use crate::iam::METHOD;
use crate::input::quote::clipped;
use crate::{Error, ErrorKind};

/// The prefix of an account's resource name.
const RESOURCE: &str = "projects/-/serviceAccounts/";
/// The scope of a token for IAM Credentials.
const IAM_SCOPE: &str = "iam";

/// The service accounts from the source of an impersonation to its target.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) target: String,
    /// Resource names.
    pub(crate) delegates: Vec<String>,
}

/// Why accounts are not a route.
pub(crate) enum InvalidRoute {
    /// Not the email address of a service account.
    NotAnAccount(String),
    /// An account that the route contains twice.
    Repeated(String),
}

impl Route {
    pub(crate) fn new<S: AsRef<str>>(
        target: &str,
        delegates: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidRoute> {
        if !is_account(target) {
            return Err(InvalidRoute::NotAnAccount(target.to_owned()));
        }
        let mut seen = BTreeSet::from([target.to_owned()]);
        let mut resources = Vec::new();
        for delegate in delegates {
            let delegate = delegate.as_ref();
            let email = delegate.strip_prefix(RESOURCE).unwrap_or(delegate);
            if !is_account(email) {
                return Err(InvalidRoute::NotAnAccount(delegate.to_owned()));
            }
            if !seen.insert(email.to_owned()) {
                return Err(InvalidRoute::Repeated(email.to_owned()));
            }
            resources.push(format!("{RESOURCE}{email}"));
        }
        Ok(Self {
            target: target.to_owned(),
            delegates: resources,
        })
    }
}

/// Whether the text is the email address or the number of a service account, and needs no escaping
/// in a URL.
pub(crate) fn is_account(text: &str) -> bool {
    let number = (10..=30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    number
        || text.len() <= 320
            && text
                .split_once('@')
                .is_some_and(|(name, domain)| plain(name) && plain(domain) && domain.contains('.'))
}

/// Returns the URL that issues tokens of an account.
pub(crate) fn url_of(http: &HttpClient, email: &str) -> Result<Url, Error> {
    http.endpoints()
        .url(Endpoint::IamCredentials)
        .join(&format!("v1/{RESOURCE}{email}{METHOD}"))
        .map_err(|_| {
            Error::new(
                ErrorKind::InvalidOptions,
                format!("{:?} is not a service account", clipped(email)),
            )
        })
}

/// Returns the scopes of a token for IAM Credentials.
pub(crate) fn iam_scopes() -> Scopes {
    Scopes::new([IAM_SCOPE])
}
