//! RSA keys, made while the program runs: no private key is ever committed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rand_core::OsRng;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, LineEnding};
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;

/// An RSA key pair. Cheap to clone; `Debug` shows its size only.
#[derive(Clone)]
pub struct RsaKey(Arc<Encoded>);

struct Encoded {
    pkcs8: String,
    pkcs1: String,
    public: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaKey {
    /// Makes a new key of `bits` bits, which takes from a tenth of a second to seconds.
    ///
    /// Google's keys have 2048. The emulator accepts signatures of keys of 2048 to 8192 bits;
    /// smaller ones are for tests of what a client does with a weak key. Sizes below 512 are
    /// raised to 512.
    pub fn generate(bits: usize) -> Self {
        loop {
            // Whether a random candidate works out is a matter of chance, so try until one does.
            if let Some(encoded) = Encoded::generate(bits.max(512)) {
                return Self(Arc::new(encoded));
            }
        }
    }

    /// The one 2048-bit key of this process, made when it is first asked for.
    ///
    /// ```
    /// let key = ee_emulator::RsaKey::shared();
    /// assert!(key.pkcs8_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
    /// assert!(key.pkcs1_pem().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    /// ```
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RsaKey> = OnceLock::new();
        SHARED.get_or_init(|| Self::generate(2048))
    }

    /// The private key in PKCS#8 PEM, the form that Google's key files hold.
    pub fn pkcs8_pem(&self) -> &str {
        &self.0.pkcs8
    }

    /// The private key in PKCS#1 PEM, the form that older tools write.
    pub fn pkcs1_pem(&self) -> &str {
        &self.0.pkcs1
    }

    /// The public key in SubjectPublicKeyInfo PEM.
    pub fn public_pem(&self) -> &str {
        &self.0.public
    }

    /// The public modulus, big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.0.modulus
    }

    /// The public exponent, big-endian, without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        &self.0.exponent
    }

    /// Whether `signature` is this key's RS256 signature (RFC 7518 section 3.3) of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        RsaPublicKeyComponents {
            n: self.modulus(),
            e: self.exponent(),
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        .is_ok()
    }
}

impl Encoded {
    fn generate(bits: usize) -> Option<Self> {
        let private = RsaPrivateKey::new(&mut OsRng, bits).ok()?;
        let public = private.to_public_key();
        Some(Self {
            pkcs8: private.to_pkcs8_pem(LineEnding::LF).ok()?.to_string(),
            pkcs1: private.to_pkcs1_pem(LineEnding::LF).ok()?.to_string(),
            public: public.to_public_key_pem(LineEnding::LF).ok()?,
            modulus: public.n().to_bytes_be(),
            exponent: public.e().to_bytes_be(),
        })
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey")
            .field("bits", &(self.0.modulus.len() * 8))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key_material() {
        let shown = format!("{:?}", RsaKey::shared());
        assert_eq!(shown, "RsaKey { bits: 2048, .. }");
    }

    #[test]
    fn the_shared_key_is_made_once() {
        assert_eq!(RsaKey::shared().modulus(), RsaKey::shared().modulus());
    }
}
