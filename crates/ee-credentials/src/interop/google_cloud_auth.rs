//! Interoperability with Google's official Rust clients (feature `google-cloud-auth`): their
//! credentials for Earth Engine, and ours for their clients.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{TimeDelta, Utc};
use ee_token::internal::{sanitize_message, sensitive_header};
use ee_token::{
    AccessToken, Error as TokenError, ErrorKind as TokenErrorKind, Remedy, TokenFuture, TokenSource,
};
use google_cloud_auth::credentials::{
    self as theirs, AccessTokenCredentialsProvider, CacheableResource, CredentialsProvider,
    EntityTag,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};

use crate::input::universe::UNIVERSE;
use crate::{Credentials, Error, ErrorKind};

const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
const API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

impl Credentials {
    /// Creates credentials from those of Google's official Rust clients. Requests their headers
    /// once, to learn the quota project or the API key. Their own cache renews the tokens and is
    /// queried every minute.
    ///
    /// ```no_run
    /// use ee_credentials::Credentials;
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let theirs = google_cloud_auth::credentials::Builder::default().build()?;
    /// let credentials = Credentials::from_google_cloud(theirs).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Token`] if they have neither a token nor an API key, and
    /// [`ErrorKind::UnsupportedUniverse`] for a universe other than `googleapis.com`.
    pub async fn from_google_cloud(credentials: theirs::Credentials) -> Result<Self, Error> {
        if let Some(universe) = credentials.universe_domain().await
            && universe != UNIVERSE
        {
            return Err(Error::new(
                ErrorKind::UnsupportedUniverse,
                format!(
                    "the credentials belong to the universe {universe}, but Earth Engine is available only in {UNIVERSE}"
                ),
            )
            .with_remedy(Remedy::new("Use credentials of the universe googleapis.com.")));
        }
        let headers = headers(&credentials).await?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if !headers.contains_key(header::AUTHORIZATION)
            && let Some(key) = text(API_KEY)
        {
            return Ok(Self::from_api_key(key));
        }
        token(&headers)?;
        let credentials = Self::from_token_source(GoogleCredentialsSource(credentials));
        Ok(match text(QUOTA_PROJECT) {
            Some(project) => credentials.with_quota_project(project),
            None => credentials,
        })
    }
}

/// Google's credentials as a token source.
struct GoogleCredentialsSource(theirs::Credentials);

impl fmt::Debug for GoogleCredentialsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("google_cloud_auth::Credentials")
    }
}

impl TokenSource for GoogleCredentialsSource {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            // The headers do not contain the expiry. Google's cache renews the token in time and
            // responds from memory, so that it can be queried often.
            let token = token(&headers(&self.0).await?)?;
            Ok(token.with_expiry(Utc::now() + TimeDelta::minutes(1)))
        })
    }
}

async fn headers(credentials: &theirs::Credentials) -> Result<HeaderMap, TokenError> {
    match credentials.headers(Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => Err(TokenError::new(
            TokenErrorKind::InvalidResponse,
            "google-cloud-auth returned no headers, although none were cached",
        )),
        Err(error) => {
            let kind = if error.is_transient() {
                TokenErrorKind::Server
            } else {
                TokenErrorKind::Rejected
            };
            // Google's error is not kept as the source, because its `Debug` output contains the
            // body of the response.
            let mut message = error.to_string();
            let mut next = std::error::Error::source(&error);
            while let Some(source) = next {
                message.push_str(&format!(": {source}"));
                next = source.source();
            }
            let message = sanitize_message(&message, &[]);
            Err(TokenError::new(
                kind,
                format!("google-cloud-auth returned no token: {message}"),
            ))
        }
    }
}

fn token(headers: &HeaderMap) -> Result<AccessToken, TokenError> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| {
            TokenError::new(
                TokenErrorKind::InvalidCredential,
                "google-cloud-auth returned neither a bearer token nor an API key; Earth Engine does not accept anonymous credentials",
            )
        })
        .and_then(AccessToken::new)
}

/// Credentials of this crate for Google's official Rust clients, whose builders take them in
/// `with_credentials`.
///
/// ```
/// use ee_credentials::{Credentials, GoogleCloudCredentials};
/// use ee_token::AccessToken;
///
/// # fn main() -> Result<(), ee_token::Error> {
/// let ours = Credentials::from_token(AccessToken::new("ya29.secret")?);
/// let theirs: google_cloud_auth::credentials::Credentials = GoogleCloudCredentials::new(ours).into();
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct GoogleCloudCredentials {
    credentials: Credentials,
    /// The last headers, with their token.
    cached: ArcSwapOption<CachedHeaders>,
}

