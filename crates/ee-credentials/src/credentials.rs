//! Credentials, as programs hold them.

mod id_tokens;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ee_token::internal::display_path;
use ee_token::{
    AccessToken, HttpClient, Scopes, SecretString, TokenCache, TokenInfo, TokenSource, source_fn,
    token_info,
};

use crate::iam::account::iam_scopes;
use crate::input::file::{FileContents, read};
use crate::input::location::Location;
use crate::kinds;
use crate::kinds::credential::Credential;
use crate::kinds::external_account;
use crate::kinds::external_account::config::ExternalAccountConfig;
use crate::kinds::impersonated::config::ImpersonationConfig;
use crate::kinds::metadata_server::MetadataServer;
use crate::kinds::service_account::{self, ServiceAccountKey};
use crate::source;
use crate::source::rebuild::{Rebuild, RebuildFrom};
use crate::source::reloading::{self, Reader};
use crate::{CredentialKind, CredentialOptions, CredentialSource, Error, Warning};

/// A credential with a token cache.
///
/// Cheap to clone; clones share the cache. Creating one sends no request and needs no runtime.
///
/// ```
/// use ee_credentials::{CredentialKind, Credentials};
/// use ee_token::AccessToken;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
/// let credentials = Credentials::from_fn(|| async { AccessToken::new("from-my-server") });
/// assert_eq!(credentials.kind(), CredentialKind::AccessToken);
/// assert_eq!(credentials.token().await?.secret(), "from-my-server");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    credential: Credential,
    auth: AuthMethod,
    origin: CredentialSource,
    path: Option<Box<Path>>,
    warnings: Vec<Warning>,
    /// Set if the credential is the metadata server's.
    metadata: Option<Arc<MetadataServer>>,
    /// The client for queries about the credential. `None` if its tokens come from the caller.
    http: Option<HttpClient>,
    /// Boxed: rare and large, and a server may hold 100,000 credentials.
    rebuild: Option<Box<Rebuild>>,
    /// The source of [`Credentials::impersonate`].
    impersonated_from: Option<Box<(Credentials, ImpersonationConfig)>>,
}

/// How requests are authenticated.
#[derive(Clone)]
enum AuthMethod {
    Token(TokenCache),
    ApiKey(SecretString),
}

impl Credentials {
    /// Reads a credential file: one of the types of Application Default Credentials, or Earth
    /// Engine's login file. After a rejection the file is read again if it has changed; another
    /// account in it is an error.
    ///
    /// This reads the file in the calling thread. [`Search::with_file`](crate::Search::with_file)
    /// does not block a task.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile),
    /// [`DisallowedHost`](crate::ErrorKind::DisallowedHost),
    /// [`UnsupportedUniverse`](crate::ErrorKind::UnsupportedUniverse) or
    /// [`InvalidOptions`](crate::ErrorKind::InvalidOptions), with the file and the field in the
    /// message. [`ErrorKind::Io`](crate::ErrorKind::Io) if the system fails to read it.
    pub fn from_file(path: impl Into<PathBuf>, options: &CredentialOptions) -> Result<Self, Error> {
        Self::from_location(Location::file(path), options)
    }

    pub(crate) fn from_location(
        location: Location,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        Self::from_file_contents(read(&location)?, location, kinds::load, options)
    }

    pub(crate) fn from_file_contents(
        file: FileContents,
        location: Location,
        reader: Reader,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let path = location.path().map(Box::from);
        let from = RebuildFrom::File(location.clone(), reader, file.fingerprint);
        let (credential, warnings) = reloading::load(file, location, reader, options)?;
        let credentials = Self::new(credential, options).with_rebuild(from, options);
        Ok(credentials.update(|inner| {
            inner.path = path;
            inner.warnings.extend(warnings);
        }))
    }

    /// Reads the JSON of a credential, as [`Credentials::from_file`] does.
    ///
    /// # Errors
    /// As [`Credentials::from_file`].
    pub fn from_json(text: &str, options: &CredentialOptions) -> Result<Self, Error> {
        let location = Location::InMemory;
        let credential = kinds::load(text, &location, options)?;
        Ok(Self::from_text(credential, text, location, options))
    }

    /// Creates the credentials that were read from `text`.
    pub(crate) fn from_text(
        credential: Credential,
        text: &str,
        location: Location,
        options: &CredentialOptions,
    ) -> Self {
        let credential = source::with_disk_cache(credential, text, options);
        let from = RebuildFrom::Json(text.into(), location);
        Self::new(credential, options).with_rebuild(from, options)
    }

