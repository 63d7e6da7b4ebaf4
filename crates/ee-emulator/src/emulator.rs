//! The handle to a running emulator.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::content::{EmulatedOperation, PUBLIC, StoredAsset, StoredOperation};
use crate::federation::{Ec2, Trust};
use crate::oauth_client::{EARTHENGINE_CLIENT_ID, GCLOUD_CLIENT_ID};
use crate::state::{Account, Consent, Grant, Shared, Token, later};
use crate::{
    AwsKey, Concurrency, EcKey, EmulatorClock, Fault, OidcProvider, Project, RecordedRequest,
    RsaKey, ServiceAccount, ServiceIdentity, User, WorkforceUser, X509Provider, random, scopes,
    workforce_user,
};

/// A running server that emulates Google's hosts.
///
/// Dropping it stops the server. All methods can be called at any time, from any thread.
pub struct Emulator {
    shared: Arc<Shared>,
    running: Running,
    share_keys: bool,
}

/// The handle to the serving task, which ends when `stop` is dropped.
pub(crate) struct Running {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) finished: oneshot::Receiver<()>,
}

impl Emulator {
    pub(crate) fn new(shared: Arc<Shared>, running: Running, share_keys: bool) -> Self {
        Self {
            shared,
            running,
            share_keys,
        }
    }

    /// Stops the emulator, and waits until its port is free and its connections are closed.
    pub async fn shutdown(self) {
        let Running { stop, finished } = self.running;
        drop(stop);
        // An error means that the task has ended with its runtime.
        let _ = finished.await;
    }

    /// Returns the address on which the emulator listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Returns the base URL of an emulated host, without a trailing slash:
    /// `http://127.0.0.1:PORT/HOST`.
    pub fn url(&self, host: &str) -> String {
        self.shared.url(host)
    }

    /// Returns the emulator's clock.
    pub fn clock(&self) -> &EmulatorClock {
        &self.shared.clock
    }

    /// Adds a project, or replaces the one with the same id.
    pub fn add_project(&self, project: Project) {
        let mut state = self.shared.state();
        state.projects.retain(|other| other.id != project.id);
        state.projects.push(project);
    }

    /// Creates a service account with a key, or adds a key to an existing account.
    ///
    /// The account's requests are billed to `project` by default. This method does not create the
    /// project; if it does not exist, the account's requests fail.
    pub fn create_service_account(&self, email: &str, project: &str) -> ServiceAccount {
        // Generated before the lock is taken, because it is slow.
        let key = if self.share_keys {
            RsaKey::shared().clone()
        } else {
            RsaKey::generate(2048)
        };
        self.create_service_account_with_key(email, project, key)
    }

    /// Creates a service account with the given key.
    ///
    /// See [`create_service_account`](Self::create_service_account).
    pub fn create_service_account_with_key(
        &self,
        email: &str,
        project: &str,
        key: RsaKey,
    ) -> ServiceAccount {
        let account = ServiceAccount {
            email: email.to_owned(),
            project: project.to_owned(),
            client_id: random::digits(21),
            private_key_id: random::hex(20),
            key,
        };
        let mut state = self.shared.state();
        let known = state
            .accounts
            .entry(account.email.clone())
            .or_insert_with(|| Account {
                project: account.project.clone(),
                keys: Default::default(),
                delegated: Default::default(),
            });
        known.project.clone_from(&account.project);
        known
            .keys
            .insert(account.private_key_id.clone(), account.key.clone());
        account
    }

    /// Deletes a service account, which invalidates its tokens and keys.
    pub fn delete_service_account(&self, email: &str) {
        let mut state = self.shared.state();
        state.accounts.remove(email);
        state.impersonators.remove(email);
        state.tokens.retain(|_, token| token.email != email);
    }

    /// Deletes one key of a service account, by its id.
    ///
    /// Assertions signed with the key are rejected. Access tokens issued for it stay valid.
    pub fn delete_service_account_key(&self, email: &str, key_id: &str) {
        if let Some(account) = self.shared.state().accounts.get_mut(email) {
            account.keys.remove(key_id);
        }
    }

    /// Deletes a user, which invalidates all of the user's logins and tokens.
    pub fn delete_user(&self, email: &str) {
        let mut state = self.shared.state();
        state.users.remove(email);
        state.grants.retain(|_, grant| grant.email != email);
        state.tokens.retain(|_, token| token.email != email);
    }

