//! RSA private keys in PEM, and the signatures they make.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
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
        let (label, der) = decode_pem(pem)?;
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

/// The label and the bytes of the first PEM block.
fn decode_pem(pem: &str) -> Result<(&'static str, Zeroizing<Vec<u8>>), Error> {
    let pem = Zeroizing::new(pem.replace("\\r", "").replace("\\n", "\n"));
    let text = pem.trim();
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
    let label = match label.trim() {
        "PRIVATE KEY" => "PRIVATE KEY",
        "RSA PRIVATE KEY" => "RSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY" => return Err(encrypted()),
        "EC PRIVATE KEY" => {
            return Err(invalid(
                "it is an elliptic-curve key, and an RSA key is needed",
            ));
        }
        "OPENSSH PRIVATE KEY" => {
            return Err(invalid(
                "it is an OpenSSH key, and an RSA key in PKCS#8 is needed",
            ));
        }
        "CERTIFICATE" => return Err(invalid("it is a certificate, not a private key")),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            return Err(invalid("it is a public key, and the private one is needed"));
        }
        _ => {
            return Err(invalid(
                "its PEM label is not \"PRIVATE KEY\" or \"RSA PRIVATE KEY\"",
            ));
        }
    };
    if body.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(encrypted());
    }
    let Some((body, _)) = body.split_once("-----END ") else {
        return Err(invalid("it is cut off: its \"-----END\" line is missing"));
    };
    let compact: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
    let der = STANDARD
        .decode(compact.as_bytes())
        .map_err(|_| invalid("its body is not base64: it is cut off or was changed"))?;
    Ok((label, Zeroizing::new(der)))
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
    use ee_emulator::RsaKey;

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
