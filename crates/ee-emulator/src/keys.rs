//! Key pairs, generated at run time: no private key is in the repository.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, LineEnding};
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;

/// An RSA key pair. Cheap to clone; the `Debug` output shows only its size.
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
    /// Generates a key of `bits` bits, which takes 0.1 seconds to several seconds.
    ///
    /// Google's keys have 2048 bits. The emulator accepts signatures of keys with 2048 to 8192 bits;
    /// smaller keys are for tests of clients with weak keys. The minimum is 512.
    pub fn generate(bits: usize) -> Self {
        loop {
            // Generation can fail for a random candidate, so retry.
            if let Some(encoded) = Encoded::generate(bits.max(512)) {
                return Self(Arc::new(encoded));
            }
        }
    }

    /// Returns the shared 2048-bit key of this process, generated on first use.
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

    /// Returns the private key in PKCS#8 PEM, the format of Google's key files.
    pub fn pkcs8_pem(&self) -> &str {
        &self.0.pkcs8
    }

    /// Returns the private key in PKCS#1 PEM, the format of older tools.
    pub fn pkcs1_pem(&self) -> &str {
        &self.0.pkcs1
    }

    /// Returns the public key in SubjectPublicKeyInfo PEM.
    pub fn public_pem(&self) -> &str {
        &self.0.public
    }

    /// Returns the public modulus, big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.0.modulus
    }

    /// Returns the public exponent, big-endian, without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        &self.0.exponent
    }

    /// Returns whether `signature` is this key's RS256 signature (RFC 7518 section 3.3) of `message`.
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

/// A P-256 key pair, as used by service identities in Google Distributed Cloud.
#[derive(Clone)]
pub struct EcKey(Arc<EncodedEc>);

struct EncodedEc {
    pkcs8: String,
    sec1: String,
    /// The uncompressed point.
    public: Vec<u8>,
}

impl EcKey {
    /// Generates a key.
    pub fn generate() -> Self {
        loop {
            // Only the system's random number generator can fail, and only temporarily.
            if let Some(encoded) = EncodedEc::generate() {
                return Self(Arc::new(encoded));
            }
        }
    }

    /// Returns the private key in PKCS#8 PEM.
    pub fn pkcs8_pem(&self) -> &str {
        &self.0.pkcs8
    }

    /// Returns the private key in SEC 1 PEM (RFC 5915), the format of GDCH key files.
    pub fn sec1_pem(&self) -> &str {
        &self.0.sec1
    }

    /// Returns whether `signature` is this key's ES256 signature (RFC 7518 section 3.4) of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl EncodedEc {
    fn generate() -> Option<Self> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
        let pkcs8 = pkcs8.as_ref();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        // ring writes the private key at a fixed offset.
        let private = pkcs8.get(36..68)?;
        Some(Self {
            pkcs8: pem("PRIVATE KEY", pkcs8),
            sec1: pem("EC PRIVATE KEY", &sec1(private, &public)),
            public,
        })
    }
}

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcKey(P-256)")
    }
}

/// Encodes an `ECPrivateKey` (RFC 5915 section 3) with curve and public key.
fn sec1(private: &[u8], public: &[u8]) -> Vec<u8> {
    let mut body = vec![0x02, 0x01, 0x01, 0x04, private.len() as u8];
    body.extend_from_slice(private);
    // [0] prime256v1
    body.extend_from_slice(&[
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ]);
    // [1] BIT STRING
    let bits = public.len() as u8 + 1;
    body.extend_from_slice(&[0xa1, bits + 2, 0x03, bits, 0x00]);
    body.extend_from_slice(public);
    let mut der = vec![0x30, body.len() as u8];
    der.extend(body);
    der
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
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
    fn debug_output_has_no_key_material() {
        let shown = format!("{:?}", RsaKey::shared());
        assert_eq!(shown, "RsaKey { bits: 2048, .. }");
    }

    #[test]
    fn shared_key_is_generated_once() {
        assert_eq!(RsaKey::shared().modulus(), RsaKey::shared().modulus());
    }
}
