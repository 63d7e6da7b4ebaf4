//! Proof Key for Code Exchange (RFC 7636): random verifiers and their challenges.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_token::{Remedy, SecretString};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// Returns 256 random bits as 43 characters, as RFC 7636 §4.1 recommends for a verifier.
pub(super) fn nonce() -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| {
        Error::new(
            ErrorKind::LoginFailed,
            "the operating system returned no random numbers",
        )
        .with_remedy(Remedy::new("Log in again."))
    })?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes).into())
}

/// Returns the S256 challenge of a verifier (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose_secret().as_bytes()))
}

/// Compares two strings in a time that does not depend on where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    digest(&SHA256, a.as_bytes()).as_ref() == digest(&SHA256, b.as_bytes()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_matches_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(
            challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn nonces_are_long_and_differ() {
        let (a, b) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(a.expose_secret().len(), 43);
        assert!(!same(a.expose_secret(), b.expose_secret()));
        assert!(same("x", "x"));
    }
}
