//! Decodes the contents of a token exchange for comparison.

use std::collections::BTreeMap;

use serde_json::Value;

/// Decodes URL-encoded JSON.
pub(crate) fn json(encoded: &str) -> Value {
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at(2);
            let digits = std::str::from_utf8(digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}

/// Decodes a signed request to AWS: its headers in order, without times and signature, which the
/// emulator checks.
pub(crate) fn signed_request(encoded: &str) -> BTreeMap<String, String> {
    let request = json(encoded);
    let mut fields = BTreeMap::from([
        ("aws method".to_owned(), request["method"].to_string()),
        ("aws url".to_owned(), request["url"].to_string()),
    ]);
    let mut names = Vec::new();
    for header in request["headers"].as_array().unwrap() {
        let name = header["key"].as_str().unwrap();
        let value = header["value"].as_str().unwrap();
        names.push(name);
        match name {
            "x-amz-date" => assert_eq!(value.len(), "20260101T000000Z".len()),
            "Authorization" => {
                let (credential, rest) = value.split_once('/').unwrap();
                let (_date, rest) = rest.split_once('/').unwrap();
                let (scope, signature) = rest.split_once("Signature=").unwrap();
                assert_eq!(signature.len(), 64);
                let (algorithm, id) = credential.split_once("Credential=").unwrap();
                fields.insert("aws algorithm".to_owned(), algorithm.to_owned());
                fields.insert("aws key".to_owned(), id.to_owned());
                fields.insert("aws scope and signed headers".to_owned(), scope.to_owned());
            }
            _ => {
                fields.insert(format!("aws header {name}"), value.to_owned());
            }
        }
    }
    fields.insert("aws headers".to_owned(), names.join(" "));
    fields
}

/// Decodes a certificate chain, whatever its whitespace.
pub(crate) fn certificates(list: &str) -> BTreeMap<String, String> {
    let chain: Vec<String> = serde_json::from_str(list).unwrap();
    let named = |(at, text)| (format!("certificate {at}"), text);
    chain.into_iter().enumerate().map(named).collect()
}
