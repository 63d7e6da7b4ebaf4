//! Validation of AWS subject tokens: `GetCallerIdentity` requests with a Signature Version 4.

use chrono::{DateTime, NaiveDateTime, Utc};
use ring::{digest, hmac};
use serde::Deserialize;
use url::Url;

use crate::federation::AwsKey;

/// The allowed clock skew of a request, in minutes.
const LEEWAY_MINUTES: i64 = 15;

/// A signed request in Google's JSON format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedRequest {
    url: String,
    method: String,
    headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    value: String,
}

impl SignedRequest {
    /// Returns the value of a header that must occur exactly once.
    fn header(&self, name: &str) -> Result<&str, String> {
        let mut found = self
            .headers
            .iter()
            .filter(|h| h.key.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(header), None) => Ok(&header.value),
            _ => Err(format!("the header {name} must occur exactly once")),
        }
    }
}

/// Returns the key that signed the request, or the reason why the request is invalid.
pub(super) fn caller<'a>(
    subject_token: &str,
    audience: &str,
    key_of: impl Fn(&str) -> Option<&'a AwsKey>,
    now: DateTime<Utc>,
) -> Result<&'a AwsKey, String> {
    let json = percent_decode(subject_token).ok_or("the subject token is not URL-encoded")?;
    let request: SignedRequest = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    if request.method != "POST" {
        return Err("the method must be POST".to_owned());
    }
    if request.header("x-goog-cloud-target-resource")? != audience {
        return Err("x-goog-cloud-target-resource is not the audience".to_owned());
    }
    let url = Url::parse(&request.url).map_err(|_| "the url is invalid")?;
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" || !host.starts_with("sts.") || !host.ends_with(".amazonaws.com") {
        return Err("the url is not that of AWS STS".to_owned());
    }
    if !url
        .query_pairs()
        .any(|(name, value)| name == "Action" && value == "GetCallerIdentity")
    {
        return Err("the action is not GetCallerIdentity".to_owned());
    }
    if request.header("host")? != host {
        return Err("the host header does not match the url".to_owned());
    }
    let time = request.header("x-amz-date")?;
    let at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ")
        .map_err(|_| "the x-amz-date is invalid")?;
    if (now - at.and_utc()).num_minutes().abs() >= LEEWAY_MINUTES {
        return Err("Signature expired".to_owned());
    }
    check_signature(&request, &url, time, key_of)
}

/// Returns the key that the signature names, if the signature is valid.
fn check_signature<'a>(
    request: &SignedRequest,
    url: &Url,
    time: &str,
    key_of: impl Fn(&str) -> Option<&'a AwsKey>,
) -> Result<&'a AwsKey, String> {
    let authorization = request.header("authorization")?;
    let parts = authorization
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .and_then(|rest| rest.split_once(", SignedHeaders="))
        .and_then(|(scope, rest)| Some((scope, rest.split_once(", Signature=")?)));
    let Some((credential, (signed_headers, signature))) = parts else {
        return Err("the Authorization header is not an AWS Signature Version 4".to_owned());
    };
    let (id, scope) = credential
        .split_once('/')
        .ok_or("the credential has no scope")?;
    let [date, region, "sts", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err("the credential scope is not for STS".to_owned());
    };
    if !time.starts_with(date) {
        return Err("the credential scope is for another day".to_owned());
    }
    if url.host_str() != Some(&format!("sts.{region}.amazonaws.com")) {
        return Err("the credential scope is for another region".to_owned());
    }
    let key = key_of(id).ok_or("The security token included in the request is invalid.")?;
    let mut must_be_signed = vec!["host", "x-amz-date"];
    if let Some(token) = &key.session_token {
        must_be_signed.push("x-amz-security-token");
        if request.header("x-amz-security-token")? != token {
            return Err("The security token included in the request is invalid.".to_owned());
        }
    }
    let names: Vec<&str> = signed_headers.split(';').collect();
    if !names.is_sorted() || must_be_signed.iter().any(|name| !names.contains(name)) {
        return Err("the signed headers are not sorted or incomplete".to_owned());
    }
    let mut canonical = format!("POST\n{}\n{}\n", url.path(), canonical_query(url));
    for name in &names {
        canonical.push_str(&format!("{name}:{}\n", request.header(name)?.trim()));
    }
    canonical.push_str(&format!(
        "\n{signed_headers}\n{}",
        hex(digest::digest(&digest::SHA256, b"").as_ref())
    ));
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let string_to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mut signing = format!("AWS4{}", key.secret).into_bytes();
    for part in [date, region, "sts", "aws4_request", &string_to_sign] {
        signing = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &signing),
            part.as_bytes(),
        )
        .as_ref()
        .to_vec();
    }
    if hex(&signing) != signature {
        return Err(
            "The request signature we calculated does not match the signature you provided."
                .to_owned(),
        );
    }
    Ok(key)
}

/// Returns the query's pairs, sorted and in AWS encoding.
fn canonical_query(url: &Url) -> String {
    let encode = |text: &[u8]| -> String {
        text.iter()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(*byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encode(name.as_bytes()), encode(value.as_bytes())))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes `text`, or returns `None` if it contains a character that must be encoded.
fn percent_decode(text: &str) -> Option<String> {
    if text
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || b"{}\"+".contains(&byte))
    {
        return None;
    }
    let as_form = format!("x={text}");
    let (_, value) = url::form_urlencoded::parse(as_form.as_bytes()).next()?;
    Some(value.into_owned())
}
