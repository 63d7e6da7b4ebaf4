//! AWS Signature Version 4 of a request without a body to AWS's Security Token Service.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use ee_token::SecretString;
use ring::{digest, hmac};
use url::Url;
use zeroize::Zeroizing;

use crate::input::quote::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An AWS access key, with a session token if it is temporary.
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) session_token: Option<SecretString>,
}

/// A signed request.
pub(crate) struct SignedRequest {
    pub(crate) headers: Vec<(&'static str, Zeroizing<String>)>,
}

/// Signs `POST url` for the service `sts` in a region. The header `Authorization` comes first,
/// followed by the signed headers.
pub(crate) fn sign(key: &AccessKey, region: &str, url: &Url, now: DateTime<Utc>) -> SignedRequest {
    let time = now.format("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    let mut covered = vec![
        (
            "host",
            Zeroizing::new(url.host_str().unwrap_or_default().to_owned()),
        ),
        ("x-amz-date", Zeroizing::new(time.clone())),
    ];
    if let Some(token) = &key.session_token {
        covered.push((
            "x-amz-security-token",
            Zeroizing::new(token.expose_secret().to_owned()),
        ));
    }
    let names: Vec<&str> = covered.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    // Large enough, because growing would leave copies behind.
    let length: usize = covered
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    let query = canonical_query(url);
    let room = length + url.path().len() + query.len() + names.len() + 128;
    let mut canonical = Zeroizing::new(String::with_capacity(room));
    let _ = write!(canonical, "POST\n{}\n{query}\n", url.path());
    for (name, value) in &covered {
        // Writing to a string cannot fail.
        let _ = writeln!(canonical, "{name}:{}", value.as_str());
    }
    let _ = write!(canonical, "\n{names}\n{}", sha256(b""));

    let scope = format!("{date}/{region}/sts/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let first = Zeroizing::new(format!("AWS4{}", key.secret.expose_secret()));
    let mut signing = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [date, region, "sts", "aws4_request"] {
        let tag = hmac::sign(&signing, part.as_bytes());
        signing = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
    }
    let signature = hex(hmac::sign(&signing, to_sign.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        key.id
    );
    let mut headers = vec![("Authorization", Zeroizing::new(authorization))];
    headers.extend(covered);
    SignedRequest { headers }
}

/// The query's pairs, each encoded as Amazon does it, in order.
fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    pairs.sort();
    let pairs = pairs.iter().map(|(name, value)| [&**name, value].join("="));
    pairs.collect::<Vec<_>>().join("&")
}

/// Everything but RFC 3986's unreserved characters becomes `%XX`.
pub(crate) fn encode(text: &str) -> String {
    // Never grows: text that is a secret would leave a copy behind.
    let mut out = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn encoded_text_is_unreserved_and_decodable(text in ".*") {
            let encoded = encode(&text);
            let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b);
            assert!(encoded.bytes().all(unreserved));
            let pair = format!("x={encoded}");
            let (_, decoded) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
            assert_eq!(decoded, text);
        }
    }
}
