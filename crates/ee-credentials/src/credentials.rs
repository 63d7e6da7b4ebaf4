//! What users hold.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ee_token::{
    AccessToken, HttpClient, Scopes, SecretString, TokenCache, TokenInfo, TokenSource,
    display_path, source_fn, token_info,
};

use crate::input::file::{FileContents, FileFingerprint, read};
use crate::input::location::Location;
use crate::kinds;
use crate::kinds::credential::Credential;
use crate::kinds::external_account::{self, ExternalAccountConfig};
use crate::kinds::identity::Identity;
use crate::kinds::impersonated::builder::ImpersonationConfig;
use crate::kinds::impersonated::iam_scopes;
use crate::kinds::metadata_server::MetadataServer;
use crate::kinds::service_account::{self, ServiceAccountKey};
use crate::source::reloading::{self, Reader};
use crate::{CredentialKind, CredentialOptions, CredentialSource, Error, Warning};

/// A credential, ready for use: a token cache, and what is known of the credential.
///
/// Cheap to clone; clones share the token. Making one sends no request and needs no runtime.
///
/// ```
/// use ee_credentials::{Credentials, CredentialKind};
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
    kind: CredentialKind,
    origin: CredentialSource,
    path: Option<Box<Path>>,
    principal: Option<Arc<str>>,
    quota_project: Option<Box<str>>,
    project: Option<Box<str>>,
    oauth_client_id: Option<Arc<str>>,
    scopes: Option<Scopes>,
    warnings: Vec<Warning>,
    auth: AuthMethod,
    metadata: Option<Arc<MetadataServer>>,
    /// Whose it is, as far as the credential itself says so.
    identity: Identity,
    /// What Google is asked about it with; `None` for what the program brought along.
    http: Option<HttpClient>,
    /// What would make it once more. Rare, and large: a server holds a hundred thousand people's.
    rebuild: Option<Box<Rebuild>>,
    /// The credentials that act as this account, if [`Credentials::impersonate`] made it.
    impersonated_from: Option<Box<(Credentials, ImpersonationConfig)>>,
}

/// How a credential was made, and of what.
#[derive(Clone)]
struct Rebuild {
    options: CredentialOptions,
    from: RebuildFrom,
}

/// What the same credential can be made of once more, for other scopes.
#[derive(Clone)]
pub(crate) enum RebuildFrom {
    None,
    /// A file, and what told it from others when it was read.
    File(Location, Reader, FileFingerprint),
    Json(SecretString, Location),
    Key(Box<ServiceAccountKey>),
}

/// What requests are authenticated with.
#[derive(Clone)]
enum AuthMethod {
    Token(TokenCache),
    ApiKey(SecretString),
}

impl Credentials {
    /// The credential in a file: of a type that Application Default Credentials know, or
    /// Earth Engine's own. If it is rejected, and the file has changed since it was read, it
    /// is read again; another account in it then is an error.
    ///
    /// This reads the file in the calling thread. [`Search::with_file`](crate::Search::with_file)
    /// does not block a task.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) and its relatives; the
    /// message names the file and the field. [`ErrorKind::Io`](crate::ErrorKind::Io) if the
    /// system fails to read it.
    pub fn from_file(path: impl Into<PathBuf>, options: &CredentialOptions) -> Result<Self, Error> {
        Self::from_place(Location::file(path), options)
    }

    pub(crate) fn from_place(
        location: Location,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        Self::from_text_of_file(read(&location)?, location, kinds::load, options)
    }

    /// The credential in a file that was read just now.
    pub(crate) fn from_text_of_file(
        file: FileContents,
        location: Location,
        reader: Reader,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let path = location.path().map(Path::to_owned);
        let from = RebuildFrom::File(location.clone(), reader, file.fingerprint);
        let (credential, warnings) = reloading::load(file, location, reader, options)?;
        Ok(Self::new(credential, options)
            .with_rebuild(from, options)
            .with_path(path, warnings))
    }

