//! What every kind of credential becomes once it is read.

use std::sync::Arc;

use ee_token::{Scopes, TokenSource};

use crate::CredentialKind;
use crate::kinds::identity::{Identity, UserLogin};

/// A credential that was read and checked, before it is anybody's.
pub(crate) struct Credential {
    pub(crate) kind: CredentialKind,
    pub(crate) source: Arc<dyn TokenSource>,
    /// The person's login behind it, if there is one: the server may name its owner.
    pub(crate) login: Option<UserLogin>,
    /// Whose credential it is, as far as it says so. Not to be changed by reading it again.
    pub(crate) identity: Identity,
    /// In whose name requests are made.
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) quota_project: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) oauth_client_id: Option<Arc<str>>,
    pub(crate) scopes: Option<Scopes>,
}
