//! What users hold: a credential, where it was found, and the cache of its tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ee_token::{AccessToken, HttpClient, Remedy, Scopes, SecretString, TokenCache, TokenSource};

use crate::file_source::FileSource;
use crate::parse::{Parsed, of_key, parse};
use crate::service_account::ServiceAccountKey;
use crate::{Error, Kind, Origin};

/// How a credential is to be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The way to the token endpoint.
    pub http: HttpClient,
    /// The scopes to ask for. `None` is [`Scopes::earth_engine`] for a service account, and
    /// whatever was granted for a person's login.
    pub scopes: Option<Scopes>,
    /// The person that a service account acts for (domain-wide delegation).
    pub subject: Option<String>,
    /// Whether a service account signs its own access tokens, without a token request.
    pub self_signed: bool,
    /// Hosts that a credential file may name although they are not Google's.
    pub allowed_hosts: Vec<String>,
}

impl Options {
    /// Nothing special.
    pub fn new(http: HttpClient) -> Self {
        Self {
            http,
            scopes: None,
            subject: None,
            self_signed: false,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Something about a credential that works and is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// A stable name for programs.
    pub code: &'static str,
    /// What is not as it should be.
    pub message: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// A credential, where it was found, and its tokens. Cheap to clone; clones share the tokens.
///
/// ```
/// use ee_credentials::{Credentials, Kind};
/// use ee_token::AccessToken;
///
/// let credentials = Credentials::from_token(AccessToken::new("ya29.mine")?);
/// assert_eq!(credentials.kind(), Kind::AccessToken);
/// # Ok::<(), ee_token::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Credentials(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    origin: Origin,
    path: Option<PathBuf>,
    principal: Option<String>,
    quota_project: Option<String>,
    project: Option<String>,
    client_project: Option<String>,
    scopes: Option<Scopes>,
    warnings: Vec<Warning>,
    secret: Secret,
}

#[derive(Debug, Clone)]
enum Secret {
    Tokens(TokenCache),
    ApiKey(SecretString),
}

impl Credentials {
    /// The credential in a file of any kind. If it is rejected later and the file has
    /// changed, it is read again.
    ///
    /// # Errors
    /// What is wrong with the file, before any request.
    pub fn from_file(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        Self::from_file_at(path.as_ref(), Origin::Flag, options)
    }

    pub(crate) fn from_file_at(
        path: &Path,
        origin: Origin,
        options: &Options,
    ) -> Result<Self, Error> {
        let (source, parsed) = FileSource::read(path, options)?;
        let mut inner = Inner::new(parsed, origin, options, TokenCache::new(source));
        inner.path = Some(path.to_owned());
        inner.warnings.extend(readable_by_others(path));
        Ok(Self(Arc::new(inner)))
    }

    /// The credential in a text of any kind, such as a key from a secret store.
    ///
    /// # Errors
    /// What is wrong with the text, before any request.
    pub fn from_json(text: &str, options: &Options) -> Result<Self, Error> {
        let parsed = parse(text, "the credential's JSON", options)?;
        Ok(Self::of(parsed, Origin::Flag, options))
    }

    /// A service account's private key in PEM, and its e-mail address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) if the key cannot be used.
    pub fn from_pem(pem: &str, client_email: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self::service_account(
            ServiceAccountKey::from_pem(pem, client_email)?,
            options,
        ))
    }

    /// A service account's key.
    pub fn service_account(key: ServiceAccountKey, options: &Options) -> Self {
        Self::of(of_key(key, options), Origin::Flag, options)
    }

    /// A token that its owner brings along. It is never renewed.
    pub fn from_token(token: AccessToken) -> Self {
        Self::from_source(token)
    }

    /// The program's own way to make tokens; [`ee_token::source_fn`] makes one of a closure.
    pub fn from_source(source: impl TokenSource + 'static) -> Self {
        Self::bare(Kind::AccessToken, Secret::Tokens(TokenCache::new(source)))
    }

    /// An API key. There are no tokens then.
    pub fn from_api_key(key: impl Into<SecretString>) -> Self {
        Self::bare(Kind::ApiKey, Secret::ApiKey(key.into()))
    }

    fn bare(kind: Kind, secret: Secret) -> Self {
        Self(Arc::new(Inner {
            kind,
            origin: Origin::Flag,
            path: None,
            principal: None,
            quota_project: None,
            project: None,
            client_project: None,
            scopes: None,
            warnings: Vec::new(),
            secret,
        }))
    }

    pub(crate) fn of(parsed: Parsed, origin: Origin, options: &Options) -> Self {
        let tokens = TokenCache::new(parsed.source.clone());
        Self(Arc::new(Inner::new(parsed, origin, options, tokens)))
    }

    /// What the credential is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Where it was found.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The file that it was read from.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Who it is, where the credential says so: a service account's e-mail address.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal.as_deref()
    }

    /// The project that the credential says is to be billed.
    pub fn quota_project(&self) -> Option<&str> {
        self.0.quota_project.as_deref()
    }

    /// The project that the credential belongs to.
    pub fn project(&self) -> Option<&str> {
        self.0.project.as_deref()
    }

    /// The number of the project that owns the credential's OAuth client.
    pub fn oauth_client_project(&self) -> Option<&str> {
        self.0.client_project.as_deref()
    }

    /// The scopes that are asked for; `None` where those that were granted are taken.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.0.scopes.as_ref()
    }

    /// What works and is not as it should be.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// The cache of its tokens; none for an API key.
    pub fn tokens(&self) -> Option<&TokenCache> {
        match &self.0.secret {
            Secret::Tokens(tokens) => Some(tokens),
            Secret::ApiKey(_) => None,
        }
    }

    /// The API key, if it is one.
    pub fn api_key(&self) -> Option<&SecretString> {
        match &self.0.secret {
            Secret::Tokens(_) => None,
            Secret::ApiKey(key) => Some(key),
        }
    }

    /// The current token, renewed if it has expired.
    ///
    /// # Errors
    /// As [`TokenCache::token`];
    /// [`InvalidCredential`](ee_token::ErrorKind::InvalidCredential) for an API key.
    pub async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        match self.tokens() {
            Some(tokens) => tokens.token().await,
            None => Err(ee_token::Error::new(
                ee_token::ErrorKind::InvalidCredential,
                "an API key has no access token",
            )),
        }
    }
}

impl Inner {
    fn new(parsed: Parsed, origin: Origin, options: &Options, tokens: TokenCache) -> Self {
        let asked = (parsed.kind == Kind::ServiceAccount).then(Scopes::earth_engine);
        Self {
            kind: parsed.kind,
            origin,
            path: None,
            principal: parsed.principal,
            quota_project: parsed.quota_project,
            project: parsed.project,
            client_project: parsed.client_project,
            scopes: options.scopes.clone().or(asked),
            warnings: Vec::new(),
            secret: Secret::Tokens(tokens),
        }
    }
}

/// A warning if others than the owner may read the file.
#[cfg(unix)]
fn readable_by_others(path: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| Warning {
        code: "readable_by_others",
        message: format!(
            "{} may be read by other users of this machine",
            path.display()
        ),
        remedy: Remedy::new("Take the others' permissions away.")
            .command(format!("chmod 600 '{}'", path.display())),
    })
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> Option<Warning> {
    None
}
