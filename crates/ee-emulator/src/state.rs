//! The emulator's state: accounts, grants, tokens and projects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::concurrency::ConcurrencyLimits;
use crate::content::Content;
use crate::fault::Faults;
use crate::federation::{AwsKey, Ec2, Trust};
use crate::oauth_client::OAuthClient;
use crate::recorded::RequestLog;
use crate::{EmulatorClock, Project, RsaKey, ServiceIdentity, random};

/// The data shared between the [`Emulator`](crate::Emulator) handle and all connections.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) clock: EmulatorClock,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    log: Mutex<RequestLog>,
    pub(crate) concurrency: ConcurrencyLimits,
    /// The number of connections accepted so far.
    pub(crate) connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, clock: EmulatorClock, state: State) -> Self {
        Self {
            address,
            clock,
            state: Mutex::new(state),
            faults: Mutex::default(),
            log: Mutex::default(),
            concurrency: ConcurrencyLimits::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, RequestLog> {
        lock(&self.log)
    }

    /// Returns the base URL of an emulated host, without a trailing slash.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("http://{}/{host}", self.address)
    }
}

/// Locks a mutex, ignoring poison: a panic in one test must not fail the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state behind the emulator's lock. Requests are short, so one lock is enough.
pub(crate) struct State {
    pub(crate) projects: Vec<Project>,
    pub(crate) accounts: BTreeMap<String, Account>,
    /// By service account: the principals that may impersonate it.
    pub(crate) impersonators: BTreeMap<String, BTreeSet<String>>,
    pub(crate) users: BTreeSet<String>,
    /// Identity providers, by audience.
    pub(crate) providers: BTreeMap<String, Trust>,
    /// AWS access keys, by id.
    pub(crate) aws_keys: BTreeMap<String, AwsKey>,
    pub(crate) ec2: Option<Ec2>,
    pub(crate) identities: Vec<ServiceIdentity>,
    /// Whether each use of a workforce user's refresh token replaces it.
    pub(crate) rotates_refresh_tokens: bool,
    pub(crate) clients: Vec<OAuthClient>,
    /// By API key: the project that it belongs to.
    pub(crate) api_keys: BTreeMap<String, String>,
    /// By refresh token.
    pub(crate) grants: HashMap<String, Grant>,
    /// By access token.
    pub(crate) tokens: HashMap<String, Token>,
    /// By authorization code.
    pub(crate) codes: HashMap<String, AuthorizationCode>,
    /// Logins on the notebook page, by request id.
    pub(crate) notebooks: HashMap<String, Notebook>,
    pub(crate) consent: Consent,
    pub(crate) metadata: Option<Machine>,
    pub(crate) token_lifetime: Duration,
    pub(crate) content: Content,
}

/// A service account.
pub(crate) struct Account {
    pub(crate) project: String,
    /// By `private_key_id`.
    pub(crate) keys: BTreeMap<String, RsaKey>,
    /// The users for whom the account has domain-wide delegation.
    pub(crate) delegated: BTreeSet<String>,
}

/// A user's grant to a client.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) email: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// Shared by grants that are revoked together.
    pub(crate) family: String,
    pub(crate) revoked: bool,
    pub(crate) needs_reauthentication: bool,
}

impl Grant {
    /// Creates a grant that is revoked alone.
    pub(crate) fn new(email: &str, client_id: &str, scopes: Vec<String>) -> Self {
        Self {
            email: email.to_owned(),
            client_id: client_id.to_owned(),
            scopes,
            family: random::hex(8),
            revoked: false,
            needs_reauthentication: false,
        }
    }
}

/// An issued access token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) email: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) revoked: bool,
    pub(crate) issued_to: IssuedTo,
}

/// The recipient of a token, which determines the default quota project.
#[derive(Clone)]
pub(crate) enum IssuedTo {
    /// A service account. Its project is the default quota project.
    ServiceAccount { project: String },
    /// A client acting for a user, with the refresh token that the access token was issued for.
    Client {
        id: String,
        refresh_token: Option<String>,
    },
}

/// An issued authorization code (RFC 6749 section 4.1.2).
pub(crate) struct AuthorizationCode {
    pub(crate) email: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// The S256 challenge (RFC 7636 section 4.2).
    pub(crate) challenge: String,
    pub(crate) scopes: Vec<String>,
    /// Whether the exchange returns a refresh token.
    pub(crate) offline: bool,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) used: bool,
}

/// A login started by a notebook.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Notebook {
    /// The S256 challenge for fetching the client's id and secret.
    pub(crate) client_challenge: String,
    /// The S256 challenge for exchanging the code.
    pub(crate) token_challenge: String,
    pub(crate) scopes: Vec<String>,
}

