//! The identity behind a credential, as far as its file and the server name it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use chrono::Utc;
use ee_token::{AccessToken, HttpClient, TokenCache};

use crate::CredentialKind;

/// The identity that the text of a credential names.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The account, the pool or the chain of accounts that the text names.
    named: Option<Arc<str>>,
    person: Person,
}

/// The person or workload behind what the text names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Person {
    /// The text names the account itself.
    NotNeeded,
    Unknown,
    Named(Arc<str>),
}

impl Identity {
    /// An account that the text names.
    pub(crate) fn account(name: impl Into<Arc<str>>) -> Self {
        Self {
            named: Some(name.into()),
            person: Person::NotNeeded,
        }
    }

    /// A user login, which may name its account.
    pub(crate) fn login(account: Option<Arc<str>>) -> Self {
        Self {
            named: None,
            person: account.map_or(Person::Unknown, Person::Named),
        }
    }

    /// An unnamed member of a pool.
    pub(crate) fn member_of(pool: Option<impl Into<Arc<str>>>) -> Self {
        Self {
            named: pool.map(Into::into),
            person: Person::Unknown,
        }
    }

    /// An account that another credential impersonates. The identity of both counts.
    pub(crate) fn impersonated(target: &str, kind: CredentialKind, source: &Self) -> Self {
        let named = match &source.named {
            Some(named) => format!("{target} by {kind} {named}"),
            None => format!("{target} by {kind}"),
        };
        Self {
            named: Some(named.into()),
            person: source.person.clone(),
        }
    }

    /// Returns whether both identities are the same, or `None` if the texts do not name both.
    pub(crate) fn is_same(&self, other: &Self) -> Option<bool> {
        if self.named != other.named {
            return Some(false);
        }
        match (&self.person, &other.person) {
            (Person::Unknown, _) => None,
            (before, after) => Some(before == after),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.named, &self.person) {
            (Some(named), Person::Named(person)) => write!(f, "{named} {person}"),
            (Some(name), _) | (None, Person::Named(name)) => f.write_str(name),
            (None, _) => f.write_str("an unnamed account"),
        }
    }
}

/// The account behind a login, as far as a server has named it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    /// The identifier (`sub`), unique at the server that issues the tokens.
    pub(crate) id: Option<Box<str>>,
    pub(crate) email: Option<Box<str>>,
}

impl Subject {
    pub(crate) fn is_known(&self) -> bool {
        self.id.is_some() || self.email.is_some()
    }

    /// Returns whether both are the same account, or `None` if they have no name in common.
    pub(crate) fn is_same(&self, other: &Self) -> Option<bool> {
        let compare = |a: &Option<Box<str>>, b: &Option<Box<str>>| Some(a.as_ref()? == b.as_ref()?);
        compare(&self.id, &other.id).or_else(|| compare(&self.email, &other.email))
    }
}

/// A query for the owner of a login.
pub(crate) type OwnerQuery<'a> =
    Pin<Box<dyn Future<Output = Result<Subject, ee_token::Error>> + Send + 'a>>;

/// A source of tokens whose owner the server may name.
pub(crate) trait LoginOwner: Send + Sync {
    /// Returns the subject that responses to token requests have named.
    fn named(&self) -> Subject {
        Subject::default()
    }

    /// Queries the server for the subject of a token.
    fn query<'a>(&'a self, token: &'a AccessToken, http: &'a HttpClient) -> OwnerQuery<'a>;
}

/// A login whose owner the server may name.
#[derive(Clone)]
pub(crate) struct UserLogin {
    owner: Arc<dyn LoginOwner>,
    /// The login's own tokens, if it is the source of an impersonation.
    tokens: Option<TokenCache>,
}

impl UserLogin {
    pub(crate) fn new(owner: Arc<dyn LoginOwner>) -> Self {
        Self {
            owner,
            tokens: None,
        }
    }

    /// Returns the same login as the source of an impersonation, with its tokens in this cache.
    pub(crate) fn with_tokens_from(mut self, tokens: &TokenCache) -> Self {
        self.tokens.get_or_insert_with(|| tokens.clone());
        self
    }

    /// Returns the subject that responses to token requests have named.
    pub(crate) fn named(&self) -> Subject {
        self.owner.named()
    }

    /// Queries the server for the subject. `token` is the credential's newest token. A server that
    /// cannot be reached or does not know the token names none.
    pub(crate) async fn query(&self, token: Option<&AccessToken>, http: &HttpClient) -> Subject {
        let own = match &self.tokens {
            Some(tokens) => tokens.cached(),
            None => token.cloned(),
        };
        let is_valid = |token: &AccessToken| token.expires_at().is_none_or(|end| end > Utc::now());
        let Some(token) = own.filter(is_valid) else {
            return Subject::default();
        };
        let subject = self.owner.query(&token, http).await;
        subject.unwrap_or_else(|error| {
            tracing::debug!(%error, "the owner of a token cannot be queried");
            Subject::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_compared_by_their_names() {
        let login =
            |account: &str| Identity::login((!account.is_empty()).then(|| Arc::from(account)));
        let pool = |name: &str| Identity::member_of(Some(name));
        let acting = |kind, source: &Identity| Identity::impersonated("robot@p", kind, source);
        let (user, workforce) = (
            CredentialKind::AuthorizedUser,
            CredentialKind::ExternalAccountAuthorizedUser,
        );
        let for_user = |account| acting(user, &login(account));
        let for_pool = |name| acting(workforce, &pool(name));
        for (before, after, is_same) in [
            (Identity::account("a"), Identity::account("a"), Some(true)),
            (Identity::account("a"), Identity::account("b"), Some(false)),
            (login(""), login(""), None),
            (login(""), login("jane"), None),
            (login("jane"), login("jane"), Some(true)),
            (login("jane"), login("john"), Some(false)),
            (login("jane"), login(""), Some(false)),
            (pool("p"), pool("p"), None),
            (pool("p"), pool("q"), Some(false)),
            (for_user(""), for_user("jane"), None),
            (for_user("jane"), for_user("john"), Some(false)),
            (for_user("jane"), for_user("jane"), Some(true)),
            (for_pool("p"), for_pool("p"), None),
            (for_pool("p"), for_pool("q"), Some(false)),
            (for_user(""), for_pool("p"), Some(false)),
            (
                acting(CredentialKind::ServiceAccount, &Identity::account("a")),
                acting(CredentialKind::ServiceAccount, &Identity::account("b")),
                Some(false),
            ),
            (
                for_user(""),
                Identity::impersonated("other@p", user, &login("")),
                Some(false),
            ),
        ] {
            assert_eq!(before.is_same(&after), is_same, "{before:?} {after:?}");
        }
    }

    #[test]
    fn subjects_are_compared_by_id_then_email() {
        let subject = |id: &str, email: &str| Subject {
            id: (!id.is_empty()).then(|| id.into()),
            email: (!email.is_empty()).then(|| email.into()),
        };
        for (before, after, is_same) in [
            (subject("1", ""), subject("1", ""), Some(true)),
            (subject("1", "a@x"), subject("2", "a@x"), Some(false)),
            // An address can change its name.
            (subject("1", "a@x"), subject("1", "b@x"), Some(true)),
            (subject("", "a@x"), subject("2", "b@x"), Some(false)),
            (subject("1", ""), subject("", "b@x"), None),
            (subject("", ""), subject("2", "b@x"), None),
        ] {
            assert_eq!(before.is_same(&after), is_same, "{before:?} {after:?}");
        }
    }
}
