//! RSA and P-256 private keys: parsing PEM, signing.

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

/// A validated RSA private key. Cheap to clone. `Debug` shows only its size.
#[derive(Clone)]
pub struct RsaPrivateKey(Arc<RsaKeyPair>);

impl RsaPrivateKey {
    /// Parses PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    /// Accepts literal `\n` instead of line breaks, as is common in environment variables.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`]. The message contains the reason.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let (label, der) = decode_pem(pem, rsa_label)?;
        let pair = match label {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
            _ => RsaKeyPair::from_der(&der),
        };
        pair.map(|pair| Self(Arc::new(pair)))
            .map_err(|rejected| invalid(&reason(&rejected.to_string())))
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (RS256, RFC 7518 §3.3).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if the key's components are inconsistent.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| invalid("signing with it failed"))?;
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

/// A validated private key on the curve P-256. Cheap to clone. `Debug` shows only its curve.
#[derive(Clone)]
pub struct EcPrivateKey(Arc<EcdsaKeyPair>);

impl EcPrivateKey {
    /// Parses PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or SEC 1 (`BEGIN EC PRIVATE KEY`, RFC 5915).
    /// The key must include its public key, as is common.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`]. The message contains the reason.
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
                "InconsistentComponents" | "InvalidComponent" => "its components are inconsistent",
                _ => "it is corrupted, lacks the public key, or is not on the curve P-256",
            })
        })
    }

    /// Signs with ECDSA on P-256 and SHA-256 (ES256, RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`] if signing fails, for lack of random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        Ok(signature
            .map_err(|_| invalid("signing with it failed"))?
            .as_ref()
            .to_vec())
    }
}

impl fmt::Debug for EcPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcPrivateKey(P-256)")
    }
}

