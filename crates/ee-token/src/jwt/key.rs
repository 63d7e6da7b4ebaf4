//! Private keys in PEM, and the signatures they make: RSA, and P-256 for the one kind of
//! credential that has it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::decoded_len_estimate;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Remedy};

/// An RSA private key, checked and ready to sign. Cheap to clone; `Debug` shows its size alone.
#[derive(Clone)]
pub struct RsaPrivateKey(Arc<RsaKeyPair>);

impl RsaPrivateKey {
    /// Reads a PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    /// Line breaks written as a literal `\n`, as keys from environment variables often
    /// have them, are understood.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`]; the message says what is wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let (label, der) = decode_pem(pem, rsa_label)?;
        let pair = match label {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
            _ => RsaKeyPair::from_der(&der),
        };
        pair.map(|pair| Self(Arc::new(pair)))
            .map_err(|rejected| invalid(&rejected_because(&rejected.to_string())))
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (RS256 of RFC 7518 §3.3).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if the key turns out to be inconsistent.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| invalid("it does not sign"))?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RsaPrivateKey({} bits)",
            self.0.public().modulus_len() * 8
        )
    }
}

/// A private key on the curve P-256, checked and ready to sign. Cheap to clone; `Debug` shows
/// its curve alone.
#[derive(Clone)]
pub struct EcPrivateKey(Arc<EcdsaKeyPair>);

impl EcPrivateKey {
    /// Reads a PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or SEC 1 (`BEGIN EC PRIVATE KEY`, RFC 5915),
    /// with the public key in it, as every common tool writes it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`]; the message says what is wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let (label, der) = decode_pem(pem, ec_label)?;
        let pkcs8 = match label {
            "PRIVATE KEY" => der,
            _ => pkcs8_of_sec1(&der)?,
        };
        EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &pkcs8,
            &SystemRandom::new(),
        )
        .map(|pair| Self(Arc::new(pair)))
        .map_err(|rejected| {
            invalid(match rejected.to_string().as_str() {
                "WrongAlgorithm" => "it is not a key on the curve P-256",
                "InconsistentComponents" | "InvalidComponent" => {
                    "its numbers do not belong together"
                }
                _ => {
                    "its contents were changed, lack the public key, or are not on the curve P-256"
                }
            })
        })
    }

    /// Signs with ECDSA on P-256 and SHA-256 (ES256 of RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if the system has no random numbers for it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        Ok(signature
            .map_err(|_| invalid("it does not sign"))?
            .as_ref()
            .to_vec())
    }
}

impl fmt::Debug for EcPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcPrivateKey(P-256)")
    }
}