    /// Deletes a provider of an identity pool, which stops token exchanges for its audience.
    pub fn delete_provider(&self, audience: &str) {
        self.shared.state().providers.remove(audience);
    }

    /// Grants domain-wide delegation: the service account can name this user in its JWT's `sub`.
    pub fn allow_delegation(&self, email: &str, subject: &str) {
        if let Some(account) = self.shared.state().accounts.get_mut(email) {
            account.delegated.insert(subject.to_owned());
        }
    }

    /// Grants a principal the role Service Account Token Creator on a service account.
    ///
    /// A delegation chain needs this grant for each step.
    pub fn allow_impersonation(&self, source_email: &str, target_email: &str) {
        self.shared
            .state()
            .impersonators
            .entry(target_email.to_owned())
            .or_default()
            .insert(source_email.to_owned());
    }

    /// Creates a provider of a workload or workforce identity pool that trusts an OpenID Connect
    /// issuer.
    ///
    /// The audience is the provider's full name:
    /// `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID`
    /// or `//iam.googleapis.com/locations/global/workforcePools/POOL/providers/ID`.
    pub fn create_oidc_provider(&self, audience: &str) -> OidcProvider {
        let provider = OidcProvider {
            audience: audience.to_owned(),
            issuer: "https://issuer.example".to_owned(),
            key: RsaKey::shared().clone(),
            clock: self.clock().clone(),
        };
        let trust = Trust::Oidc {
            issuer: provider.issuer.clone(),
            key: provider.key.clone(),
        };
        self.trust(audience, trust);
        provider
    }

    /// Creates a provider that trusts requests signed with the AWS keys of
    /// [`add_aws_key`](Self::add_aws_key). Their IAM principals are `principal:POOL/subject/ARN`.
    pub fn create_aws_provider(&self, audience: &str) {
        self.trust(audience, Trust::Aws);
    }

    /// Creates a provider that trusts the certificates of its own certificate authority.
    ///
    /// Tokens are exchanged at `sts.mtls.googleapis.com`. The emulator serves plain HTTP there, and
    /// validates the certificate chain in the request instead of a TLS client certificate.
    pub fn create_x509_provider(&self, audience: &str) -> X509Provider {
        let authority = RsaKey::shared().clone();
        let trust = Trust::X509 {
            authority: authority.clone(),
        };
        self.trust(audience, trust);
        X509Provider {
            audience: audience.to_owned(),
            authority,
            clock: self.clock().clone(),
        }
    }

    fn trust(&self, audience: &str, trust: Trust) {
        self.shared
            .state()
            .providers
            .insert(audience.to_owned(), trust);
    }

    /// Adds an AWS access key, or replaces the one with the same id.
    pub fn add_aws_key(&self, key: AwsKey) {
        self.shared.state().aws_keys.insert(key.id.clone(), key);
    }

    /// Enables Amazon's instance metadata service (version 2 only), for an instance with this role in
    /// this availability zone (such as `us-east-2b`).
    ///
    /// Returns the key that the service provides.
    pub fn run_on_ec2(&self, role: &str, availability_zone: &str) -> AwsKey {
        let key = AwsKey::for_role(role);
        self.add_aws_key(key.clone());
        self.shared.state().ec2 = Some(Ec2 {
            role: role.to_owned(),
            zone: availability_zone.to_owned(),
            key: key.clone(),
            sessions: Vec::new(),
        });
        key
    }

    /// Creates a user who has logged in with gcloud through a workforce pool, with the scope
    /// `cloud-platform`.
    pub fn create_workforce_user(&self, subject: &str) -> WorkforceUser {
        let pool = workforce_user::POOL;
        let principal = format!("principal:{pool}/subject/{subject}");
        let refresh_token = self.grant(&principal, GCLOUD_CLIENT_ID, &[scopes::CLOUD_PLATFORM]);
        WorkforceUser {
            principal,
            refresh_token,
        }
    }

    /// Sets whether each use of a workforce user's refresh token returns a new one and revokes the old
    /// one (RFC 6749 section 6). Defaults to `false`.
    pub fn rotate_refresh_tokens(&self, rotate: bool) {
        self.shared.state().rotates_refresh_tokens = rotate;
    }

    /// Creates a service identity of Google Distributed Cloud, with a key.
    pub fn create_service_identity(&self, project: &str, name: &str) -> ServiceIdentity {
        let identity = ServiceIdentity {
            project: project.to_owned(),
            name: name.to_owned(),
            key_id: random::hex(20),
            key: EcKey::generate(),
        };
        self.shared.state().identities.push(identity.clone());
        identity
    }

