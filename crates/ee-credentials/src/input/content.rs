//! Recognizing credentials, keys and tokens by their text alone.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// A text that is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) content: Content,
    pub(crate) is_base64: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    ServiceAccountKey,
    Login,
    ExternalAccount,
    ImpersonatedServiceAccount,
    ServiceIdentityKey,
    OauthClient,
    TokenResponse,
    Json,
    PrivateKey,
    Certificate,
    AccessToken,
    RefreshToken,
    Jwt,
    AuthorizationCode,
    ApiKey,
    ClientSecret,
    SeveralLines,
    TooLong,
}

impl From<Content> for Identified {
    fn from(content: Content) -> Self {
        Self {
            content,
            is_base64: false,
        }
    }
}

/// Identifies a credential, a key or a token, plain or in base64.
pub(crate) fn identify(text: &str) -> Option<Identified> {
    let text = trimmed(text);
    let in_base64 = |content| Identified {
        content,
        is_base64: true,
    };
    secret(text)
        .map(Identified::from)
        .or_else(|| decoded(text).map(in_base64))
}

/// Removes whitespace, a byte order mark, and the quotation marks of env files.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '"' || c == '\'')
}

fn secret(text: &str) -> Option<Content> {
    const LABEL: &str = "-----BEGIN";
    if is_json(text) {
        return Some(json(text));
    }
    if let Some((_, pem)) = text.split_once(LABEL) {
        let label = pem.split("-----").next().unwrap_or_default();
        return Some(
            match label.contains("CERTIFICATE") && !pem.contains(LABEL) {
                true => Content::Certificate,
                false => Content::PrivateKey,
            },
        );
    }
    if text.contains("-----END") {
        return Some(Content::PrivateKey);
    }
    token(text)
}

/// Whether the text is a JSON object or list, possibly truncated or without its quotation marks. A
/// path may start with a brace too: `{name}/key.json`, `{GUID}\key.json`.
fn is_json(text: &str) -> bool {
    let starts_object = text.strip_prefix('{').is_some_and(|rest| {
        let rest = rest.trim_start();
        let name_end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let has_bare_name = name_end
            .filter(|end| *end > 0)
            .is_some_and(|end| rest[end..].trim_start().starts_with(':'));
        matches!(rest, "" | "}") || rest.starts_with(['"', '\'', '\\']) || has_bare_name
    });
    let starts_list = text
        .strip_prefix('[')
        .is_some_and(|rest| rest.trim_start().starts_with(['{', '[', '"', '\\']));
    let is_percent_encoded = text
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("%7b"));
    let has_quote = text.contains(['"', '\'']);
    let has_field = has_quote
        && FIELDS.iter().any(|name| {
            text.match_indices(name).any(|(at, name)| {
                let after = text[at + name.len()..].trim_start_matches('\\');
                after.starts_with(['"', '\''])
            })
        });
    starts_object || starts_list || is_percent_encoded || has_field
}

/// Fields of credentials, by which JSON without its beginning is recognized.
const FIELDS: [&str; 5] = [
    "private_key",
    "client_secret",
    "refresh_token",
    "client_email",
    "token_uri",
];

/// Identifies the credential in valid or invalid JSON.
fn json(text: &str) -> Content {
    let has = |word: &str| text.contains(word);
    match () {
        () if has("gdch_service_account") => Content::ServiceIdentityKey,
        () if has("impersonated_service_account") => Content::ImpersonatedServiceAccount,
        () if has("external_account_authorized_user") => Content::Login,
        () if has("external_account") || has("subject_token_type") => Content::ExternalAccount,
        () if has("authorized_user") => Content::Login,
        () if has("service_account") || has("private_key") => Content::ServiceAccountKey,
        () if has("refresh_token") => Content::Login,
        () if has("access_token") => Content::TokenResponse,
        () if has("client_secret") => Content::OauthClient,
        () => Content::Json,
    }
}

/// Whether the text can be a refresh token of Google. RFC 6749 does not specify its form, but no other
/// form has been issued.
pub(crate) fn is_refresh_token(text: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_./~+=".contains(c);
    let is_newer = text
        .strip_prefix("1//")
        .is_some_and(|rest| !rest.is_empty());
    // Older tokens have one slash.
    (is_newer || is_long_word(text, "1/", 40)) && text.chars().all(is_of_token)
}