/// The behavior of the consent page.
#[derive(Clone)]
pub(crate) enum Consent {
    /// Shows a page with a button per user.
    Ask,
    /// Redirects with this user's consent, to all scopes or only to those in `only`.
    Grant {
        email: String,
        only: Option<Vec<String>>,
    },
    /// Redirects with `access_denied`.
    Deny,
}

/// The virtual machine that the metadata server describes.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) email: String,
    pub(crate) project: String,
    pub(crate) scopes: Vec<String>,
    /// The machine's other service accounts, with their scopes.
    pub(crate) accounts: BTreeMap<String, Vec<String>>,
    /// Whether token requests may choose scopes, as on Cloud Run.
    pub(crate) honors_scopes: bool,
    /// Whether `?recursive=true` is supported, which it was not always on GKE.
    pub(crate) supports_recursive: bool,
    /// The time before which the server is unavailable.
    pub(crate) ready_at: Option<Instant>,
    /// By account and scopes: the cached token.
    pub(crate) tokens: BTreeMap<(String, Vec<String>), String>,
}

/// The reason why a bearer token is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// It has the form of a token that Google issues.
    Expired,
    /// It does not have the form of a token that Google issues.
    Unsupported,
}

/// Returns `time + by`, or the latest representable time.
pub(crate) fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| time.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl State {
    /// Returns the project with this id or number.
    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects
            .iter()
            .find(|project| project.has_id_or_number(name))
    }

    pub(crate) fn client(&self, id: &str) -> Option<&OAuthClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Stores an access token and returns its secret.
    pub(crate) fn issue(&mut self, token: Token) -> String {
        let secret = format!("ya29.emulator-{}", random::url_safe(48));
        self.tokens.insert(secret.clone(), token);
        secret
    }

    /// Returns the expiry of a token issued at `now`.
    pub(crate) fn expiry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        later(now, self.token_lifetime)
    }

    /// Stores a grant and returns its refresh token.
    pub(crate) fn grant(&mut self, grant: Grant) -> String {
        let secret = format!("1//emulator-{}", random::url_safe(48));
        self.users.insert(grant.email.clone());
        self.grants.insert(secret.clone(), grant);
        secret
    }

    /// Looks up a bearer token that is valid at `now`.
    pub(crate) fn valid_token(&self, bearer: &str, now: DateTime<Utc>) -> Result<Token, BadToken> {
        match self.tokens.get(bearer) {
            Some(token) if !token.revoked && now < token.expires_at => Ok(token.clone()),
            Some(_) => Err(BadToken::Expired),
            None if bearer.starts_with("ya29.") => Err(BadToken::Expired),
            None => Err(BadToken::Unsupported),
        }
    }

    /// Revokes a refresh token and all access tokens issued for it, or an access token together with
    /// its refresh token (RFC 7009 section 2.1). Returns `false` if the token does not exist.
    pub(crate) fn revoke_one(&mut self, secret: &str) -> bool {
        let refresh_token = match self.tokens.get_mut(secret) {
            Some(token) => {
                token.revoked = true;
                match &token.issued_to {
                    IssuedTo::Client {
                        refresh_token: Some(refresh_token),
                        ..
                    } => refresh_token.clone(),
                    _ => return true,
                }
            }
            None => secret.to_owned(),
        };
        let Some(grant) = self.grants.get_mut(&refresh_token) else {
            return false;
        };
        grant.revoked = true;
        for token in self.tokens.values_mut() {
            if matches!(&token.issued_to, IssuedTo::Client { refresh_token: Some(of), .. }
                if *of == refresh_token)
            {
                token.revoked = true;
            }
        }
        true
    }

    /// Returns the refresh tokens that were granted together with this one, including itself.
    pub(crate) fn family_of(&self, refresh_token: &str) -> Vec<String> {
        let Some(grant) = self.grants.get(refresh_token) else {
            return Vec::new();
        };
        self.grants
            .iter()
            .filter(|(_, other)| other.family == grant.family)
            .map(|(secret, _)| secret.clone())
            .collect()
    }

    /// Returns the recipient of a token issued without a grant to this email address.
    pub(crate) fn issued_to(&self, email: &str) -> IssuedTo {
        match self.accounts.get(email) {
            Some(account) => IssuedTo::ServiceAccount {
                project: account.project.clone(),
            },
            None => IssuedTo::Client {
                id: crate::oauth_client::GCLOUD_CLIENT_ID.to_owned(),
                refresh_token: None,
            },
        }
    }
}