    /// Creates a user who has logged in with gcloud and with Earth Engine's client.
    ///
    /// gcloud's login has the scopes `openid`, `userinfo.email`, `cloud-platform` and `earthengine`;
    /// that of Earth Engine's client has `earthengine`, `cloud-platform`, `drive` and
    /// `devstorage.full_control`.
    pub fn create_user(&self, email: &str) -> User {
        self.create_user_with_scopes(email, &scopes::GCLOUD_LOGIN, &scopes::EARTHENGINE_LOGIN)
    }

    /// Creates a user whose logins with gcloud and with Earth Engine's client have these scopes.
    ///
    /// Short names such as `earthengine` are expanded. See [`create_user`](Self::create_user).
    pub fn create_user_with_scopes<S: AsRef<str>, T: AsRef<str>>(
        &self,
        email: &str,
        gcloud: &[S],
        earthengine: &[T],
    ) -> User {
        let family = random::hex(8);
        let mut state = self.shared.state();
        let mut grant = |client_id: &str, scopes: Vec<String>| {
            state.grant(Grant {
                family: family.clone(),
                ..Grant::new(email, client_id, scopes)
            })
        };
        User {
            email: email.to_owned(),
            gcloud_refresh_token: grant(GCLOUD_CLIENT_ID, scopes::full_all(gcloud)),
            earthengine_refresh_token: grant(EARTHENGINE_CLIENT_ID, scopes::full_all(earthengine)),
        }
    }

    /// Issues a refresh token, as if the user had granted these scopes to this client.
    pub fn grant<S: AsRef<str>>(&self, email: &str, client_id: &str, scopes: &[S]) -> String {
        let grant = Grant::new(email, client_id, scopes::full_all(scopes));
        self.shared.state().grant(grant)
    }

    /// Revokes a token.
    ///
    /// For a refresh token, this includes the other refresh token from the same
    /// [`create_user`](Self::create_user) call and all access tokens issued for either.
    pub fn revoke(&self, token: &str) {
        let mut state = self.shared.state();
        let family = state.family_of(token);
        if family.is_empty() {
            state.revoke_one(token);
        }
        for refresh_token in family {
            state.revoke_one(&refresh_token);
        }
    }

    /// Requires the user to log in again.
    ///
    /// This refresh token, and the other one from the same call of
    /// [`create_user`](Self::create_user), fail with `invalid_grant` and the subtype `invalid_rapt`.
    /// Access tokens stay valid.
    pub fn require_reauth(&self, refresh_token: &str) {
        let mut state = self.shared.state();
        for secret in state.family_of(refresh_token) {
            if let Some(grant) = state.grants.get_mut(&secret) {
                grant.needs_reauthentication = true;
            }
        }
    }

    /// Issues an access token for a service account or, if none has this email address, for a user.
    ///
    /// A user's token is issued to gcloud's client, so that requests need a quota project.
    pub fn issue_token<S: AsRef<str>>(
        &self,
        email: &str,
        scopes: &[S],
        lifetime: Duration,
    ) -> String {
        let expires_at = later(self.clock().now(), lifetime);
        let mut state = self.shared.state();
        let issued_to = state.issued_to(email);
        state.issue(Token {
            email: email.to_owned(),
            scopes: scopes::full_all(scopes),
            expires_at,
            revoked: false,
            issued_to,
        })
    }

    /// Revokes all access tokens issued so far.
    pub fn expire_tokens(&self) {
        for token in self.shared.state().tokens.values_mut() {
            token.revoked = true;
        }
    }

    /// Removes expired access tokens from memory.
    ///
    /// Only useful in tests that run for hours with short-lived tokens; clients see no difference.
    pub fn purge_expired_tokens(&self) {
        let now = self.clock().now();
        let mut state = self.shared.state();
        state.tokens.retain(|_, token| now < token.expires_at);
    }

    /// Makes the consent page redirect immediately, with this user's consent to all requested scopes.
    pub fn auto_consent(&self, email: &str) {
        self.consent(Consent::Grant {
            email: email.to_owned(),
            only: None,
        });
    }

    /// Makes the consent page redirect immediately, with this user's consent to only those requested
    /// scopes that are in `scopes`.
    pub fn auto_consent_only<S: AsRef<str>>(&self, email: &str, scopes: &[S]) {
        self.consent(Consent::Grant {
            email: email.to_owned(),
            only: Some(scopes::full_all(scopes)),
        });
    }