/// Whether the text is this beginning and a word of at least so many characters.
fn is_long_word(text: &str, start: &str, shortest: usize) -> bool {
    text.strip_prefix(start)
        .is_some_and(|rest| rest.len() >= shortest && rest.chars().all(is_of_word))
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_".contains(c)
}

/// Identifies a token by its prefix.
fn token(text: &str) -> Option<Content> {
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let is_jwt = || {
        let mut parts = text.split('.');
        let starts = |part: Option<&str>| {
            part.is_some_and(|part| part.starts_with("eyJ") && part.chars().all(is_of_word))
        };
        starts(parts.next()) && starts(parts.next())
    };
    let word = |start, shortest| is_long_word(text, start, shortest);
    Some(match () {
        () if text.starts_with("ya29.") => Content::AccessToken,
        () if text.starts_with("1//") || word("1/", 40) => Content::RefreshToken,
        () if text.starts_with("GOCSPX-") => Content::ClientSecret,
        () if word("AIza", 30) => Content::ApiKey,
        () if word("4/0", 20) || word("4/1", 20) => Content::AuthorizationCode,
        () if is_jwt() => Content::Jwt,
        () => return None,
    })
}

/// Identifies the contents of base64 of either alphabet, possibly wrapped or truncated.
fn decoded(text: &str) -> Option<Content> {
    /// A shorter text holds no secret: the header of a JSON Web Token may be part of a path.
    const SHORTEST: usize = 24;
    if text.len() < SHORTEST {
        return None;
    }
    let bytes = base64_decoded(text)?;
    if is_der_key(&bytes) {
        return Some(Content::PrivateKey);
    }
    let end = match std::str::from_utf8(&bytes) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    secret(trimmed(text)).filter(|_| end + 4 > bytes.len())
}

/// Decodes base64 of either alphabet, possibly wrapped or truncated.
pub(crate) fn base64_decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let joined = Zeroizing::new(text.replace("\\n", "").replace("\\r", ""));
    let mut word = Zeroizing::new(String::with_capacity(joined.len()));
    word.extend(joined.chars().filter(|c| !c.is_whitespace()));
    let word = Some(word.trim_end_matches('=')).filter(|word| !word.is_empty())?;
    let alphabet = match word.contains(['-', '_']) {
        true => &alphabet::URL_SAFE,
        false => &alphabet::STANDARD,
    };
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    // A single character after the last group encodes no byte.
    let whole = word.len() - usize::from(word.len() % 4 == 1);
    let bytes = GeneralPurpose::new(alphabet, lenient).decode(word.get(..whole)?);
    bytes.ok().map(Zeroizing::new)
}

/// Whether the bytes are a key in DER (PKCS #8, PKCS #1 or SEC 1): a sequence that starts with a
/// version. A certificate starts with another sequence.
fn is_der_key(bytes: &[u8]) -> bool {
    let contents = match bytes {
        [0x30, 0x82, _, _, contents @ ..] | [0x30, 0x81, _, contents @ ..] => contents,
        [0x30, length, contents @ ..] if *length < 0x80 => contents,
        _ => return false,
    };
    matches!(contents, [0x02, 0x01, 0x00 | 0x01, ..])
}

impl fmt::Display for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_base64 {
            f.write_str("base64 of ")?;
        }
        f.write_str(match self.content {
            Content::ServiceAccountKey => "a service account key",
            Content::Login => "a login",
            Content::ExternalAccount => "an external account configuration",
            Content::ImpersonatedServiceAccount => "an impersonated service account configuration",
            Content::ServiceIdentityKey => "a service identity key",
            Content::OauthClient => "an OAuth client",
            Content::TokenResponse => "a token response",
            Content::Json => "JSON",
            Content::PrivateKey => "a private key",
            Content::Certificate => "a certificate",
            Content::AccessToken => "an access token",
            Content::RefreshToken => "a refresh token",
            Content::Jwt => "a JSON Web Token",
            Content::AuthorizationCode => "an authorization code",
            Content::ApiKey => "an API key",
            Content::ClientSecret => "an OAuth client secret",
            Content::SeveralLines => "text of several lines",
            Content::TooLong => "text longer than any path",
        })
    }
}
