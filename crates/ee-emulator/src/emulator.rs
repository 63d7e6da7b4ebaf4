//! The running emulator, as its owner holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::content::{EmulatedOperation, StoredAsset, StoredOperation};
use crate::federation::{Ec2, Trust};
use crate::oauth_client::{EARTHENGINE_CLIENT_ID, GCLOUD_CLIENT_ID};
use crate::server::Shared;
use crate::state::{Account, Consent, Grant, Token, later};
use crate::{
    AwsKey, Concurrency, EcKey, EmulatorBuilder, EmulatorClock, Fault, OidcProvider, Project,
    RecordedRequest, RsaKey, ServiceAccount, ServiceIdentity, User, WorkforceUser, X509Provider,
    random, scopes, workforce_user,
};

/// A running server that answers in the name of Google's hosts.
///
/// It stops when it is dropped. All methods may be called at any time, from any thread.
pub struct Emulator {
    shared: Arc<Shared>,
    running: Running,
    share_keys: bool,
}

/// The other end of the serving task. That ends when `stop` is dropped, if not before.
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

    /// An emulator with the default settings: one project, no accounts.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// An emulator with other settings.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// Stops the emulator and waits until its port is free and its connections are closed.
    pub async fn shutdown(self) {
        let Running { stop, finished } = self.running;
        drop(stop);
        // An error means that the task is gone already, and its runtime with it.
        let _ = finished.await;
    }

    /// Where the emulator listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL of a Google host here, without a slash at the end:
    /// `http://127.0.0.1:PORT/HOST`.
    pub fn url(&self, host: &str) -> String {
        self.shared.url(host)
    }

    /// The clock that the emulator goes by.
    pub fn clock(&self) -> &EmulatorClock {
        &self.shared.clock
    }

    /// Adds a project, or replaces the one with the same id.
    pub fn add_project(&self, project: Project) {
        let mut state = self.shared.state();
        state.projects.retain(|other| other.id != project.id);
        state.projects.push(project);
    }

    /// Creates a service account with a key; if it exists already, with one key more. The project
    /// is the one that pays for the account's requests. It is not created by this: where it does
    /// not exist, the account's requests are refused.
    pub fn create_service_account(&self, email: &str, project: &str) -> ServiceAccount {
        // Before the lock is taken: this takes a while.
        let key = if self.share_keys {
            RsaKey::shared().clone()
        } else {
            RsaKey::generate(2048)
        };
        self.create_service_account_with_key(email, project, key)
    }

    /// [`create_service_account`](Self::create_service_account) with a key of the caller's.
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

    /// Deletes a service account: its tokens and keys are good for nothing from now on.
    pub fn delete_service_account(&self, email: &str) {
        let mut state = self.shared.state();
        state.accounts.remove(email);
        state.impersonators.remove(email);
        state.tokens.retain(|_, token| token.email != email);
    }

    /// Deletes one key of a service account, by its id: what it signs is refused from now on.
    /// Tokens that it brought stay valid.
    pub fn delete_service_account_key(&self, email: &str, key_id: &str) {
        if let Some(account) = self.shared.state().accounts.get_mut(email) {
            account.keys.remove(key_id);
        }
    }

    /// Deletes a user: all logins and tokens are good for nothing from now on.
    pub fn delete_user(&self, email: &str) {
        let mut state = self.shared.state();
        state.users.remove(email);
        state.grants.retain(|_, grant| grant.email != email);
        state.tokens.retain(|_, token| token.email != email);
    }

    /// Deletes a provider of an identity pool: no token is exchanged there from now on.
    pub fn delete_provider(&self, audience: &str) {
        self.shared.state().providers.remove(audience);
    }

    /// Lets a service account act for a user (domain-wide delegation: `sub` in its JWT).
    pub fn allow_delegation(&self, email: &str, subject: &str) {
        if let Some(account) = self.shared.state().accounts.get_mut(email) {
            account.delegated.insert(subject.to_owned());
        }
    }

    /// Lets a service account or a user act as another service account (the role Service Account
    /// Token Creator). Chains through delegates need it for each step.
    pub fn allow_impersonation(&self, source_email: &str, target_email: &str) {
        self.shared
            .state()
            .impersonators
            .entry(target_email.to_owned())
            .or_default()
            .insert(source_email.to_owned());
    }

    /// Creates a provider of a workload or workforce identity pool that trusts an OpenID Connect
    /// issuer. The audience is the provider's full name:
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
    /// [`add_aws_key`](Self::add_aws_key). IAM knows their holders by
    /// `principal:POOL/subject/ARN`.
    pub fn create_aws_provider(&self, audience: &str) {
        self.trust(audience, Trust::Aws);
    }

    /// Creates a provider that trusts the certificates of an authority of its own. It is asked
    /// at `sts.mtls.googleapis.com`; the connection is HTTP all the same, so that what counts is
    /// the list of certificates in the request.
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

    /// Makes an AWS access key known, or replaces the one with the same id.
    pub fn add_aws_key(&self, key: AwsKey) {
        self.shared.state().aws_keys.insert(key.id.clone(), key);
    }

    /// Turns Amazon's instance metadata service on: that of a machine in this availability zone
    /// (`us-east-2b`), which acts in this role. Only version 2 of the service is there. Returns
    /// the key that it hands out.
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

    /// Creates a person who has logged in with gcloud through a workforce pool, for
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

    /// Whether each use of a workforce user's refresh token brings a new one, and ends the old
    /// one (RFC 6749 section 6). It does not unless told to.
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

    /// Creates a user who has logged in with gcloud (for `openid`, `userinfo.email`,
    /// `cloud-platform` and `earthengine`) and with Earth Engine's client (for `earthengine`,
    /// `cloud-platform`, `drive` and `devstorage.full_control`).
    pub fn create_user(&self, email: &str) -> User {
        self.create_user_with_scopes(email, &scopes::GCLOUD_LOGIN, &scopes::EARTHENGINE_LOGIN)
    }

    /// [`create_user`](Self::create_user) with other scopes (short names are understood) for the
    /// logins with gcloud and with Earth Engine's client.
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
                email: email.to_owned(),
                client_id: client_id.to_owned(),
                scopes,
                family: family.clone(),
                revoked: false,
                needs_reauthentication: false,
            })
        };
        User {
            email: email.to_owned(),
            gcloud_refresh_token: grant(GCLOUD_CLIENT_ID, scopes::full_all(gcloud)),
            earthengine_refresh_token: grant(EARTHENGINE_CLIENT_ID, scopes::full_all(earthengine)),
        }
    }

    /// Makes a refresh token, as if the user had granted these scopes to this client.
    pub fn grant<S: AsRef<str>>(&self, email: &str, client_id: &str, scopes: &[S]) -> String {
        self.shared.state().grant(Grant {
            email: email.to_owned(),
            client_id: client_id.to_owned(),
            scopes: scopes::full_all(scopes),
            family: random::hex(8),
            revoked: false,
            needs_reauthentication: false,
        })
    }

    /// Revokes a refresh token, those that [`create_user`](Self::create_user) made together with
    /// it, and the access tokens that came from them; or one access token.
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

    /// Demands that the user log in again before this refresh token, or one made together with
    /// it, is good again: `invalid_grant` with the subtype `invalid_rapt`. Access tokens stay
    /// valid.
    pub fn require_reauth(&self, refresh_token: &str) {
        let mut state = self.shared.state();
        for secret in state.family_of(refresh_token) {
            if let Some(grant) = state.grants.get_mut(&secret) {
                grant.needs_reauthentication = true;
            }
        }
    }

    /// Makes an access token for a service account or, if there is none of this name, for a user
    /// (then as gcloud's client would get it, so that requests need a quota project).
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

    /// Ends every access token that was handed out so far, as if it had been revoked.
    pub fn expire_tokens(&self) {
        for token in self.shared.state().tokens.values_mut() {
            token.revoked = true;
        }
    }

    /// Forgets the access tokens that have expired. Who runs for hours with tokens that live for
    /// seconds calls this now and then; clients see no difference.
    pub fn purge_expired_tokens(&self) {
        let now = self.clock().now();
        let mut state = self.shared.state();
        state.tokens.retain(|_, token| now < token.expires_at);
    }

    /// Makes the consent page send everyone back at once, with this user's consent to everything
    /// that was asked.
    pub fn auto_consent(&self, email: &str) {
        self.consent(Consent::Grant {
            email: email.to_owned(),
            only: None,
        });
    }

    /// The same, but with consent to these scopes only, for what of them was asked: the user has
    /// unticked the others.
    pub fn auto_consent_only<S: AsRef<str>>(&self, email: &str, scopes: &[S]) {
        self.consent(Consent::Grant {
            email: email.to_owned(),
            only: Some(scopes::full_all(scopes)),
        });
    }

    /// Makes the consent page send everyone back at once, without consent.
    pub fn deny_consent(&self) {
        self.consent(Consent::Deny);
    }

    /// Makes the consent page ask again, as it does at first.
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

    /// Queues something that goes wrong at a host. Hosts that the emulator does not know may be
    /// named too.
    pub fn fault(&self, host: &str, fault: Fault) {
        self.shared.faults().queue(host, fault);
    }

    /// Forgets all faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// How many requests to this host are still to meet with a fault.
    pub fn faults_left(&self, host: &str) -> usize {
        self.shared.faults().left(host)
    }

    /// Lets a host answer no more than so many requests at once, and turn the others away with
    /// a 429; `None`, as at first, lets it answer all.
    pub fn limit_concurrency(&self, host: &str, limit: Option<usize>) {
        self.shared.crowds.limit(host, limit);
    }

    /// How many requests a host answers at once, and how many it turned away.
    pub fn concurrency(&self, host: &str) -> Concurrency {
        self.shared.crowds.count(host)
    }

    /// Puts an asset of this kind (`IMAGE`, `TABLE`, …) where no client could put it: into the
    /// public catalogue, or without what it is made of.
    pub fn put_asset(&self, name: &str, kind: &str) {
        let asset = StoredAsset::new(kind, self.shared.clock.now());
        self.shared
            .state()
            .content
            .assets
            .insert(name.to_owned(), asset);
    }

    /// The names of all assets, in order.
    pub fn assets(&self) -> Vec<String> {
        self.shared.state().content.assets.keys().cloned().collect()
    }

    /// The operations that were started and not deleted, in order. Each goes one step on
    /// whenever a client asks for it.
    pub fn operations(&self) -> Vec<EmulatedOperation> {
        let state = self.shared.state();
        let seen = |operation: &StoredOperation| EmulatedOperation {
            name: operation.name.clone(),
            kind: operation.kind.to_owned(),
            state: operation.state.to_owned(),
            request_id: operation.request_id.clone(),
        };
        state.content.operations.iter().map(seen).collect()
    }

    /// Makes the operation that starts next fail with this message.
    pub fn fail_operation(&self, message: &str) {
        self.shared
            .state()
            .content
            .failures
            .push_back(message.to_owned());
    }

    /// Whether operations that run go on for ever.
    pub fn hang_operations(&self, hang: bool) {
        self.shared.state().content.hanging = hang;
    }

    /// The requests so far, in the order in which they were read. Of very many (100,000, or
    /// 256 MiB of bodies) the oldest are forgotten.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.log().all()
    }

    /// The requests to one host.
    pub fn requests_to(&self, host: &str) -> Vec<RecordedRequest> {
        self.shared.log().to_host(host)
    }

    /// Takes the oldest requests out of the log, up to the first that is still being answered.
    /// Who counts requests for hours calls this now and then, instead of
    /// [`requests`](Self::requests).
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        self.shared.log().take_ended()
    }

    /// How many connections clients have made so far: one that is used again counts once.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Forgets the requests so far.
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