/// The same key in PKCS#8 (RFC 5958 §2), which is what is understood below.
fn pkcs8_of_sec1(sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    /// Version 0; ecPublicKey on prime256v1 (RFC 5480 §2.1.1).
    const HEAD: [u8; 24] = [
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    const SEQUENCE: u8 = 0x30;
    const OCTET_STRING: u8 = 0x04;
    // A P-256 key has about 120 bytes; one that is longer than this is none.
    let length = u8::try_from(sec1.len())
        .ok()
        .filter(|length| (64..=200).contains(length))
        .ok_or_else(|| invalid("it is not a key on the curve P-256"))?;
    // DER's lengths (X.690 §10.1): one byte below 128, else 0x81 and one byte.
    let prefixed = |tag, length: u8| match length {
        0..0x80 => vec![tag, length],
        _ => vec![tag, 0x81, length],
    };
    let inner = prefixed(OCTET_STRING, length);
    let mut der = Zeroizing::new(Vec::with_capacity(256));
    der.extend(prefixed(
        SEQUENCE,
        (HEAD.len() + inner.len()) as u8 + length,
    ));
    der.extend_from_slice(&HEAD);
    der.extend(inner);
    der.extend_from_slice(sec1);
    Ok(der)
}

/// The label and the bytes of the first PEM block, if it is one of the labels that are wanted.
fn decode_pem(
    pem: &str,
    wanted: fn(&str) -> Result<&'static str, Error>,
) -> Result<(&'static str, Zeroizing<Vec<u8>>), Error> {
    // Into buffers that never grow: growing leaves copies behind.
    let mut lines = Zeroizing::new(String::with_capacity(pem.len()));
    for (number, line) in pem.split("\\n").enumerate() {
        if number > 0 {
            lines.push('\n');
        }
        lines.extend(line.split("\\r"));
    }
    let text = lines.trim();
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    let Some((_, after)) = text.split_once("-----BEGIN ") else {
        return Err(invalid(
            "it is not PEM: there is no line \"-----BEGIN PRIVATE KEY-----\"",
        ));
    };
    let Some((label, body)) = after.split_once("-----") else {
        return Err(invalid("its first line breaks off"));
    };
    let label = wanted(label.trim())?;
    if body.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(encrypted());
    }
    let Some((body, _)) = body.split_once("-----END ") else {
        return Err(invalid("it is cut off: its \"-----END\" line is missing"));
    };
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.split_whitespace());
    let mut der = Zeroizing::new(vec![0; decoded_len_estimate(compact.len())]);
    let length = STANDARD
        .decode_slice(compact.as_bytes(), &mut der)
        .map_err(|_| invalid("its body is not base64: it is cut off or was changed"))?;
    der.truncate(length);
    Ok((label, der))
}

fn rsa_label(label: &str) -> Result<&'static str, Error> {
    Err(invalid(match label {
        "PRIVATE KEY" => return Ok("PRIVATE KEY"),
        "RSA PRIVATE KEY" => return Ok("RSA PRIVATE KEY"),
        "EC PRIVATE KEY" => "it is an elliptic-curve key, and an RSA key is needed",
        "OPENSSH PRIVATE KEY" => "it is an OpenSSH key, and an RSA key in PKCS#8 is needed",
        other => {
            return Err(wrong_label(
                other,
                "its PEM label is not \"PRIVATE KEY\" or \"RSA PRIVATE KEY\"",
            ));
        }
    }))
}

fn ec_label(label: &str) -> Result<&'static str, Error> {
    Err(invalid(match label {
        "PRIVATE KEY" => return Ok("PRIVATE KEY"),
        "EC PRIVATE KEY" => return Ok("EC PRIVATE KEY"),
        "RSA PRIVATE KEY" => "it is an RSA key, and one on the curve P-256 is needed",
        "OPENSSH PRIVATE KEY" => "it is an OpenSSH key, and one in PKCS#8 is needed",
        other => {
            return Err(wrong_label(
                other,
                "its PEM label is not \"PRIVATE KEY\" or \"EC PRIVATE KEY\"",
            ));
        }
    }))
}

fn wrong_label(label: &str, otherwise: &str) -> Error {
    invalid(match label {
        "ENCRYPTED PRIVATE KEY" => return encrypted(),
        "CERTIFICATE" => "it is a certificate, not a private key",
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "it is a public key, and the private one is needed",
        _ => otherwise,
    })
}

/// ring's one-word reasons, in words.
fn rejected_because(reason: &str) -> String {
    match reason {
        "WrongAlgorithm" => "it is not an RSA key".into(),
        "TooSmall" => "it is shorter than 2048 bits".into(),
        "TooLarge" => "it is longer than 4096 bits".into(),
        "InvalidEncoding" => "its contents are cut off or were changed".into(),
        "InconsistentComponents" | "InvalidComponent" | "UnexpectedError" => {
            "its numbers do not belong together".into()
        }
        other => format!("it was rejected ({other})"),
    }
}

fn encrypted() -> Error {
    invalid("it is encrypted with a passphrase").with_remedy(
        Remedy::new("Use the key file as the Cloud console made it, or decrypt it.")
            .command("openssl pkey -in key.pem -out plain.pem"),
    )
}