    /// The credential in a text: what [`Credentials::from_file`] takes, without the file.
    ///
    /// # Errors
    /// As [`Credentials::from_file`].
    pub fn from_json(text: &str, options: &CredentialOptions) -> Result<Self, Error> {
        let credential = kinds::load(text, &Location::InMemory, options)?;
        let credential = options.keep_tokens(credential, text);
        Ok(Self::new(credential, options)
            .with_rebuild(RebuildFrom::Json(text.into(), Location::InMemory), options))
    }

    /// A service account's key, with the options' scopes, for their subject if there is one,
    /// and self-signed if they say so.
    ///
    /// # Errors
    /// [`ErrorKind::DisallowedHost`](crate::ErrorKind::DisallowedHost) if the key names a token host
    /// that is not Google's and was not allowed;
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions).
    pub fn from_service_account_key(
        key: ServiceAccountKey,
        options: &CredentialOptions,
    ) -> Result<Self, Error> {
        let credential = service_account::load(key.clone(), options)?;
        Ok(Self::new(credential, options).with_rebuild(RebuildFrom::Key(Box::new(key)), options))
    }

    /// The key of the service account with this address, from a PEM alone.
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

    /// Workload or workforce identity federation with subject tokens of the program's own:
    /// `supply` is called whenever a new one is needed. What it returns is exchanged for a token
    /// of Google's, as a file of the type `external_account` does it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) that names the setting which
    /// cannot be used;
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
        let credential = external_account::of_closure(account, supply, options)?;
        Ok(Self::new(credential, options))
    }

    /// A token that the program brought along, until it expires.
    pub fn from_token(token: AccessToken) -> Self {
        let scopes = token.scopes().cloned();
        Self::of_access_token(Arc::new(token), scopes)
    }

    /// The program's own source of tokens.
    pub fn from_token_source(source: impl TokenSource + 'static) -> Self {
        Self::of_access_token(Arc::new(source), None)
    }

    /// The program's own way to get a token: called whenever a new one is needed.
    pub fn from_fn<F, Fut>(mint: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, ee_token::Error>> + Send + 'static,
    {
        Self::from_token_source(source_fn(mint))
    }

    fn of_access_token(source: Arc<dyn TokenSource>, scopes: Option<Scopes>) -> Self {
        Self::with_auth(
            CredentialKind::AccessToken,
            AuthMethod::Token(TokenCache::from(source)),
            scopes,
        )
    }

    /// An API key: it names a project, and nobody.
    pub fn from_api_key(key: impl Into<SecretString>) -> Self {
        Self::with_auth(CredentialKind::ApiKey, AuthMethod::ApiKey(key.into()), None)
    }

    fn with_auth(kind: CredentialKind, auth: AuthMethod, scopes: Option<Scopes>) -> Self {
        Self(Arc::new(Inner {
            kind,
            origin: CredentialSource::InMemory,
            path: None,
            principal: None,
            quota_project: None,
            project: None,
            oauth_client_id: None,
            scopes,
            warnings: Vec::new(),
            auth,
            metadata: None,
            identity: Identity::login(None),
            http: None,
            rebuild: None,
            impersonated_from: None,
        }))
    }

    pub(crate) fn new(credential: Credential, options: &CredentialOptions) -> Self {
        let quota_project = options.quota_project.clone().or(credential.quota_project);
        Self(Arc::new(Inner {
            kind: credential.kind,
            origin: CredentialSource::InMemory,
            path: None,
            principal: credential.principal,
            quota_project: quota_project.map(String::into_boxed_str),
            project: credential.project.map(String::into_boxed_str),
            oauth_client_id: credential.oauth_client_id,
            scopes: credential.scopes,
            warnings: Vec::new(),
            auth: AuthMethod::Token(TokenCache::from(credential.source)),
            metadata: None,
            identity: credential.identity,
            http: Some(options.http.clone()),
            rebuild: None,
            impersonated_from: None,
        }))
    }

    pub(crate) fn from_metadata_server(
        server: Arc<MetadataServer>,
        options: &CredentialOptions,
    ) -> Self {
        let credentials = Self::new(MetadataServer::load(&server), options)
            .with_rebuild(RebuildFrom::None, options);
        credentials.update(|inner| {
            inner.origin = CredentialSource::MetadataServer;
            inner.metadata = Some(server);
        })
    }

    /// Remembers how it was made and, if another token request may be made of that, of what:
    /// where the login decides the scopes, there is no other. A login that the caller gave as
    /// a text can be found nowhere, so there is nothing to remember.
    pub(crate) fn with_rebuild(self, from: RebuildFrom, options: &CredentialOptions) -> Self {
        let is_narrowed = self.is_login() && options.scopes.is_some();
        let has_others = self.names_scopes() || is_narrowed;
        if !has_others && matches!(from, RebuildFrom::Json(_, Location::InMemory)) {
            return self;
        }
        let rebuild = Rebuild {
            options: options.clone(),
            from: if has_others { from } else { RebuildFrom::None },
        };
        self.update(|inner| inner.rebuild = Some(Box::new(rebuild)))
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

    /// The accounts that it acts as, from the last to the first.
    pub(crate) fn acts_as(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self), |credentials| {
            credentials.impersonated_from().map(|(source, _)| source)
        })
        .filter(|credentials| credentials.kind() == CredentialKind::ImpersonatedServiceAccount)
        .filter_map(Self::principal)
    }

    /// Whether its token requests must name scopes.
    fn names_scopes(&self) -> bool {
        matches!(
            self.kind(),
            CredentialKind::ServiceAccount | CredentialKind::ExternalAccount
        )
    }

    /// Whether it has the scopes that a person granted, unless fewer were asked for.
    fn is_login(&self) -> bool {
        matches!(
            self.kind(),
            CredentialKind::AuthorizedUser | CredentialKind::EarthEngineFile
        )
    }

    /// The same credential, asking for a token that is good for IAM: for that alone if it can
    /// ask so, and for all that was granted if it is a login that was narrowed.
    pub(crate) fn for_iam(&self) -> Result<Option<Arc<dyn TokenSource>>, Error> {
        if let Some(server) = &self.0.metadata {
            return Ok(Some(Arc::new(server.with_scopes(iam_scopes())?)));
        }
        let Some(rebuild) = &self.0.rebuild else {
            return Ok(None);
        };
        let options = CredentialOptions {
            self_signed_jwt: false,
            scopes: self.names_scopes().then(iam_scopes),
            ..rebuild.options.clone()
        };
        let credential = match &rebuild.from {
            RebuildFrom::None => return Ok(None),
            RebuildFrom::Key(key) => service_account::load((**key).clone(), &options)?,
            RebuildFrom::Json(text, location) => {
                kinds::load(text.expose_secret(), location, &options)?
            }
            RebuildFrom::File(location, reader, fingerprint) => {
                let file = read(location)?;
                let is_unchanged = file.fingerprint == *fingerprint;
                let (credential, _) = reloading::load(file, location.clone(), *reader, &options)?;
                let is_ours = credential.kind == self.0.kind
                    && self.0.identity.secret_eq(&credential.identity) == Some(true);
                if !is_unchanged && !is_ours {
                    // Another file by now: these credentials go on as who they were.
                    return Ok(None);
                }
                credential
            }
        };
        Ok(Some(credential.source))
    }

    pub(crate) fn with_path(self, path: Option<PathBuf>, warnings: Vec<Warning>) -> Self {
        self.update(|inner| {
            inner.path = path.map(PathBuf::into_boxed_path);
            inner.warnings.extend(warnings);
        })
    }

    /// Adds something that somebody should know of.
    #[must_use]
    pub fn with_warning(self, warning: Warning) -> Self {
        self.update(|inner| inner.warnings.push(warning))
    }

    /// Says where it was found, for a program that has a search of its own.
    #[must_use]
    pub fn with_origin(self, origin: CredentialSource) -> Self {
        self.update(|inner| inner.origin = origin)
    }

    /// Sets the quota project, whatever the credential says.
    #[must_use]
    pub fn with_quota_project(self, project: impl Into<String>) -> Self {
        let project = project.into();
        self.update(|inner| inner.quota_project = Some(project.into_boxed_str()))
    }

    /// Says in whose name requests are made, where the credential itself does not.
    #[must_use]
    pub fn with_principal(self, principal: impl Into<String>) -> Self {
        let principal = Arc::from(principal.into());
        self.update(|inner| inner.principal = Some(principal))
    }

    fn update(mut self, update: impl FnOnce(&mut Inner)) -> Self {
        update(Arc::make_mut(&mut self.0));
        self
    }

    /// What kind of credential it is.
    pub fn kind(&self) -> CredentialKind {
        self.0.kind
    }

    /// Where it was found.
    pub fn origin(&self) -> CredentialSource {
        self.0.origin
    }

    /// The file that it was read from, if it was.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// In whose name requests are made, as far as the credential says so or it was
    /// [looked up](Self::fetch_principal) for a machine: an address.
    pub fn principal(&self) -> Option<&str> {
        match (&self.0.principal, &self.0.metadata) {
            (Some(principal), _) => Some(principal),
            (None, Some(server)) => server.known_email(),
            (None, None) => None,
        }
    }

    /// In whose name requests are made, asked for where it must be: the metadata server knows
    /// a machine's account, and Google whose token it is if that is good for `userinfo.email`.
    /// `None` if nobody says.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if there is no token, or no answer.
    pub async fn fetch_principal(&self) -> Result<Option<String>, Error> {
        if let Some(principal) = self.principal() {
            return Ok(Some(principal.to_owned()));
        }
        if let Some(server) = &self.0.metadata {
            return Ok(server.account_info().await?.map(|info| info.email.clone()));
        }
        Ok(self.token_info().await?.and_then(|info| info.email))
    }

    /// The scopes that tokens really have, asked for where others decided: the metadata server
    /// knows a machine's, the answer of a login says which were granted, and otherwise Google
    /// is asked (`tokeninfo`). For a key they are those that are asked for, since it gets all of
    /// them or no token. `None` for an API key, and where nobody says.
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
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if there is no token, or no answer.
    pub async fn fetch_granted_scopes(&self) -> Result<Option<Scopes>, Error> {
        if let Some(server) = &self.0.metadata {
            let info = server.account_info().await?;
            return Ok(info.map(|info| info.scopes.clone()));
        }
        match self.0.kind {
            CredentialKind::ApiKey | CredentialKind::GdchServiceAccount => return Ok(None),
            CredentialKind::ServiceAccount
            | CredentialKind::ExternalAccount
            | CredentialKind::ImpersonatedServiceAccount => {
                return Ok(self.0.scopes.clone());
            }
            _ => {}
        }
        if let Some(scopes) = self.token().await?.scopes() {
            return Ok(Some(scopes.clone()));
        }
        Ok(self.token_info().await?.map(|info| info.scopes))
    }

    /// What Google says of the current token. Of a token that the program brought along nobody
    /// is asked: it may be another host's.
    async fn token_info(&self) -> Result<Option<TokenInfo>, Error> {
        let Some(http) = &self.0.http else {
            return Ok(None);
        };
        if self.token_cache().is_none() || self.kind() == CredentialKind::GdchServiceAccount {
            return Ok(None);
        }
        let token = self.token().await?;
        match token_info(http, &token).await {
            Ok(info) => Ok(Some(info)),
            // Not every token is one that it knows.
            Err(error) if error.kind() == ee_token::ErrorKind::Rejected => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The project that the credential says requests are billed to.
    pub fn quota_project(&self) -> Option<&str> {
        self.0.quota_project.as_deref()
    }

    /// The credential's own project: a service account's, a pool's, or the one in Earth Engine's
    /// file; for an account that is acted as, the project of the credential that acts as it.
    pub fn project(&self) -> Option<&str> {
        self.0.project.as_deref()
    }

    /// The number of the project that the login's OAuth client belongs to.
    pub fn oauth_client_project_number(&self) -> Option<&str> {
        let (number, _) = self.0.oauth_client_id.as_deref()?.split_once('-')?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some(number)
    }

    /// The project of the machine that this program runs on, if the credential is the
    /// machine's own; `None` for every other kind. One request.
    ///
    /// # Errors
    /// [`ErrorKind::Token`](crate::ErrorKind::Token) if the metadata server does not answer.
    pub async fn fetch_metadata_project(&self) -> Result<Option<String>, Error> {
        match &self.0.metadata {
            Some(server) => Ok(server.project().await?),
            None => Ok(None),
        }
    }

    /// The scopes that tokens are asked for; `None` where the login itself decides.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.0.scopes.as_ref()
    }

    /// What works, and should be changed all the same.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// The cache that hands out its tokens; `None` for an API key.
    pub fn token_cache(&self) -> Option<&TokenCache> {
        match &self.0.auth {
            AuthMethod::Token(cache) => Some(cache),
            AuthMethod::ApiKey(_) => None,
        }
    }

    /// The API key, if it is one.
    pub fn api_key(&self) -> Option<&SecretString> {
        match &self.0.auth {
            AuthMethod::ApiKey(key) => Some(key),
            AuthMethod::Token(_) => None,
        }
    }

    /// The current token, renewed if it has expired.
    ///
    /// # Errors
    /// As [`TokenCache::token`]; [`ee_token::ErrorKind::InvalidCredential`] for an API key,
    /// which has none.
    pub async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        match &self.0.auth {
            AuthMethod::Token(cache) => cache.token().await,
            AuthMethod::ApiKey(_) => Err(ee_token::Error::new(
                ee_token::ErrorKind::InvalidCredential,
                "an API key has no access token",
            )
            .with_remedy(ee_token::Remedy::new(
                "Use a login or a service account's key where a token is needed.",
            ))),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kind", &self.0.kind)
            .field("origin", &self.0.origin)
            .field("path", &self.0.path.as_deref().map(display_path))
            .field("principal", &self.0.principal)
            .field("quota_project", &self.0.quota_project)
            .field("project", &self.0.project)
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_api_key_has_no_token_and_is_never_shown() {
        let credentials = Credentials::from_api_key("AIza-canary");
        assert_eq!(credentials.kind(), CredentialKind::ApiKey);
        assert!(credentials.token_cache().is_none());
        assert!(credentials.api_key().is_some());
        let error = credentials.token().await.unwrap_err();
        assert!(!format!("{credentials:?} {error:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_token_of_the_programs_own_is_handed_out_until_it_expires() {
        let token = AccessToken::new("ya29.canary").unwrap();
        let credentials = Credentials::from_token(token.clone());
        assert!(credentials.token().await.unwrap().secret_eq(&token));
        assert_eq!(credentials.origin().as_str(), "caller");
        assert!(!format!("{credentials:?}").contains("canary"));
        let over = token.with_expiry(chrono::Utc::now() - chrono::TimeDelta::seconds(1));
        let error = Credentials::from_token(over).token().await.unwrap_err();
        assert_eq!(error.kind(), ee_token::ErrorKind::Expired);
    }

    #[tokio::test]
    async fn a_closure_is_called_when_a_new_token_is_needed() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let credentials = Credentials::from_fn(move || {
            let n = counted.fetch_add(1, Ordering::Relaxed);
            async move { AccessToken::new(&format!("token-{n}")) }
        });
        let clone = credentials.clone().with_principal("jane@example.com");
        assert_eq!(credentials.token().await.unwrap().secret(), "token-0");
        assert_eq!(clone.token().await.unwrap().secret(), "token-0");
        assert_eq!(clone.principal(), Some("jane@example.com"));
        assert_eq!(credentials.principal(), None);
        let token = credentials.token().await.unwrap();
        credentials.token_cache().unwrap().invalidate(&token);
        assert_eq!(clone.token().await.unwrap().secret(), "token-1");
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_clients_project_is_the_number_before_the_first_dash() {
        let number = |client_id: &str| {
            let text = serde_json::json!({
                "type": "authorized_user", "client_id": client_id, "client_secret": "s", "refresh_token": "r",
            });
            let credentials =
                Credentials::from_json(&text.to_string(), &CredentialOptions::google()).unwrap();
            credentials.oauth_client_project_number().map(str::to_owned)
        };
        assert_eq!(number("123-a-b.apps").as_deref(), Some("123"));
        for none in ["123", "abc-1", "-1", "1x-2"] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}