#[derive(Debug)]
struct CachedHeaders {
    token: Option<AccessToken>,
    entity_tag: EntityTag,
    headers: HeaderMap,
}

impl GoogleCloudCredentials {
    /// Wraps credentials. The token cache is shared with all their clones.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            cached: ArcSwapOption::empty(),
        }
    }

    async fn current_headers(&self) -> Result<Arc<CachedHeaders>, CredentialsError> {
        let token = match self.credentials.api_key() {
            Some(_) => None,
            None => Some(self.credentials.token().await.map_err(into_google_error)?),
        };
        if let Some(cached) = self.cached.load_full()
            && is_same(cached.token.as_ref(), token.as_ref())
        {
            return Ok(cached);
        }
        let headers = self
            .headers_for(token.as_ref())
            .map_err(into_google_error)?;
        let new = Arc::new(CachedHeaders {
            token,
            entity_tag: EntityTag::new(),
            headers,
        });
        self.cached.store(Some(new.clone()));
        Ok(new)
    }

    fn headers_for(&self, token: Option<&AccessToken>) -> Result<HeaderMap, TokenError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, token.header().clone());
        }
        if let Some(key) = self.credentials.api_key() {
            let key = sensitive_header(&[key.expose_secret()]);
            headers.insert(API_KEY, key.map_err(|_| unusable("API key"))?);
        }
        if let Some(project) = self.credentials.quota_project() {
            let project = HeaderValue::from_str(project).map_err(|_| unusable("quota project"))?;
            headers.insert(QUOTA_PROJECT, project);
        }
        Ok(headers)
    }
}

fn unusable(what: &str) -> TokenError {
    TokenError::new(
        TokenErrorKind::InvalidCredential,
        format!("the {what} contains characters that are not allowed in a header"),
    )
}

fn is_same(one: Option<&AccessToken>, other: Option<&AccessToken>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.secret_eq(other),
        (None, None) => true,
        _ => false,
    }
}

fn into_google_error(error: TokenError) -> CredentialsError {
    CredentialsError::from_source(error.is_transient(), error)
}

