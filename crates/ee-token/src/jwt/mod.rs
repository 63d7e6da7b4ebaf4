//! JSON Web Tokens signed with RS256 or ES256 (RFC 7515, RFC 7518, RFC 7519).

pub(crate) mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{EcPrivateKey, Error, ErrorKind, RsaPrivateKey, SecretString};

/// The claims of a service account's JWT: those of RFC 7523 §3, and Google's `scope`.
///
/// ```
/// use ee_token::Claims;
///
/// let claims = Claims {
///     iss: "robot@my-project.iam.gserviceaccount.com",
///     sub: None,
///     aud: Some("https://oauth2.googleapis.com/token"),
///     scope: Some("https://www.googleapis.com/auth/earthengine"),
///     iat: 1_700_000_000,
///     exp: 1_700_003_600,
/// };
/// # let _ = claims;
/// ```
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Claims<'a> {
    /// The issuer: the account's email address.
    pub iss: &'a str,
    /// The subject, in domain-wide delegation and self-signed tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<&'a str>,
    /// The audience: the token endpoint, or the API in a self-signed token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<&'a str>,
    /// The scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'a str>,
    /// The time of issue, in seconds since the Unix epoch.
    pub iat: i64,
    /// The expiry, in seconds since the Unix epoch. At most an hour after `iat`.
    pub exp: i64,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl RsaPrivateKey {
    /// Creates a JWT signed with RS256, in the compact serialization (RFC 7515 §7.1). `key_id`
    /// becomes the header's `kid`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if signing fails.
    pub fn sign_jwt(
        &self,
        key_id: Option<&str>,
        claims: &Claims<'_>,
    ) -> Result<SecretString, Error> {
        compact("RS256", key_id, claims, |message| self.sign(message))
    }
}

impl EcPrivateKey {
    /// Creates a JWT signed with ES256, in the compact serialization (RFC 7515 §7.1). `key_id`
    /// becomes the header's `kid`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if signing fails.
    pub fn sign_jwt(
        &self,
        key_id: Option<&str>,
        claims: &Claims<'_>,
    ) -> Result<SecretString, Error> {
        compact("ES256", key_id, claims, |message| self.sign(message))
    }
}

/// Creates a JWT signed with RS256 with other claims than those of a token request.
///
/// # Errors
/// [`ErrorKind::InvalidKey`] if signing fails.
pub fn sign_claims(
    key: &RsaPrivateKey,
    key_id: Option<&str>,
    claims: &impl Serialize,
) -> Result<SecretString, Error> {
    compact("RS256", key_id, claims, |message| key.sign(message))
}

fn compact(
    alg: &'static str,
    key_id: Option<&str>,
    claims: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<SecretString, Error> {
    let header = Header {
        alg,
        typ: "JWT",
        kid: key_id,
    };
    // A reallocation would leave a copy of the secret in memory.
    let mut jwt = Zeroizing::new(String::with_capacity(4096));
    append_json(&mut jwt, &header)?;
    jwt.push('.');
    append_json(&mut jwt, claims)?;
    let signature = sign(jwt.as_bytes())?;
    jwt.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
    Ok(SecretString::from(jwt.as_str()))
}

fn append_json(out: &mut String, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec(value).map_err(|e| {
        Error::new(
            ErrorKind::InvalidCredential,
            "the claims cannot be serialized as JSON",
        )
        .with_source(e)
    })?;
    URL_SAFE_NO_PAD.encode_string(json, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::RsaKey;

    #[test]
    fn jwt_has_the_form_that_the_rfcs_specify() {
        let key = RsaPrivateKey::from_pem(RsaKey::shared().pkcs8_pem()).unwrap();
        let claims = Claims {
            iss: "a@b",
            sub: None,
            aud: Some("c"),
            scope: Some("s t"),
            iat: 1,
            exp: 3601,
        };
        let jwt = key.sign_jwt(Some("k1"), &claims).unwrap();
        let parts: Vec<_> = jwt.expose_secret().split('.').collect();
        let text = |i: usize| String::from_utf8(URL_SAFE_NO_PAD.decode(parts[i]).unwrap()).unwrap();
        assert_eq!(text(0), r#"{"alg":"RS256","typ":"JWT","kid":"k1"}"#);
        assert_eq!(
            text(1),
            r#"{"iss":"a@b","aud":"c","scope":"s t","iat":1,"exp":3601}"#
        );
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert_eq!(
            URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
            key.sign(signed.as_bytes()).unwrap()
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(16))]

        #[test]
        fn any_claims_survive_encoding(
            iss in ".*", sub in ".*", kid in ".*", iat in 0_i64..4_000_000_000,
        ) {
            let key = RsaPrivateKey::from_pem(RsaKey::shared().pkcs8_pem()).unwrap();
            let claims = Claims { iss: &iss, sub: Some(&sub), aud: None, scope: None, iat, exp: iat + 1 };
            let jwt = key.sign_jwt(Some(&kid), &claims).unwrap();
            let parts: Vec<_> = jwt.expose_secret().split('.').collect();
            let json = |i: usize| -> serde_json::Value {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[i]).unwrap()).unwrap()
            };
            assert_eq!(json(0)["kid"], kid);
            let expected = serde_json::json!({"iss": iss, "sub": sub, "iat": iat, "exp": iat + 1});
            assert_eq!(json(1), expected);
            assert_eq!((parts.len(), parts[2].len()), (3, 342));
        }
    }
}