    /// Makes the consent page redirect immediately with `access_denied`.
    pub fn deny_consent(&self) {
        self.consent(Consent::Deny);
    }

    /// Makes the consent page show its form. This is the default.
    pub fn ask_consent(&self) {
        self.consent(Consent::Ask);
    }

    fn consent(&self, consent: Consent) {
        let mut state = self.shared.state();
        if let Consent::Grant { email, .. } = &consent {
            state.users.insert(email.clone());
        }
        state.consent = consent;
    }

    /// Queues a fault for a host, which need not be one that the emulator knows.
    pub fn fault(&self, host: &str, fault: Fault) {
        self.shared.faults().queue(host, fault);
    }

    /// Removes all queued faults.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Returns the number of fault occurrences left for this host.
    pub fn faults_left(&self, host: &str) -> usize {
        self.shared.faults().left(host)
    }

    /// Limits the number of requests that a host handles at once; more are rejected with a 429.
    /// Defaults to `None`, no limit.
    pub fn limit_concurrency(&self, host: &str, limit: Option<usize>) {
        self.shared.concurrency.set_limit(host, limit);
    }

    /// Returns the number of requests in flight at a host, and how many it rejected.
    pub fn concurrency(&self, host: &str) -> Concurrency {
        self.shared.concurrency.count(host)
    }

    /// Adds an asset of this type (`IMAGE`, `TABLE`, …), also where clients cannot create one, such
    /// as in the public catalog.
    pub fn put_asset(&self, name: &str, kind: &str) {
        self.put(name, StoredAsset::new(kind, self.shared.clock.now()));
    }

    /// Adds an asset with these fields of the API, such as `type`, `sizeBytes` and `properties`. The
    /// pixels of an image with `bands` are a checkerboard in each band.
    pub fn put_asset_fields(
        &self,
        name: &str,
        fields: impl IntoIterator<Item = (String, serde_json::Value)>,
    ) {
        let mut asset = StoredAsset::new("IMAGE", self.shared.clock.now());
        asset.fields.extend(fields);
        self.put(name, asset);
    }

    /// Adds a table asset with these features (GeoJSON).
    pub fn put_table(&self, name: &str, features: impl IntoIterator<Item = serde_json::Value>) {
        let mut asset = StoredAsset::new("TABLE", self.shared.clock.now());
        asset.features.extend(features);
        self.put(name, asset);
    }

    fn put(&self, name: &str, asset: StoredAsset) {
        let assets = &mut self.shared.state().content.assets;
        assets.insert(name.to_owned(), asset);
    }

    /// Returns the names of all assets outside of the public catalog, sorted.
    pub fn assets(&self) -> Vec<String> {
        let state = self.shared.state();
        let names = state.content.assets.keys();
        names
            .filter(|name| !name.starts_with(PUBLIC))
            .cloned()
            .collect()
    }

    /// Returns the operations that were started and not deleted, oldest first.
    ///
    /// An operation advances by one state each time a client requests it.
    pub fn operations(&self) -> Vec<EmulatedOperation> {
        let state = self.shared.state();
        let describe = |operation: &StoredOperation| EmulatedOperation {
            name: operation.name.clone(),
            kind: operation.kind.to_owned(),
            state: operation.state.to_owned(),
            request_id: operation.request_id.clone(),
        };
        state.content.operations.iter().map(describe).collect()
    }

    /// Makes the next operation that is started fail with this message.
    pub fn fail_operation(&self, message: &str) {
        self.shared
            .state()
            .content
            .failures
            .push_back(message.to_owned());
    }

    /// Sets whether running operations never finish. Defaults to `false`.
    pub fn hang_operations(&self, hang: bool) {
        self.shared.state().content.hanging = hang;
    }

    /// Returns the recorded requests, in the order in which they were received.
    ///
    /// The log holds up to 100,000 requests and 256 MiB of bodies; older requests are dropped.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.log().all()
    }

    /// Returns the recorded requests to one host.
    pub fn requests_to(&self, host: &str) -> Vec<RecordedRequest> {
        self.shared.log().to_host(host)
    }

    /// Removes and returns the oldest requests in the log, up to the first that is in flight.
    ///
    /// Tests that count requests for hours call this regularly instead of
    /// [`requests`](Self::requests), so that none is dropped.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        self.shared.log().take_finished()
    }

    /// Returns the number of connections accepted so far. A reused connection counts once.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Clears the log of requests.
    pub fn clear_requests(&self) {
        self.shared.log().clear();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}