/// Converts a SEC 1 key to PKCS#8 (RFC 5958 §2), which ring parses.
fn pkcs8_of_sec1(sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    /// Version 0, ecPublicKey on prime256v1 (RFC 5480 §2.1.1).
    const HEAD: [u8; 24] = [
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    const SEQUENCE: u8 = 0x30;
    const OCTET_STRING: u8 = 0x04;
    // A P-256 key has about 120 bytes.
    let length = u8::try_from(sec1.len())
        .ok()
        .filter(|length| (64..=200).contains(length))
        .ok_or_else(|| invalid("it is not a key on the curve P-256"))?;
    // DER lengths (X.690 §10.1): one byte below 128, otherwise 0x81 and one byte.
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

/// Returns the label and the bytes of the private key in a PEM. Certificates and other blocks before
/// it are skipped. `check_label` returns the labels that are supported, and an error for others.
fn decode_pem(
    pem: &str,
    check_label: fn(&str) -> Result<&'static str, Error>,
) -> Result<(&'static str, Zeroizing<Vec<u8>>), Error> {
    const BEGIN: &str = "-----BEGIN ";
    // These buffers never reallocate, which would leave copies in memory.
    let mut lines = Zeroizing::new(String::with_capacity(pem.len()));
    let mut rest = pem;
    // Line breaks may be escaped once or more than once.
    while let Some((line, escape)) = rest.split_once('\\') {
        lines.push_str(line);
        let escape = escape.trim_start_matches('\\');
        if let Some(after) = escape.strip_prefix(['n', 'r', 't', '\n', '\r']) {
            lines.push('\n');
            rest = after;
        } else {
            lines.push('\\');
            rest = escape;
        }
    }
    lines.push_str(rest);
    let text = lines.trim();
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    let is_key = |block: &&str| {
        let label = block.split("-----").next();
        label.is_some_and(|label| label.contains("PRIVATE KEY"))
    };
    let mut blocks = text.split(BEGIN).skip(1);
    let Some(first) = blocks.clone().next() else {
        return Err(invalid(
            "it is not PEM: it has no line \"-----BEGIN PRIVATE KEY-----\"",
        ));
    };
    let block = blocks.find(is_key).unwrap_or(first);
    let Some((label, body)) = block.split_once("-----") else {
        return Err(invalid("its first line is truncated"));
    };
    let label = check_label(label.trim())?;
    if body.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(encrypted());
    }
    let Some((body, _)) = body.split_once("-----END ") else {
        return Err(invalid("it is truncated: its \"-----END\" line is missing"));
    };
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    match without_stray_letters(body) {
        Some(lines) => compact.extend(lines),
        None => compact.extend(body.split_whitespace()),
    }
    let mut der = Zeroizing::new(vec![0; decoded_len_estimate(compact.len())]);
    let length = STANDARD
        .decode_slice(compact.as_bytes(), &mut der)
        .map_err(|_| invalid("its body is not valid base64: it is truncated or corrupted"))?;
    der.truncate(length);
    Ok((label, der))
}

/// Returns the lines of base64 whose line breaks are the letter `n`, because a shell removed the
/// backslashes of `\n`. The base64 of a key starts with another letter.
fn without_stray_letters(body: &str) -> Option<impl Iterator<Item = &str>> {
    const LINE: usize = 64;
    let body = body.trim();
    let body = body.strip_suffix('n').unwrap_or(body);
    let lines = body.as_bytes().chunks(LINE + 1);
    let all_start_with_letter = lines.clone().all(|line| line.first() == Some(&b'n'));
    all_start_with_letter.then(|| {
        let rest = lines.map(|line| line.get(1..).unwrap_or_default());
        rest.map(|line| std::str::from_utf8(line).unwrap_or_default())
    })
}

fn rsa_label(label: &str) -> Result<&'static str, Error> {
    Err(invalid(match label {
        "PRIVATE KEY" => return Ok("PRIVATE KEY"),
        "RSA PRIVATE KEY" => return Ok("RSA PRIVATE KEY"),
        "EC PRIVATE KEY" => "it is an elliptic-curve key; an RSA key is required",
        "OPENSSH PRIVATE KEY" => "it is an OpenSSH key; an RSA key in PKCS#8 is required",
        other => {
            return Err(unsupported_label(
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
        "RSA PRIVATE KEY" => "it is an RSA key; a key on the curve P-256 is required",
        "OPENSSH PRIVATE KEY" => "it is an OpenSSH key; a key in PKCS#8 is required",
        other => {
            return Err(unsupported_label(
                other,
                "its PEM label is not \"PRIVATE KEY\" or \"EC PRIVATE KEY\"",
            ));
        }
    }))
}

fn unsupported_label(label: &str, otherwise: &str) -> Error {
    invalid(match label {
        "ENCRYPTED PRIVATE KEY" => return encrypted(),
        "CERTIFICATE" => "it is a certificate, not a private key",
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "it is a public key, not a private key",
        _ => otherwise,
    })
}

/// Describes ring's reason for rejecting an RSA key.
fn reason(rejected: &str) -> String {
    match rejected {
        "WrongAlgorithm" => "it is not an RSA key".into(),
        "TooSmall" => "it is shorter than 2048 bits".into(),
        "TooLarge" => "it is longer than 4096 bits".into(),
        "InvalidEncoding" => "it is truncated or corrupted".into(),
        "InconsistentComponents" | "InvalidComponent" | "UnexpectedError" => {
            "its components are inconsistent".into()
        }
        other => format!("it was rejected ({other})"),
    }
}

fn encrypted() -> Error {
    invalid("it is encrypted with a passphrase").with_remedy(
        Remedy::new("Use the key file as downloaded from the Cloud console, or decrypt it.")
            .command("openssl pkey -in key.pem -out plain.pem"),
    )
}

fn invalid(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidKey,
        format!("the private key cannot be used: {why}"),
    )
    .with_remedy(Remedy::new(
        "Download a new JSON key for the service account, and use the file unchanged.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::{EcKey, RsaKey};

    fn message(pem: &str) -> String {
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
    fn escaped_and_windows_line_breaks_are_accepted() {
        let pem = RsaKey::shared().pkcs8_pem();
        for pem in [
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\\r\\n"),
            pem.replace('\n', "\\\\n"),
            pem.replace('\n', "\\\n"),
            pem.replace('\n', " "),
            pem.replace('\n', "\n    "),
            pem.replace('\n', " \n\n"),
            pem.replace('\n', "\\n\n"),
            pem.replace('\n', "n"),
            format!("\u{feff}\n\t{pem}\n\n"),
            format!("\"{pem}\""),
        ] {
            RsaPrivateKey::from_pem(&pem).unwrap_or_else(|error| panic!("{error}: {pem}"));
        }
    }

    #[test]
    fn key_after_other_blocks_is_found() {
        let key = RsaKey::shared();
        let signature = RsaPrivateKey::from_pem(key.pkcs8_pem())
            .unwrap()
            .sign(b"x")
            .unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for before in [
            certificate.to_owned(),
            certificate.repeat(2),
            "Bag Attributes\n    friendlyName: privatekey\nKey Attributes: <No Attributes>\n"
                .to_owned(),
            "-----BEGIN RSA PUBLIC KEY-----\nMIIB\n-----END RSA PUBLIC KEY-----\n".to_owned(),
        ] {
            for pem in [key.pkcs8_pem(), key.pkcs1_pem()] {
                let pem = format!("{before}{pem}{certificate}");
                let found = RsaPrivateKey::from_pem(&pem).unwrap();
                assert_eq!(found.sign(b"x").unwrap(), signature);
            }
        }
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n";
        let key = EcKey::generate();
        EcPrivateKey::from_pem(&format!("{parameters}{}", key.sec1_pem())).unwrap();
    }

    #[test]
    fn invalid_rsa_key_is_an_error_with_the_reason() {
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
                "truncated or corrupted",
            ),
            (pem[..400].to_owned(), "truncated"),
            (pem.replace(body, ""), "truncated or corrupted"),
            (pem.replace(body, "!!!!"), "base64"),
            (RsaKey::generate(1024).pkcs8_pem().to_owned(), "2048 bits"),
        ] {
            let message = message(&pem);
            assert!(message.contains(reason), "{message} / {reason}");
            assert!(!message.contains(body));
        }
    }

    #[test]
    fn p256_key_in_pkcs8_and_sec1_signs() {
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
    fn invalid_ec_key_is_an_error_with_the_reason() {
        let sec1 = EcKey::generate().sec1_pem().to_owned();
        let body = sec1.lines().nth(1).unwrap();
        for (pem, reason) in [
            (String::new(), "empty"),
            (RsaKey::shared().pkcs8_pem().to_owned(), "not a key on"),
            (RsaKey::shared().pkcs1_pem().to_owned(), "an RSA key"),
            (sec1.replace("EC PRIVATE KEY", "CERTIFICATE"), "certificate"),
            (sec1.replace(body, ""), "P-256"),
            (sec1[..90].to_owned(), "truncated"),
            (sec1.replace("EC PRIVATE KEY", "PRIVATE KEY"), "corrupted"),
        ] {
            let error = EcPrivateKey::from_pem(&pem).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidKey);
            assert!(error.to_string().contains(reason), "{error} / {reason}");
            assert!(!error.to_string().contains(body));
        }
    }

    #[test]
    fn ec_key_in_pkcs8_is_not_an_rsa_key() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        assert!(message(&pem).contains("not an RSA key"));
    }
}
