//! X.509 certificates (RFC 5280), to the extent that an identity provider needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::keys::pem;
use crate::{RsaKey, random};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `sha256WithRSAEncryption`, with NULL parameters.
const SHA256_WITH_RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
/// `basicConstraints`, critical: a certificate authority.
const AUTHORITY: &[u8] = &[
    0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff,
];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// A certificate in DER.
pub(crate) struct Certificate(pub(crate) Vec<u8>);

impl Certificate {
    /// Issues a certificate for `subject` and its key, signed by `issuer` with `authority`.
    pub(crate) fn issue(
        subject: &str,
        issuer: &str,
        key: &RsaKey,
        authority: &RsaKey,
        now: DateTime<Utc>,
    ) -> Self {
        let extension = if subject == issuer {
            tlv(SEQUENCE, &[AUTHORITY])
        } else {
            let names = tlv(SEQUENCE, &[&tlv(0x82, &[subject.as_bytes()])]);
            tlv(SEQUENCE, &[SUBJECT_ALT_NAME, &tlv(OCTET_STRING, &[&names])])
        };
        let time = |at: DateTime<Utc>| {
            tlv(
                UTC_TIME,
                &[at.format("%y%m%d%H%M%SZ").to_string().as_bytes()],
            )
        };
        let mut serial = vec![0x01];
        serial.extend_from_slice(random::hex(6).as_bytes());
        let algorithm = tlv(SEQUENCE, &[SHA256_WITH_RSA]);
        let to_be_signed = tlv(
            SEQUENCE,
            &[
                &tlv(0xa0, &[&tlv(INTEGER, &[&[2]])]),
                &tlv(INTEGER, &[&serial]),
                &algorithm,
                &name(issuer),
                &tlv(
                    SEQUENCE,
                    &[
                        &time(now - TimeDelta::hours(1)),
                        &time(now + TimeDelta::days(1)),
                    ],
                ),
                &name(subject),
                &public_key(key),
                &tlv(0xa3, &[&tlv(SEQUENCE, &[&extension])]),
            ],
        );
        let signature = sign(authority, &to_be_signed);
        Self(tlv(
            SEQUENCE,
            &[
                &to_be_signed,
                &algorithm,
                &tlv(BIT_STRING, &[&[0], &signature]),
            ],
        ))
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.0)
    }

    /// Returns the subject's common name, if `authority` signed the certificate.
    pub(crate) fn subject_signed_by(&self, authority: &RsaKey) -> Option<String> {
        let (_, certificate, []) = read(&self.0)? else {
            return None;
        };
        let (_, tbs, rest) = read(certificate)?;
        let signed = &certificate[..certificate.len() - rest.len()];
        let (_, _, rest) = read(rest)?;
        let (BIT_STRING, [0, signature @ ..], []) = read(rest)? else {
            return None;
        };
        if !authority.verifies(signed, signature) {
            return None;
        }
        // Version, serial number, algorithm, issuer and validity precede the subject.
        let mut rest = tbs;
        for _ in 0..5 {
            (_, _, rest) = read(rest)?;
        }
        let (SEQUENCE, names, _) = read(rest)? else {
            return None;
        };
        let (_, set, _) = read(names)?;
        let (_, attribute, _) = read(set)?;
        let (UTF8_STRING, text, []) = read(attribute.strip_prefix(COMMON_NAME)?)? else {
            return None;
        };
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Creates an RS256 signature.
pub(crate) fn sign(key: &RsaKey, message: &[u8]) -> Vec<u8> {
    let Ok(pair) = RsaKeyPair::from_pkcs8(&der(key.pkcs8_pem())) else {
        return Vec::new();
    };
    let mut signature = vec![0; pair.public().modulus_len()];
    match pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message,
        &mut signature,
    ) {
        Ok(()) => signature,
        Err(_) => Vec::new(),
    }
}

/// Encodes a `SubjectPublicKeyInfo`.
fn public_key(key: &RsaKey) -> Vec<u8> {
    der(key.public_pem())
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap_or_default()
}

fn name(common: &str) -> Vec<u8> {
    let attribute = tlv(
        SEQUENCE,
        &[COMMON_NAME, &tlv(UTF8_STRING, &[common.as_bytes()])],
    );
    tlv(SEQUENCE, &[&tlv(SET, &[&attribute])])
}

/// Encodes an element: tag, length and concatenated contents.
fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        _ => {
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    for part in contents {
        out.extend_from_slice(part);
    }
    out
}

/// Decodes the first element: its tag, its contents and the remaining bytes.
fn read(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(4))?;
        let length = digits
            .iter()
            .fold(0, |n, digit| n << 8 | usize::from(*digit));
        (length, rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_returned_only_for_the_right_authority() {
        let (authority, other) = (RsaKey::shared(), RsaKey::generate(2048));
        let leaf = Certificate::issue("workload", "root", &other, authority, Utc::now());
        assert_eq!(
            leaf.subject_signed_by(authority).as_deref(),
            Some("workload")
        );
        assert_eq!(leaf.subject_signed_by(&other), None);
        let mut changed = Certificate(leaf.0.clone());
        let at = changed.0.windows(8).position(|w| w == b"workload").unwrap();
        changed.0[at] = b'W';
        assert_eq!(changed.subject_signed_by(authority), None);
        for cut in 0..leaf.0.len() {
            assert_eq!(
                Certificate(leaf.0[..cut].to_vec()).subject_signed_by(authority),
                None
            );
        }
    }
}
