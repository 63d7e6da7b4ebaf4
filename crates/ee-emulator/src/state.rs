//! What the emulated Google remembers: accounts, grants, tokens, projects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::content::Content;
use crate::federation::{AwsKey, Ec2, Trust};
use crate::oauth_client::OAuthClient;
use crate::{Project, RsaKey, ServiceIdentity, random};

/// Everything behind the emulator's one lock. Requests are short, so one lock is enough.
pub(crate) struct State {
    pub(crate) projects: Vec<Project>,
    pub(crate) accounts: BTreeMap<String, Account>,
    /// By service account: who may act as it.
    pub(crate) impersonators: BTreeMap<String, BTreeSet<String>>,
    pub(crate) users: BTreeSet<String>,
    /// Identity providers, by audience.
    pub(crate) providers: BTreeMap<String, Trust>,
    /// AWS access keys, by id.
    pub(crate) aws_keys: BTreeMap<String, AwsKey>,
    pub(crate) ec2: Option<Ec2>,
    pub(crate) identities: Vec<ServiceIdentity>,
    /// Whether each use of a workforce user's refresh token brings a new one in its place.
    pub(crate) rotates_refresh_tokens: bool,
    pub(crate) clients: Vec<OAuthClient>,
    /// API keys and the projects that they belong to.
    pub(crate) api_keys: BTreeMap<String, String>,
    /// By refresh token.
    pub(crate) grants: HashMap<String, Grant>,
    /// By access token.
    pub(crate) tokens: HashMap<String, Token>,
    /// By authorization code.
    pub(crate) codes: HashMap<String, Code>,
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
    /// By `private_key_id`: an account may have several keys.
    pub(crate) keys: BTreeMap<String, RsaKey>,
    /// Users whom the account may act for (domain-wide delegation).
    pub(crate) delegated: BTreeSet<String>,
}

/// What a user allowed a client.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) email: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// Grants that were made together and are revoked together.
    pub(crate) family: String,
    pub(crate) revoked: bool,
    pub(crate) needs_reauthentication: bool,
}

/// An access token that was handed out.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) email: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) revoked: bool,
    pub(crate) issued_to: IssuedTo,
}

/// On whose behalf requests with a token are made.
#[derive(Clone)]
pub(crate) enum IssuedTo {
    /// A service account, whose own project pays unless the request says otherwise.
    ServiceAccount { project: String },
    /// A user, through a client; if the client was granted it for long, by this refresh token.
    Client {
        id: String,
        refresh_token: Option<String>,
    },
}

/// An authorization code that waits to be exchanged (RFC 6749 section 4.1.2).
pub(crate) struct Code {
    pub(crate) email: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// The S256 challenge (RFC 7636 section 4.2).
    pub(crate) challenge: String,
    pub(crate) scopes: Vec<String>,
    /// Whether a refresh token comes with the access token.
    pub(crate) offline: bool,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) used: bool,
}

/// A login that a notebook began.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Notebook {
    /// The S256 challenge of the verifier with which the client's id and secret are fetched.
    pub(crate) client_challenge: String,
    /// That of the verifier with which the code is exchanged.
    pub(crate) token_challenge: String,
    pub(crate) scopes: Vec<String>,
}

/// What the consent page does.
#[derive(Clone)]
pub(crate) enum Consent {
    /// Shows a page with a button per user.
    Ask,
    /// This user agrees at once: to everything, or to those of the scopes.
    Grant {
        email: String,
        only: Option<Vec<String>>,
    },
    /// The user refuses.
    Deny,
}

/// The virtual machine that the metadata server describes.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) email: String,
    pub(crate) project: String,
    pub(crate) scopes: Vec<String>,
    /// Other accounts of the machine, with their scopes.
    pub(crate) accounts: BTreeMap<String, Vec<String>>,
    /// Whether it hands out the scopes that it is asked for, as Cloud Run does.
    pub(crate) heeds_scopes: bool,
    /// Whether it knows `?recursive=true`; GKE's has not always.
    pub(crate) knows_recursive: bool,
    /// Before this, nobody answers.
    pub(crate) ready_at: Option<Instant>,
    /// By account and scopes: the token that is handed out until shortly before its end.
    pub(crate) tokens: BTreeMap<(String, Vec<String>), String>,
}

/// Why a bearer is not good for anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// It was one, or at least looks like one.
    Expired,
    /// Google never issues anything like it.
    Unsupported,
}

/// `time` plus `by`, or the end of time if that is beyond it.
pub(crate) fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| time.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl State {
    /// The project with this id or number.
    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.is_called(name))
    }

    pub(crate) fn client(&self, id: &str) -> Option<&OAuthClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Makes an access token and says which string stands for it.
    pub(crate) fn issue(&mut self, token: Token) -> String {
        let secret = format!("ya29.emulator-{}", random::url_safe(48));
        self.tokens.insert(secret.clone(), token);
        secret
    }

    /// When a token issued at `now` ends.
    pub(crate) fn expiry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        later(now, self.token_lifetime)
    }

    /// Remembers a grant and says which refresh token stands for it.
    pub(crate) fn grant(&mut self, grant: Grant) -> String {
        let secret = format!("1//emulator-{}", random::url_safe(48));
        self.users.insert(grant.email.clone());
        self.grants.insert(secret.clone(), grant);
        secret
    }

    /// The token behind a bearer, if it is good at `now`.
    pub(crate) fn valid_token(&self, bearer: &str, now: DateTime<Utc>) -> Result<Token, BadToken> {
        match self.tokens.get(bearer) {
            Some(token) if !token.revoked && now < token.expires_at => Ok(token.clone()),
            Some(_) => Err(BadToken::Expired),
            None if bearer.starts_with("ya29.") => Err(BadToken::Expired),
            None => Err(BadToken::Unsupported),
        }
    }

    /// Revokes one refresh token, or one access token together with the refresh token behind it
    /// (RFC 7009 section 2.1), and every access token that came from it. False if there is no
    /// such token.
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

    /// The refresh tokens that were granted together with this one, itself included.
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

    /// The kind of principal that an e-mail address belongs to, for tokens made without a grant.
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
