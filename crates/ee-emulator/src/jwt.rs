//! JWTs that service accounts sign (RFC 7519, RFC 7523), read with suspicion.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{RsaKey, ServiceIdentity};

/// The longest life of an assertion.
pub(crate) const LONGEST_ASSERTION: i64 = 3600;

/// The longest life of a token that a service account signs itself: Google's own client for Rust
/// adds ten seconds at either end of the hour.
pub(crate) const LONGEST_TOKEN: i64 = 3620;

/// How far the signer's clock may be ahead.
const LEEWAY: i64 = 300;

/// A JWT in compact form, taken apart but not believed yet.
pub(crate) struct Jwt<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// The parts of `text`, if it has three and they are what they should be.
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

    /// A claim that is text; an empty one counts as absent.
    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims
            .get(name)?
            .as_str()
            .filter(|text| !text.is_empty())
    }

    /// Whether the signature is RS256, by the one of these keys that the header names; or by
    /// any, if it names none, as the JavaScript client does.
    pub(crate) fn is_signed_by(&self, keys: &BTreeMap<String, RsaKey>) -> bool {
        let says = |name: &str| self.header.get(name).and_then(Value::as_str);
        let typed = says("typ").is_none_or(|kind| kind == "JWT");
        let verifies = |key: &RsaKey| key.verifies(self.signed.as_bytes(), &self.signature);
        let signed = match says("kid") {
            Some(id) => keys.get(id).is_some_and(verifies),
            None => keys.values().any(verifies),
        };
        typed && says("alg") == Some("RS256") && signed
    }

    /// Whether the signature is ES256, by this identity's key.
    pub(crate) fn is_signed_by_identity(&self, identity: &ServiceIdentity) -> bool {
        let says = |name: &str| self.header.get(name).and_then(Value::as_str);
        says("alg") == Some("ES256")
            && says("kid") == Some(&identity.key_id)
            && identity
                .key
                .verifies(self.signed.as_bytes(), &self.signature)
    }

    /// Whether `iat` and `exp` are there, whole numbers, no more than so many seconds apart, and around
    /// the present.
    pub(crate) fn is_timely(&self, now: DateTime<Utc>, longest: i64) -> bool {
        let seconds = |name: &str| self.claims.get(name).and_then(Value::as_i64);
        let (Some(issued), Some(expires)) = (seconds("iat"), seconds("exp")) else {
            return false;
        };
        let now = now.timestamp();
        let life = expires.saturating_sub(issued);
        (1..=longest).contains(&life) && issued <= now.saturating_add(LEEWAY) && expires > now
    }

    /// Whether the time of `exp` is over, which is worth another answer than a forgery is.
    pub(crate) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        let expires = self.claims.get("exp").and_then(Value::as_i64);
        expires.is_some_and(|expires| expires <= now.timestamp())
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
