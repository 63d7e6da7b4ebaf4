//! A credential of any kind after its file was read.

use std::sync::Arc;

use ee_token::{Scopes, TokenSource};

use crate::CredentialKind;
use crate::kinds::id_token::IdTokenSource;
use crate::kinds::identity::{Identity, UserLogin};

/// A credential that was read and validated.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) kind: CredentialKind,
    pub(crate) source: Arc<dyn TokenSource>,
    /// Set for service accounts.
    pub(crate) id_tokens: Option<Arc<dyn IdTokenSource>>,
    /// The user login behind `source`, whose owner the server may name.
    pub(crate) login: Option<UserLogin>,
    /// The identity, as far as the credential names it. Reading its file again does not change it.
    pub(crate) identity: Identity,
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) quota_project: Option<Box<str>>,
    pub(crate) project: Option<Box<str>>,
    pub(crate) oauth_client_id: Option<Arc<str>>,
    pub(crate) scopes: Option<Scopes>,
}

impl Credential {
    /// Creates a credential of an unnamed account.
    pub(crate) fn new(kind: CredentialKind, source: Arc<dyn TokenSource>) -> Self {
        Self {
            kind,
            source,
            id_tokens: None,
            login: None,
            identity: Identity::login(None),
            principal: None,
            quota_project: None,
            project: None,
            oauth_client_id: None,
            scopes: None,
        }
    }

    pub(crate) fn id_tokens(mut self, source: Arc<dyn IdTokenSource>) -> Self {
        self.id_tokens = Some(source);
        self
    }

    pub(crate) fn login(mut self, login: Option<UserLogin>) -> Self {
        self.login = login;
        self
    }

    pub(crate) fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    pub(crate) fn principal(mut self, principal: Option<impl Into<Arc<str>>>) -> Self {
        self.principal = principal.map(Into::into);
        self
    }

    pub(crate) fn quota_project(mut self, project: Option<impl Into<Box<str>>>) -> Self {
        self.quota_project = project.map(Into::into);
        self
    }

    pub(crate) fn project(mut self, project: Option<impl Into<Box<str>>>) -> Self {
        self.project = project.map(Into::into);
        self
    }

    pub(crate) fn oauth_client_id(mut self, id: Arc<str>) -> Self {
        self.oauth_client_id = Some(id);
        self
    }

    pub(crate) fn scopes(mut self, scopes: Option<Scopes>) -> Self {
        self.scopes = scopes;
        self
    }
}
