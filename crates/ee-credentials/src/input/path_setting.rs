//! Settings that contain the path of a file or a directory. A key or a token that was set by mistake
//! is neither opened nor shown.

use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ee_token::Remedy;
use zeroize::Zeroizing;

use crate::input::location::Location;
use crate::{Error, ErrorKind};

/// Bytes of the longest path: `PATH_MAX` on Linux, and the limit of Windows.
const LONGEST_PATH: usize = if cfg!(windows) { 32_767 } else { 4096 };
/// Characters of the longest file name.
const LONGEST_NAME: usize = 255;

/// Variables of the operating system.
const SYSTEM_VARIABLES: [&str; 4] = ["HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"];

/// The setting that contains a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PathSetting<'a> {
    Variable(&'a str),
    /// A command-line option.
    Flag(&'a str),
    /// A field of a credential file.
    Field(&'a Location, &'a str),
    /// The argument of a function.
    Argument,
}

/// Validates that the value of a command-line option can be a path.
///
/// ```
/// use std::path::Path;
/// use ee_credentials::check_path_flag;
///
/// assert!(check_path_flag("--input", Path::new("request.json")).is_ok());
/// let error = check_path_flag("--input", Path::new("{\"a\": 1}")).unwrap_err();
/// assert_eq!(error.to_string(), "--input is JSON, not a path");
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidFile`] if the value is a credential, a key, a token or another text. The
/// message says what it is, and does not contain it. [`ErrorKind::InvalidOptions`] if it is a text
/// without a secret.
pub fn check_path_flag(flag: &str, value: &Path) -> Result<(), Error> {
    PathSetting::Flag(flag).check(value)
}

impl PathSetting<'_> {
    /// Rejects a value that cannot be a path.
    pub(crate) fn check(self, value: &Path) -> Result<(), Error> {
        match not_a_path(value) {
            Some(found) => Err(self.error(found)),
            None => Ok(()),
        }
    }

    /// The error for a value that cannot be a path.
    pub(crate) fn error(self, found: NotAPath) -> Error {
        let is = match self {
            Self::Flag(_) | Self::Argument => "is",
            Self::Variable(_) | Self::Field(..) => "contains",
        };
        let mut remedy = Remedy::new(found.advice(self));
        if let Self::Variable(name) = self
            && !SYSTEM_VARIABLES.contains(&name)
        {
            remedy = remedy.command(format!("unset {name}"));
        }
        let kind = match (self, found.content) {
            (Self::Flag(name), Content::Json | Content::SeveralLines | Content::TooLong)
                if name != "--credentials" =>
            {
                ErrorKind::InvalidOptions
            }
            _ => ErrorKind::InvalidFile,
        };
        let message = format!("{self} {is} {found}, not a path");
        Error::new(kind, message).with_remedy(remedy)
    }

    /// Whether the path is that of a credential file.
    fn names_credentials(self) -> bool {
        match self {
            Self::Variable(name) => {
                matches!(name, "GOOGLE_APPLICATION_CREDENTIALS" | "EE_CONFIG_FILE")
            }
            Self::Flag(name) => name == "--credentials",
            Self::Field(..) => false,
            Self::Argument => true,
        }
    }

    /// Returns the correction for a value that belongs in a file.
    fn set_to_its_path(self) -> String {
        match self {
            Self::Variable(name) => format!("set {name} to its path"),
            Self::Flag(name) => format!("pass its path with {name}"),
            Self::Field(_, name) => format!("put its path into the field `{name}`"),
            Self::Argument => "pass its path".to_owned(),
        }
    }

    /// Returns the correction for a value that belongs elsewhere.
    fn set_to_a_path(self) -> String {
        match self {
            Self::Variable(name) if SYSTEM_VARIABLES.contains(&name) => {
                format!("set {name} to the path of the directory, as the system does")
            }
            Self::Variable(name) => format!("set {name} to a path or unset it"),
            Self::Flag(name) => format!("pass a path with {name} or leave it out"),
            Self::Field(_, name) => format!("put a path into the field `{name}`"),
            Self::Argument => "pass a path".to_owned(),
        }
    }
}

impl fmt::Display for PathSetting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Field(location, name) => write!(f, "{location}: the field `{name}`"),
            Self::Argument => f.write_str("the path of the file"),
        }
    }
}

/// A value that cannot be a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAPath {
    content: Content,
    is_base64: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
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

/// Identifies a value that cannot be a path. The name of an existing file or directory is one.
pub(crate) fn not_a_path(value: &Path) -> Option<NotAPath> {
    identify(&value.to_string_lossy()).filter(|_| fs::symlink_metadata(value).is_err())
}

/// Identifies a value that cannot be a path by its text alone.
pub(crate) fn identify(value: &str) -> Option<NotAPath> {
    let text = trimmed(value);
    if let Some(content) = secret(text) {
        return Some(NotAPath {
            content,
            is_base64: false,
        });
    }
    if let Some(content) = decoded(text) {
        return Some(NotAPath {
            content,
            is_base64: true,
        });
    }
    let is_name_too_long = |name: &str| name.chars().count() > LONGEST_NAME;
    let content = if text.contains(['\n', '\r']) {
        Content::SeveralLines
    } else if text.len() > LONGEST_PATH || text.split(['/', '\\']).any(is_name_too_long) {
        Content::TooLong
    } else {
        return None;
    };
    Some(NotAPath {
        content,
        is_base64: false,
    })
}

/// Removes whitespace, a byte order mark, and the quotation marks of env files.
fn trimmed(text: &str) -> &str {
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
    let has_field = FIELDS.iter().any(|name| {
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

/// Identifies a token by its prefix.
fn token(text: &str) -> Option<Content> {
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let word = |start: &str, shortest: usize| {
        text.strip_prefix(start)
            .is_some_and(|rest| rest.len() >= shortest && rest.chars().all(is_of_token))
    };
    let is_jwt = || {
        let mut parts = text.split('.');
        let starts = |part: Option<&str>| {
            part.is_some_and(|part| part.starts_with("eyJ") && part.chars().all(is_of_token))
        };
        starts(parts.next()) && starts(parts.next())
    };
    Some(match () {
        () if text.starts_with("ya29.") => Content::AccessToken,
        // Older tokens have one slash.
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
    /// Shorter texts hold no secret.
    const SHORTEST: usize = 24;
    let joined = Zeroizing::new(text.replace("\\n", "").replace("\\r", ""));
    let mut word = Zeroizing::new(String::with_capacity(joined.len()));
    word.extend(joined.chars().filter(|c| !c.is_whitespace()));
    let word = word.trim_end_matches('=');
    if word.len() < SHORTEST {
        return None;
    }
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
    let bytes = Zeroizing::new(bytes.ok()?);
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

impl fmt::Display for NotAPath {
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

impl NotAPath {
    /// Returns where such a value belongs.
    fn advice(self, setting: PathSetting<'_>) -> String {
        let its_path = setting.set_to_its_path();
        let a_path = setting.set_to_a_path();
        let decode = match self.is_base64 {
            true => "Decode it (base64 --decode). ",
            false => "",
        };
        let advice = match self.content {
            Content::ServiceAccountKey
            | Content::Login
            | Content::ExternalAccount
            | Content::ImpersonatedServiceAccount
            | Content::ServiceIdentityKey => match setting.names_credentials() {
                true => {
                    format!("Set EARTHENGINE_TOKEN to it, or write it to a file and {its_path}.")
                }
                false => format!("Set EARTHENGINE_TOKEN to it, and {a_path}."),
            },
            Content::OauthClient => format!(
                "An OAuth client is not a credential: log in with `eectl auth login`, and {a_path}."
            ),
            Content::TokenResponse | Content::AccessToken | Content::Jwt => format!(
                "Such a token expires, usually within an hour: use a login or a service account key, and {a_path}. A program can pass an access token with Credentials::from_token."
            ),
            Content::RefreshToken => format!("Set EARTHENGINE_TOKEN to it, and {a_path}."),
            Content::AuthorizationCode => format!(
                "Finish the login with `eectl auth login --authorization-code`, and {a_path}."
            ),
            Content::ApiKey => {
                format!(
                    "A program can pass an API key with EarthEngineBuilder::api_key. Then {a_path}."
                )
            }
            Content::ClientSecret => format!(
                "It belongs in the field `client_secret` of a login's file: use the whole file, and {its_path}."
            ),
            Content::PrivateKey => format!(
                "Use the JSON key file that the key came in, and {its_path}. A program can pass a PEM with Credentials::from_pem."
            ),
            Content::Certificate => format!("Write it to a file and {its_path}."),
            Content::Json => format!("Write it to a file and {its_path}."),
            Content::SeveralLines | Content::TooLong => {
                format!(
                    "If the text is a credential, write it to a file and {its_path}; otherwise {a_path}."
                )
            }
        };
        format!("{decode}{advice}")
    }
}

#[cfg(test)]
mod tests;
