//! JWTs (RFC 7519): validation of those of clients (RFC 7523), and encoding.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::x509::sign;
use crate::{RsaKey, ServiceIdentity};

/// The maximum lifetime of an assertion, in seconds.
pub(crate) const MAX_ASSERTION_LIFETIME: i64 = 3600;

/// The maximum lifetime of a self-signed JWT, in seconds: Google's client for Rust adds ten seconds
/// at either end of the hour.
pub(crate) const MAX_TOKEN_LIFETIME: i64 = 3620;

/// The clock skew allowed in `iat`, in seconds.
const LEEWAY: i64 = 300;

/// A parsed JWT, not yet validated.
pub(crate) struct Jwt<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Parses a JWT in compact serialization.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Returns a string claim. An empty one counts as absent.
    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims
            .get(name)?
            .as_str()
            .filter(|text| !text.is_empty())
    }

    /// Returns whether the RS256 signature is valid for the key that `kid` names.
    ///
    /// The JavaScript client sends no `kid`; then any of the keys may match.
    pub(crate) fn is_signed_by(&self, keys: &BTreeMap<String, RsaKey>) -> bool {
        let header = |name: &str| self.header.get(name).and_then(Value::as_str);
        let typed = header("typ").is_none_or(|kind| kind == "JWT");
        let verifies = |key: &RsaKey| key.verifies(self.signed.as_bytes(), &self.signature);
        let signed = match header("kid") {
            Some(id) => keys.get(id).is_some_and(verifies),
            None => keys.values().any(verifies),
        };
        typed && header("alg") == Some("RS256") && signed
    }

    /// Returns whether the ES256 signature is valid for this identity's key.
    pub(crate) fn is_signed_by_identity(&self, identity: &ServiceIdentity) -> bool {
        let header = |name: &str| self.header.get(name).and_then(Value::as_str);
        header("alg") == Some("ES256")
            && header("kid") == Some(&identity.key_id)
            && identity
                .key
                .verifies(self.signed.as_bytes(), &self.signature)
    }

    /// Returns whether `iat` and `exp` are integers, at most `max_lifetime` seconds apart, and include `now`.
    pub(crate) fn has_valid_lifetime(&self, now: DateTime<Utc>, max_lifetime: i64) -> bool {
        let seconds = |name: &str| self.claims.get(name).and_then(Value::as_i64);
        let (Some(issued), Some(expires)) = (seconds("iat"), seconds("exp")) else {
            return false;
        };
        let now = now.timestamp();
        let lifetime = expires.saturating_sub(issued);
        (1..=max_lifetime).contains(&lifetime)
            && issued <= now.saturating_add(LEEWAY)
            && expires > now
    }

    /// Returns whether `exp` has passed, for which Google has its own error.
    pub(crate) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        let expires = self.claims.get("exp").and_then(Value::as_i64);
        expires.is_some_and(|expires| expires <= now.timestamp())
    }
}

/// Returns a JWT with these claims, signed with RS256.
pub(crate) fn encode(key: &RsaKey, key_id: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key_id});
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Returns the public key as a JSON Web Key (RFC 7517).
pub(crate) fn public_key(key: &RsaKey, key_id: &str) -> Value {
    json!({
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": key_id,
        "n": URL_SAFE_NO_PAD.encode(key.modulus()),
        "e": URL_SAFE_NO_PAD.encode(key.exponent()),
    })
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