    /// Creates credentials from a service account key, with the scopes, the subject and the
    /// signing mode of the options.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedHost`](crate::ErrorKind::DisallowedHost) if the key names a token host
    /// that is neither Google's nor allowed;
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions).
    pub fn from_service_account_key(
        key: ServiceAccountKey,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let credential = service_account::load(key.clone(), options)?;
        let from = RebuildFrom::Key(Box::new(key));
        Ok(Self::new(credential, options).with_rebuild(from, options))
    }

    /// Creates credentials from the private key of the service account with this email address.
    ///
    /// # Errors
    /// As [`ServiceAccountKey::from_pem`] and [`Credentials::from_service_account_key`].
    pub fn from_pem(
        pem: &str,
        email: impl Into<String>,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        Self::from_service_account_key(ServiceAccountKey::from_pem(pem, email)?, options)
    }

    /// Creates federated credentials with the caller's subject tokens. `supply` is called before
    /// each token exchange; the exchange is that of an `external_account` file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) that names the invalid setting;
    /// [`ErrorKind::DisallowedHost`](crate::ErrorKind::DisallowedHost).
    pub fn from_subject_token<F, Fut>(
        account: ExternalAccountConfig,
        supply: F,
        options: &CredentialOptions,
    ) -> Result<Self, Error>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SecretString, ee_token::Error>> + Send + 'static,
    {
        let credential = external_account::from_closure(account, supply, options)?;
        Ok(Self::new(credential, options))
    }

    /// Creates credentials from an access token. They cannot be refreshed.
    pub fn from_token(token: AccessToken) -> Self {
        let scopes = token.scopes().cloned();
        Self::from_caller(Arc::new(token), scopes)
    }

    /// Creates credentials from the caller's source of tokens.
    pub fn from_token_source(source: impl TokenSource + 'static) -> Self {
        Self::from_caller(Arc::new(source), None)
    }

    /// Creates credentials from a function that is called whenever a new token is needed.
    pub fn from_fn<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, ee_token::Error>> + Send + 'static,
    {
        Self::from_token_source(source_fn(fetch))
    }

    fn from_caller(source: Arc<dyn TokenSource>, scopes: Option<Scopes>) -> Self {
        let tokens = TokenCache::from(source.clone());
        let credential = Credential::new(CredentialKind::AccessToken, source).scopes(scopes);
        Self::with_auth(credential, AuthMethod::Token(tokens))
    }

    /// Creates credentials from an API key, which identifies a project and no account.
    pub fn from_api_key(key: impl Into<SecretString>) -> Self {
        let source = source_fn(|| async {
            Err(ee_token::Error::new(
                ee_token::ErrorKind::InvalidCredential,
                "an API key has no access token",
            )
            .with_remedy(ee_token::Remedy::new(
                "Use a login or a service account key where a token is needed.",
            )))
        });
        let credential = Credential::new(CredentialKind::ApiKey, Arc::new(source));
        Self::with_auth(credential, AuthMethod::ApiKey(key.into()))
    }

    fn with_auth(credential: Credential, auth: AuthMethod) -> Self {
        Self(Arc::new(Inner {
            credential,
            auth,
            origin: CredentialSource::InMemory,
            path: None,
            warnings: Vec::new(),
            metadata: None,
            http: None,
            rebuild: None,
            impersonated_from: None,
        }))
    }

    pub(crate) fn new(credential: Credential, options: &CredentialOptions) -> Self {
        let tokens = TokenCache::from(credential.source.clone());
        Self::with_auth(credential, AuthMethod::Token(tokens)).update(|inner| {
            inner.http = Some(options.http.clone());
            if let Some(project) = options.overriding_quota_project() {
                inner.credential.quota_project = Some(project.into());
            }
        })
    }

    pub(crate) fn from_metadata_server(
        server: Arc<MetadataServer>,
        options: &CredentialOptions,
    ) -> Self {
        Self::new(MetadataServer::load(&server), options)
            .with_rebuild(RebuildFrom::Nothing, options)
            .update(|inner| {
                inner.origin = CredentialSource::MetadataServer;
                inner.metadata = Some(server);
            })
    }

    fn with_rebuild(self, from: RebuildFrom, options: &CredentialOptions) -> Self {
        let rebuild = Rebuild::new(&self.0.credential, from, options);
        self.update(|inner| inner.rebuild = rebuild.map(Box::new))
    }

    pub(crate) fn with_impersonated_from(self, source: Self, step: ImpersonationConfig) -> Self {
        self.update(|inner| {
            inner.warnings.extend(source.warnings().iter().cloned());
            inner.impersonated_from = Some(Box::new((source, step)));
        })
    }

    pub(crate) fn impersonated_from(&self) -> Option<&(Self, ImpersonationConfig)> {
        self.0.impersonated_from.as_deref()
    }

    pub(crate) fn options(&self) -> Option<&CredentialOptions> {
        Some(&self.0.rebuild.as_ref()?.options)
    }

    /// Returns the service accounts that the credentials impersonate, starting with the target.
    pub(crate) fn impersonated_accounts(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |credentials| {
            credentials.impersonated_from().map(|(source, _)| source)
        })
        .filter(|credentials| credentials.kind() == CredentialKind::ImpersonatedServiceAccount)
        .filter_map(Self::principal)
    }

    /// Returns a source of the same credential's tokens for IAM, or `None` if it is the same as that
    /// of its other tokens.
    pub(crate) fn source_for_iam(&self) -> Result<Option<Arc<dyn TokenSource>>, Error> {
        match (&self.0.metadata, &self.0.rebuild) {
            (Some(server), _) => Ok(Some(Arc::new(server.with_scopes(iam_scopes())?))),
            (None, Some(rebuild)) => rebuild.source_for_iam(&self.0.credential),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(self, warning: Warning) -> Self {
        self.update(|inner| inner.warnings.push(warning))
    }

    /// Sets where the credentials were found, for a program with its own search.
    #[must_use]
    pub fn with_origin(self, origin: CredentialSource) -> Self {
        self.update(|inner| inner.origin = origin)
    }

    /// Sets the quota project, which takes precedence over the credential's own.
    #[must_use]
    pub fn with_quota_project(self, project: impl Into<String>) -> Self {
        let project = project.into();
        self.update(|inner| inner.credential.quota_project = Some(project.into_boxed_str()))
    }

    /// Sets the principal, for a credential that does not contain it.
    #[must_use]
    pub fn with_principal(self, principal: impl Into<String>) -> Self {
        let principal = Arc::from(principal.into());
        self.update(|inner| inner.credential.principal = Some(principal))
    }

    fn update(mut self, update: impl FnOnce(&mut Inner)) -> Self {
        update(Arc::make_mut(&mut self.0));
        self
    }

    /// Returns the kind of credential.
    pub fn kind(&self) -> CredentialKind {
        self.0.credential.kind
    }

    /// Returns where the credential was found.
    pub fn source(&self) -> CredentialSource {
        self.0.origin
    }

    /// Returns the credential's file.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Returns the principal's email address, if the credential contains it or an earlier
    /// [`fetch_principal`](Self::fetch_principal) got it from the metadata server.
    pub fn principal(&self) -> Option<&str> {
        match (&self.0.credential.principal, &self.0.metadata) {
            (Some(principal), _) => Some(principal),
            (None, Some(server)) => server.known_email(),
            (None, None) => None,
        }
    }

    /// Returns the principal's email address, querying the metadata server or the tokeninfo
    /// endpoint if the credential does not contain it. The tokeninfo endpoint knows it if the token
    /// has the scope `userinfo.email`. Returns `None` if neither knows it.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if there is no token or no response.
    pub async fn fetch_principal(&self) -> Result<Option<String>, Error> {
        if let Some(principal) = self.principal() {
            return Ok(Some(principal.to_owned()));
        }
        if let Some(server) = &self.0.metadata {
            return Ok(server
                .account_info()
                .await?
                .and_then(|info| info.email.clone()));
        }
        Ok(self.fetch_token_info().await?.and_then(|info| info.email))
    }

    /// Returns the granted scopes, querying the metadata server or the tokeninfo endpoint if the
    /// token response did not contain them. A service account key gets all requested scopes or no
    /// token, so these are returned without a query. Returns `None` for an API key, and if the
    /// scopes are unknown.
    ///
    /// ```no_run
    /// use ee_credentials::{Credentials, Warning};
    ///
    /// # async fn f(credentials: Credentials) -> Result<(), ee_credentials::Error> {
    /// if let Some(granted) = credentials.fetch_granted_scopes().await?
    ///     && let Some(warning) = Warning::for_broad_scopes(&granted)
    /// {
    ///     eprintln!("{warning}\n{}", warning.remedy);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if there is no token or no response.
    pub async fn fetch_granted_scopes(&self) -> Result<Option<Scopes>, Error> {
        if let Some(server) = &self.0.metadata {
            let info = server.account_info().await?;
            let scopes = info.map(|info| info.scopes.clone());
            return Ok(scopes.filter(|scopes| !scopes.is_empty()));
        }
        match self.kind() {
            CredentialKind::ApiKey | CredentialKind::GdchServiceAccount => return Ok(None),
            CredentialKind::ServiceAccount
            | CredentialKind::ExternalAccount
            | CredentialKind::ImpersonatedServiceAccount => return Ok(self.scopes().cloned()),
            _ => {}
        }
        if let Some(scopes) = self.token().await?.scopes() {
            return Ok(Some(scopes.clone()));
        }
        Ok(self.fetch_token_info().await?.map(|info| info.scopes))
    }

    /// Queries the tokeninfo endpoint for the scopes and the owner of the current token. A metadata
    /// server may return tokens with other scopes than those of
    /// [`fetch_granted_scopes`](Self::fetch_granted_scopes), which are the machine's. Returns `None`
    /// if the endpoint does not know the token, and for a token from the caller, which may be for
    /// another host and is not sent.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if there is no token or no response.
    pub async fn fetch_token_info(&self) -> Result<Option<TokenInfo>, Error> {
        let Some(http) = &self.0.http else {
            return Ok(None);
        };
        if self.token_cache().is_none() || self.kind() == CredentialKind::GdchServiceAccount {
            return Ok(None);
        }
        let token = self.token().await?;
        match token_info(http, &token).await {
            Ok(info) => Ok(Some(info)),
            // The endpoint does not know every token.
            Err(error) if error.kind() == ee_token::ErrorKind::Rejected => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the quota project: the project that requests are billed to.
    pub fn quota_project(&self) -> Option<&str> {
        self.0.credential.quota_project.as_deref()
    }

    /// Returns the project of the service account, of the workload identity pool, or in Earth
    /// Engine's login file. For an impersonated account, the project of its source.
    pub fn project(&self) -> Option<&str> {
        self.0.credential.project.as_deref()
    }

    /// Returns the number of the project that the login's OAuth client belongs to.
    pub fn oauth_client_project_number(&self) -> Option<&str> {
        let client_id = self.0.credential.oauth_client_id.as_deref()?;
        let (number, _) = client_id.split_once('-')?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some(number)
    }

    /// Queries the metadata server for the project of the machine. Returns `None` for credentials of
    /// another kind.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if the metadata server does not respond.
    pub async fn fetch_metadata_project(&self) -> Result<Option<String>, Error> {
        match &self.0.metadata {
            Some(server) => Ok(server.project().await?),
            None => Ok(None),
        }
    }

    /// Queries the metadata server for the number of the machine's project. Returns `None` for
    /// credentials of another kind.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if the metadata server does not respond.
    pub async fn fetch_metadata_project_number(&self) -> Result<Option<u64>, Error> {
        match &self.0.metadata {
            Some(server) => Ok(server.project_number().await?),
            None => Ok(None),
        }
    }

    /// Returns the scopes that token requests name, or `None` if the login determines them.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.0.credential.scopes.as_ref()
    }

    /// Returns the non-fatal problems with the credential.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// Returns the token cache, or `None` for an API key.
    pub fn token_cache(&self) -> Option<&TokenCache> {
        match &self.0.auth {
            AuthMethod::Token(cache) => Some(cache),
            AuthMethod::ApiKey(_) => None,
        }
    }

    /// Returns the API key.
    pub fn api_key(&self) -> Option<&SecretString> {
        match &self.0.auth {
            AuthMethod::ApiKey(key) => Some(key),
            AuthMethod::Token(_) => None,
        }
    }

    /// Returns the cached token, refreshed if it has expired.
    ///
    /// # Errors
    /// As [`TokenCache::token`]. [`ee_token::ErrorKind::InvalidCredential`] for an API key.
    pub async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        match &self.0.auth {
            AuthMethod::Token(cache) => cache.token().await,
            AuthMethod::ApiKey(_) => self.0.credential.source.fetch_token().await,
        }
    }
}

/// Returns the source behind the token cache, or `None` for an API key.
pub fn token_source(credentials: &Credentials) -> Option<Arc<dyn TokenSource>> {
    credentials.token_cache()?;
    Some(credentials.0.credential.source.clone())
}

/// As [`Credentials::from_token`].
impl From<AccessToken> for Credentials {
    fn from(token: AccessToken) -> Self {
        Self::from_token(token)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = &self.0.credential;
        f.debug_struct("Credentials")
            .field("kind", &credential.kind)
            .field("origin", &self.0.origin)
            .field("path", &self.0.path.as_deref().map(display_path))
            .field("principal", &credential.principal)
            .field("quota_project", &credential.quota_project)
            .field("project", &credential.project)
            .field("scopes", &credential.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