impl CredentialsProvider for GoogleCloudCredentials {
    async fn headers(
        &self,
        extensions: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let cached = self.current_headers().await?;
        if extensions.get::<EntityTag>() == Some(&cached.entity_tag) {
            return Ok(CacheableResource::NotModified);
        }
        Ok(CacheableResource::New {
            entity_tag: cached.entity_tag.clone(),
            data: cached.headers.clone(),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        Some(UNIVERSE.to_owned())
    }
}

impl AccessTokenCredentialsProvider for GoogleCloudCredentials {
    async fn access_token(&self) -> Result<theirs::AccessToken, CredentialsError> {
        let token = self.credentials.token().await.map_err(into_google_error)?;
        Ok(theirs::AccessToken {
            token: token.secret().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Google credentials whose headers contain a new token each time.
    #[derive(Debug, Default)]
    struct Fake {
        calls: AtomicU32,
        api_key: bool,
        universe: Option<&'static str>,
        fails: Option<bool>,
    }

    impl CredentialsProvider for Fake {
        async fn headers(
            &self,
            _: Extensions,
        ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
            if let Some(transient) = self.fails {
                return Err(CredentialsError::from_msg(transient, "no token today"));
            }
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            let mut data = HeaderMap::new();
            if self.api_key {
                data.insert(API_KEY, HeaderValue::from_static("AIza-canary"));
            } else {
                let token = format!("Bearer theirs-{call}");
                data.insert(header::AUTHORIZATION, token.parse().unwrap());
                data.insert(QUOTA_PROJECT, HeaderValue::from_static("their-project"));
            }
            Ok(CacheableResource::New {
                entity_tag: EntityTag::new(),
                data,
            })
        }

        async fn universe_domain(&self) -> Option<String> {
            self.universe.map(str::to_owned)
        }
    }

    #[tokio::test]
    async fn google_token_and_quota_project_are_used() {
        let ours = Credentials::from_google_cloud(Fake::default().into())
            .await
            .unwrap();
        assert_eq!(ours.quota_project(), Some("their-project"));
        let token = ours.token().await.unwrap();
        assert_eq!(token.secret(), "theirs-1");
        assert!(token.expires_at().unwrap() <= Utc::now() + TimeDelta::minutes(1));
        ours.token_cache().unwrap().invalidate(&token);
        assert_eq!(ours.token().await.unwrap().secret(), "theirs-2");
    }

    #[tokio::test]
    async fn google_api_key_becomes_an_api_key() {
        let fake = Fake {
            api_key: true,
            ..Fake::default()
        };
        let ours = Credentials::from_google_cloud(fake.into()).await.unwrap();
        assert_eq!(ours.kind(), crate::CredentialKind::ApiKey);
        assert!(!format!("{ours:?}").contains("canary"));
    }

    #[tokio::test]
    async fn anonymous_foreign_and_failing_credentials_are_errors() {
        let anonymous = theirs::anonymous::Builder::new().build();
        let foreign = Fake {
            universe: Some("example.goog"),
            ..Fake::default()
        };
        let down = Fake {
            fails: Some(true),
            ..Fake::default()
        };
        let revoked = Fake {
            fails: Some(false),
            ..Fake::default()
        };
        for (theirs, kind) in [
            (
                anonymous,
                ErrorKind::Token(TokenErrorKind::InvalidCredential),
            ),
            (foreign.into(), ErrorKind::UnsupportedUniverse),
            (down.into(), ErrorKind::Token(TokenErrorKind::Server)),
            (revoked.into(), ErrorKind::Token(TokenErrorKind::Rejected)),
        ] {
            let error = Credentials::from_google_cloud(theirs).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[tokio::test]
    async fn google_error_is_shown_without_its_response() {
        struct Rejection;
        impl fmt::Debug for Rejection {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("body: assertion=canary")
            }
        }
        impl fmt::Display for Rejection {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("invalid_grant for 1//canary-token")
            }
        }
        impl std::error::Error for Rejection {}
        #[derive(Debug)]
        struct Rejecting;
        impl CredentialsProvider for Rejecting {
            async fn headers(
                &self,
                _: Extensions,
            ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
                Err(CredentialsError::from_source(false, Rejection))
            }

            async fn universe_domain(&self) -> Option<String> {
                None
            }
        }
        let error = Credentials::from_google_cloud(Rejecting.into()).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains("invalid_grant"), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn google_clients_get_token_and_quota_project_once() {
        let calls = Arc::new(AtomicU32::new(0));
        let ours = Credentials::from_fn(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move { AccessToken::new(&format!("ours-{call}")) }
        })
        .with_quota_project("our-project");
        let theirs: theirs::Credentials = GoogleCloudCredentials::new(ours.clone()).into();
        let CacheableResource::New { entity_tag, data } =
            theirs.headers(Extensions::new()).await.unwrap()
        else {
            panic!("no headers were cached before");
        };
        assert_eq!(data[header::AUTHORIZATION], "Bearer ours-0");
        assert!(data[header::AUTHORIZATION].is_sensitive());
        assert_eq!(data[QUOTA_PROJECT], "our-project");

        let mut known = Extensions::new();
        known.insert(entity_tag);
        let again = theirs.headers(known.clone()).await.unwrap();
        assert_eq!(again, CacheableResource::NotModified);

        let token = ours.token().await.unwrap();
        ours.token_cache().unwrap().invalidate(&token);
        let CacheableResource::New { data, .. } = theirs.headers(known).await.unwrap() else {
            panic!("the token has changed");
        };
        assert_eq!(data[header::AUTHORIZATION], "Bearer ours-1");
    }

    #[tokio::test]
    async fn google_clients_get_the_message_and_transience_of_errors() {
        for (kind, transient) in [
            (TokenErrorKind::Network, true),
            (TokenErrorKind::Rejected, false),
        ] {
            let ours = Credentials::from_fn(move || async move {
                Err(TokenError::new(kind, "the account was deleted"))
            });
            let theirs = theirs::AccessTokenCredentials::from(GoogleCloudCredentials::new(ours));
            let error = theirs.access_token().await.unwrap_err();
            assert_eq!(error.is_transient(), transient);
            let source = std::error::Error::source(&error).unwrap();
            assert!(source.to_string().contains("the account was deleted"));
        }
    }

    #[tokio::test]
    async fn google_clients_get_the_api_key() {
        let ours = GoogleCloudCredentials::new(Credentials::from_api_key("AIza-canary"));
        assert!(!format!("{ours:?}").contains("canary"));
        let theirs = theirs::Credentials::from(ours);
        let CacheableResource::New { data, .. } = theirs.headers(Extensions::new()).await.unwrap()
        else {
            panic!("no headers were cached before");
        };
        assert_eq!(data[API_KEY], "AIza-canary");
        assert!(data[API_KEY].is_sensitive());
    }
}
