//! Identity providers of workload and workforce pools, and the credentials of their subjects.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;

use crate::x509::Certificate;
use crate::{EmulatorClock, RsaKey, jwt, random};

/// What a provider trusts.
#[derive(Clone)]
pub(crate) enum Trust {
    /// JWTs of this issuer, signed with this key.
    Oidc { issuer: String, key: RsaKey },
    /// Requests signed with any of the emulator's AWS keys.
    Aws,
    /// Certificates signed by this authority.
    X509 { authority: RsaKey },
}

/// An OpenID Connect provider of an identity pool.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let emulator = ee_emulator::Emulator::start().await?;
/// let provider = emulator.create_oidc_provider(
///     "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/ci",
/// );
/// let jwt = provider.subject_token("repo:me/it:ref:refs/heads/main");
/// assert_eq!(jwt.split('.').count(), 3);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct OidcProvider {
    pub(crate) audience: String,
    pub(crate) issuer: String,
    pub(crate) key: RsaKey,
    pub(crate) clock: EmulatorClock,
}

impl OidcProvider {
    /// Returns the provider's full name, which is the `audience` of a token exchange.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Returns a subject token (a JWT) for this subject that expires in one hour.
    pub fn subject_token(&self, subject: &str) -> String {
        self.subject_token_expiring_in(subject, 3600)
    }

    /// Returns a subject token that expires in `seconds` seconds. A negative number creates an expired
    /// token.
    pub fn subject_token_expiring_in(&self, subject: &str, seconds: i64) -> String {
        let expires = self.clock.now().timestamp().saturating_add(seconds);
        let claims = json!({
            "iss": self.issuer,
            "sub": subject,
            "aud": self.audience,
            "iat": expires - 3600,
            "exp": expires,
            "jti": random::hex(8),
        });
        jwt::encode(&self.key, KEY_ID, &claims)
    }

    /// Returns the IAM principal of a subject, for
    /// [`Emulator::allow_impersonation`](crate::Emulator::allow_impersonation).
    pub fn principal(&self, subject: &str) -> String {
        principal(&self.audience, subject)
    }
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// The `kid` in every subject token.
const KEY_ID: &str = "emulator";

/// Returns a provider's key in the form that JWT validation expects.
pub(crate) fn keys(key: &RsaKey) -> BTreeMap<String, RsaKey> {
    BTreeMap::from([(KEY_ID.to_owned(), key.clone())])
}

/// An X.509 provider of an identity pool: a certificate authority.
#[derive(Clone)]
pub struct X509Provider {
    pub(crate) audience: String,
    pub(crate) authority: RsaKey,
    pub(crate) clock: EmulatorClock,
}

impl X509Provider {
    /// Returns the provider's full name, which is the `audience` of a token exchange.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Issues a certificate for this common name, with a new key, valid for one day.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty or longer than 64 bytes (RFC 5280, `ub-common-name`).
    #[allow(clippy::panic, reason = "a programming error in the calling test")]
    pub fn certificate(&self, name: &str) -> ClientCertificate {
        assert!(
            !name.is_empty() && name.len() <= 64,
            "a common name has 1 to 64 bytes"
        );
        let key = RsaKey::generate(2048);
        let now = self.clock.now();
        let root = Certificate::issue(ROOT, ROOT, &self.authority, &self.authority, now);
        let leaf = Certificate::issue(name, ROOT, &key, &self.authority, now);
        ClientCertificate {
            certificate: leaf.pem(),
            key: key.pkcs8_pem().to_owned(),
            issuer: root.pem(),
        }
    }

    /// Returns the IAM principal of a certificate's holder.
    pub fn principal(&self, name: &str) -> String {
        principal(&self.audience, name)
    }
}

/// The common name of all certificate authorities.
const ROOT: &str = "Emulated Root";

impl fmt::Debug for X509Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Provider")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A certificate with its private key and its issuer's certificate, in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    certificate: String,
    key: String,
    issuer: String,
}

impl ClientCertificate {
    /// Returns the certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Returns the private key, in PKCS#8.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// Returns the issuer's certificate, which completes the chain.
    pub fn issuer_pem(&self) -> &str {
        &self.issuer
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// An AWS access key, for [`Emulator::add_aws_key`](crate::Emulator::add_aws_key).
#[derive(Clone)]
pub struct AwsKey {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    /// The role or user that it belongs to.
    pub(crate) arn: String,
}

impl AwsKey {
    /// Creates a permanent key of an IAM user.
    pub fn permanent(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            session_token: None,
            arn: format!("arn:aws:iam::{ACCOUNT}:user/emulated"),
        }
    }

    /// Creates a temporary key, which requires its session token.
    pub fn temporary(
        id: impl Into<String>,
        secret: impl Into<String>,
        session_token: impl Into<String>,
    ) -> Self {
        Self {
            session_token: Some(session_token.into()),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/emulated/session"),
            ..Self::permanent(id, secret)
        }
    }

    /// Creates a random temporary key for a session with this role.
    pub fn for_role(role: &str) -> Self {
        Self {
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session"),
            ..Self::temporary(
                format!("ASIA{}", random::digits(16)),
                random::url_safe(30),
                random::url_safe(90),
            )
        }
    }

    /// Returns the access key id (`AWS_ACCESS_KEY_ID`).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the secret access key (`AWS_SECRET_ACCESS_KEY`).
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Returns the session token (`AWS_SESSION_TOKEN`).
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Returns the ARN of the key's user or role session.
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// The AWS account id in all ARNs.
const ACCOUNT: &str = "123456789012";

impl fmt::Debug for AwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKey")
            .field("id", &self.id)
            .field("arn", &self.arn)
            .finish_non_exhaustive()
    }
}

/// An EC2 instance.
#[derive(Clone)]
pub(crate) struct Ec2 {
    pub(crate) role: String,
    pub(crate) zone: String,
    pub(crate) key: AwsKey,
    /// The issued session tokens of the instance metadata service.
    pub(crate) sessions: Vec<String>,
}

/// Returns the IAM principal of a provider's subject.
pub(crate) fn principal(audience: &str, subject: &str) -> String {
    let pool = audience.split("/providers/").next().unwrap_or_default();
    format!("principal:{pool}/subject/{subject}")
}
