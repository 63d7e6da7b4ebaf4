//! Whose a credential is, as far as its text and the server say.

use std::fmt;
use std::sync::Arc;

use chrono::Utc;
use ee_token::{AccessToken, HttpClient, TokenCache, token_info};

use crate::CredentialKind;
use crate::kinds::external_account_authorized_user::WorkforceUser;
use crate::kinds::user_login::RefreshToken;

/// What the text of a credential says about its identity.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The account, the pool or the chain of accounts that the text names.
    named: Option<Arc<str>>,
    person: Person,
}

/// The person or workload behind what the text names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Person {
    /// There is none: the text names the account itself.
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

    /// A person's login, which may name its account.
    pub(crate) fn login(account: Option<Arc<str>>) -> Self {
        Self {
            named: None,
            person: account.map_or(Person::Unknown, Person::Named),
        }
    }

    /// A member of a pool: the text does not say which.
    pub(crate) fn member_of(pool: Option<impl Into<Arc<str>>>) -> Self {
        Self {
            named: pool.map(Into::into),
            person: Person::Unknown,
        }
    }

    /// An account that another credential acts as. The identity of both counts.
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

    /// Whether another text is of the same identity. `None` if the texts do not tell.
    pub(crate) fn secret_eq(&self, other: &Self) -> Option<bool> {
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

    /// Whether another is the same account. `None` if the two have nothing to compare.
    pub(crate) fn secret_eq(&self, other: &Self) -> Option<bool> {
        let compare = |a: &Option<Box<str>>, b: &Option<Box<str>>| Some(a.as_ref()? == b.as_ref()?);
        compare(&self.id, &other.id).or_else(|| compare(&self.email, &other.email))
    }
}

/// A login whose owner the server may name.
#[derive(Clone)]
pub(crate) struct UserLogin {
    issuer: Issuer,
    /// The login's own tokens, if it is the source of an impersonation.
    tokens: Option<TokenCache>,
}

#[derive(Clone)]
enum Issuer {
    Google(Arc<RefreshToken>),
    Workforce(Arc<WorkforceUser>),
}

impl UserLogin {
    /// The same login as the source of an impersonation, which gets its tokens from this cache.
    pub(crate) fn with_tokens_from(mut self, tokens: &TokenCache) -> Self {
        self.tokens.get_or_insert_with(|| tokens.clone());
        self
    }

    /// Returns the subject that responses to token requests have named.
    pub(crate) fn named(&self) -> Subject {
        match &self.issuer {
            Issuer::Google(login) => Subject {
                id: login.owner.get().cloned(),
                email: None,
            },
            Issuer::Workforce(_) => Subject::default(),
        }
    }

    /// Queries the server for the subject. `token` is the newest token that the credential has
    /// brought. A server that cannot be reached or does not know the token names none.
    pub(crate) async fn query(&self, token: Option<&AccessToken>, http: &HttpClient) -> Subject {
        let own = match &self.tokens {
            Some(tokens) => tokens.cached(),
            None => token.cloned(),
        };
        let is_valid = |token: &AccessToken| token.expires_at().is_none_or(|end| end > Utc::now());
        let Some(token) = own.filter(is_valid) else {
            return Subject::default();
        };
        let subject = match &self.issuer {
            Issuer::Google(_) => token_info(http, &token).await.map(|info| Subject {
                id: info.subject.map(String::into_boxed_str),
                email: info.email.map(String::into_boxed_str),
            }),
            Issuer::Workforce(user) => user.introspect(&token).await.map(|sub| Subject {
                id: sub.map(String::into_boxed_str),
                email: None,
            }),
        };
        subject.unwrap_or_else(|error| {
            tracing::debug!(%error, "the owner of a token cannot be queried");
            Subject::default()
        })
    }
}

impl From<Arc<RefreshToken>> for UserLogin {
    fn from(login: Arc<RefreshToken>) -> Self {
        Self {
            issuer: Issuer::Google(login),
            tokens: None,
        }
    }
}

impl From<Arc<WorkforceUser>> for UserLogin {
    fn from(user: Arc<WorkforceUser>) -> Self {
        Self {
            issuer: Issuer::Workforce(user),
            tokens: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_tell_identities_apart_as_far_as_they_name_them() {
        let login =
            |account: &str| Identity::login((!account.is_empty()).then(|| Arc::from(account)));
        let pool = |name: &str| Identity::member_of(Some(name));
        let acting = |kind, source: &Identity| Identity::impersonated("robot@p", kind, source);
        let (user, workforce) = (
            CredentialKind::AuthorizedUser,
            CredentialKind::ExternalAccountAuthorizedUser,
        );
        for (before, after, secret_eq) in [
            (Identity::account("a"), Identity::account("a"), Some(true)),
            (Identity::account("a"), Identity::account("b"), Some(false)),
            (login(""), login(""), None),
            (login(""), login("jane"), None),
            (login("jane"), login("jane"), Some(true)),
            (login("jane"), login("john"), Some(false)),
            (login("jane"), login(""), Some(false)),
            (pool("p"), pool("p"), None),
            (pool("p"), pool("q"), Some(false)),
            (acting(user, &login("")), acting(user, &login("jane")), None),
            (
                acting(user, &login("jane")),
                acting(user, &login("john")),
                Some(false),
            ),
            (
                acting(user, &login("jane")),
                acting(user, &login("jane")),
                Some(true),
            ),
            (
                acting(workforce, &pool("p")),
                acting(workforce, &pool("p")),
                None,
            ),
            (
                acting(workforce, &pool("p")),
                acting(workforce, &pool("q")),
                Some(false),
            ),
            (
                acting(user, &login("")),
                acting(workforce, &pool("p")),
                Some(false),
            ),
            (
                acting(CredentialKind::ServiceAccount, &Identity::account("a")),
                acting(CredentialKind::ServiceAccount, &Identity::account("b")),
                Some(false),
            ),
            (
                acting(user, &login("")),
                Identity::impersonated("other@p", user, &login("")),
                Some(false),
            ),
        ] {
            assert_eq!(before.secret_eq(&after), secret_eq, "{before:?} {after:?}");
        }
    }

    #[test]
    fn subjects_are_compared_by_id_and_then_by_address() {
        let subject = |id: &str, email: &str| Subject {
            id: (!id.is_empty()).then(|| id.into()),
            email: (!email.is_empty()).then(|| email.into()),
        };
        for (before, after, secret_eq) in [
            (subject("1", ""), subject("1", ""), Some(true)),
            (subject("1", "a@x"), subject("2", "a@x"), Some(false)),
            // An address can change its name.
            (subject("1", "a@x"), subject("1", "b@x"), Some(true)),
            (subject("", "a@x"), subject("2", "b@x"), Some(false)),
            (subject("1", ""), subject("", "b@x"), None),
            (subject("", ""), subject("2", "b@x"), None),
        ] {
            assert_eq!(before.secret_eq(&after), secret_eq, "{before:?} {after:?}");
        }
    }
}