fn invalid(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidKey,
        format!("the private key cannot be used: {why}"),
    )
    .with_remedy(Remedy::new(
        "Download a new JSON key of the service account and use that file unchanged.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::{EcKey, RsaKey};

    fn why(pem: &str) -> String {
        let error = RsaPrivateKey::from_pem(pem).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
        error.to_string()
    }

    #[test]
    fn pkcs8_and_pkcs1_are_the_same_key() {
        let key = RsaKey::shared();
        let a = RsaPrivateKey::from_pem(key.pkcs8_pem()).unwrap();
        let b = RsaPrivateKey::from_pem(key.pkcs1_pem()).unwrap();
        assert_eq!(a.sign(b"x").unwrap(), b.sign(b"x").unwrap());
        assert_eq!(format!("{a:?}"), "RsaPrivateKey(2048 bits)");
    }

    #[test]
    fn literal_line_breaks_and_windows_ones_are_understood() {
        let pem = RsaKey::shared().pkcs8_pem();
        for pem in [
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\\r\\n"),
        ] {
            RsaPrivateKey::from_pem(&pem).unwrap();
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let pem = RsaKey::shared().pkcs8_pem();
        let body = pem.lines().nth(3).unwrap();
        for (pem, reason) in [
            (String::new(), "empty"),
            ("hunter2".into(), "not PEM"),
            (pem.replace("PRIVATE KEY", "CERTIFICATE"), "certificate"),
            (pem.replace("PRIVATE KEY", "PUBLIC KEY"), "public key"),
            (pem.replace("PRIVATE KEY", "EC PRIVATE KEY"), "elliptic"),
            (
                pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
                "encrypted",
            ),
            (
                pem.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
                "cut off or were changed",
            ),
            (pem[..400].to_owned(), "cut off"),
            (pem.replace(body, ""), "cut off or were changed"),
            (pem.replace(body, "!!!!"), "base64"),
            (RsaKey::generate(1024).pkcs8_pem().to_owned(), "2048 bits"),
        ] {
            let message = why(&pem);
            assert!(message.contains(reason), "{message} / {reason}");
            assert!(!message.contains(body));
        }
    }

    #[test]
    fn a_p256_key_signs_from_pkcs8_and_from_sec1() {
        let key = EcKey::generate();
        for pem in [key.pkcs8_pem(), key.sec1_pem()] {
            let signature = EcPrivateKey::from_pem(pem).unwrap().sign(b"x").unwrap();
            assert!(key.verifies(b"x", &signature));
            assert!(!key.verifies(b"y", &signature));
        }
        let key = EcPrivateKey::from_pem(key.sec1_pem()).unwrap();
        assert_eq!(format!("{key:?}"), "EcPrivateKey(P-256)");
    }

    #[test]
    fn a_key_that_is_not_on_p256_says_why() {
        let sec1 = EcKey::generate().sec1_pem().to_owned();
        let body = sec1.lines().nth(1).unwrap();
        for (pem, reason) in [
            (String::new(), "empty"),
            (RsaKey::shared().pkcs8_pem().to_owned(), "not a key on"),
            (RsaKey::shared().pkcs1_pem().to_owned(), "an RSA key"),
            (sec1.replace("EC PRIVATE KEY", "CERTIFICATE"), "certificate"),
            (sec1.replace(body, ""), "P-256"),
            (sec1[..90].to_owned(), "cut off"),
            (sec1.replace("EC PRIVATE KEY", "PRIVATE KEY"), "changed"),
        ] {
            let error = EcPrivateKey::from_pem(&pem).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidKey);
            assert!(error.to_string().contains(reason), "{error} / {reason}");
            assert!(!error.to_string().contains(body));
        }
    }

    #[test]
    fn an_elliptic_curve_key_in_pkcs8_is_named() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        assert!(why(&pem).contains("not an RSA key"));
    }
}
