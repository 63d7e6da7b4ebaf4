//! ID tokens of service accounts (OpenID Connect Core, section 2), and the keys that verify them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::oauth2::account_number;
use crate::response::Response;
use crate::x509::Certificate;
use crate::{RsaKey, jwt};

const ISSUER: &str = "https://accounts.google.com";
/// The name in the certificate of the signing key.
const SIGNER: &str = "federated-signon.system.gserviceaccount.com";
/// The `kid` of the signing key.
const KEY_ID: &str = "emulator-id-token";
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// Returns an ID token of a service account for this audience, with additional claims.
pub(super) fn issue(
    email: &str,
    audience: &str,
    additional: Map<String, Value>,
    now: DateTime<Utc>,
) -> String {
    let number = account_number(email);
    let mut claims = json!({
        "iss": ISSUER,
        "azp": number,
        "aud": audience,
        "sub": number,
        "iat": now.timestamp(),
        "exp": (now + LIFETIME).timestamp(),
    });
    if let Some(claims) = claims.as_object_mut() {
        claims.extend(additional);
    }
    jwt::encode(RsaKey::shared(), KEY_ID, &claims)
}

/// Returns the claims that name the account.
pub(super) fn email_claims(email: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("email".into(), json!(email));
    claims.insert("email_verified".into(), json!(true));
    claims
}

/// Returns the signing key as a certificate, `/oauth2/v1/certs`.
pub(super) fn certificates(now: DateTime<Utc>) -> Response {
    let key = RsaKey::shared();
    let certificate = Certificate::issue(SIGNER, SIGNER, key, key, now);
    public(&json!({ KEY_ID: certificate.pem() }))
}

/// Returns the signing key as a JSON Web Key Set (RFC 7517), `/oauth2/v3/certs`.
pub(super) fn key_set() -> Response {
    public(&json!({"keys": [jwt::public_key(RsaKey::shared(), KEY_ID)]}))
}

fn public(body: &Value) -> Response {
    Response::json(200, body).with(http::header::CACHE_CONTROL, "public, max-age=3600")
}
