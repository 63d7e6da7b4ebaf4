//! Random texts that nobody can guess, and what may be shown of them (RFC 7636).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_token::SecretString;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// 256 random bits as 43 characters, which is what RFC 7636 §4.1 wants of a verifier.
pub(super) fn nonce() -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| {
        Error::new(
            ErrorKind::LoginFailed,
            "the operating system has no random numbers to give",
        )
    })?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes).into())
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose_secret().as_bytes()))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    digest(&SHA256, a.as_bytes()).as_ref() == digest(&SHA256, b.as_bytes()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfcs_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(
            challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_nonce_is_long_and_never_the_same() {
        let (a, b) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(a.expose_secret().len(), 43);
        assert!(!same(a.expose_secret(), b.expose_secret()));
        assert!(same("x", "x"));
    }
}
