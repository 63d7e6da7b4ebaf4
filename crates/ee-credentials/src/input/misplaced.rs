//! Recognizing text that is not the JSON of a credential, so that the error says what it is.

use std::fmt;

use ee_token::Remedy;

use crate::Error;
use crate::input::content::{self, Content, Identified, is_refresh_token};
use crate::input::location::{DOWNLOAD_AGAIN, Location};
use crate::input::placeholder::Placeholder;

/// Text where the JSON of a credential is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MisplacedInput {
    Empty,
    Html,
    Array,
    Ini,
    /// JSON whose quotation marks a shell has removed, or Python's notation of it.
    WithoutQuotes,
    PercentEncoded,
    Placeholder(Placeholder),
    /// A refresh token of Google.
    RefreshToken,
    /// `NAME=value`.
    Assignment,
    /// A key, a token or a credential in another form.
    Content(Identified),
    Compressed,
    Url,
    Path,
    OtherText,
}

/// `[core]` rather than `["a"]`.
fn is_ini_section(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim_end();
    line.strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'))
        .is_some_and(|name| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || " _-.".contains(c))
        })
}

/// `EARTHENGINE_TOKEN=…` or `export EARTHENGINE_TOKEN=…`.
fn is_assignment(text: &str) -> bool {
    let text = text.trim_start_matches("export ").trim_start();
    text.split_once('=').is_some_and(|(name, _)| {
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        name.contains('_') && name.chars().all(is_of_name)
    })
}

/// Whether the names in an object have no double quotation marks: `{a: 1}`, `{'a': 1}`.
fn lacks_quotes(json: &str) -> bool {
    let first = json.trim_start_matches('{').trim_start();
    let end = first.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let has_bare_name =
        end.is_some_and(|end| end > 0 && first[end..].trim_start().starts_with(':'));
    first.starts_with('\'') || has_bare_name
}

fn is_path(text: &str) -> bool {
    let is_drive =
        matches!(text.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let is_named = [".json", ".pem", ".p12", ".txt"]
        .iter()
        .any(|end| text.ends_with(end));
    is_drive || is_named || text.starts_with(['/', '~', '.', '\\'])
}

impl MisplacedInput {
    /// Identifies a text by its beginning, by whether it is one word, and by a PEM in it. Returns
    /// `None` for a JSON object.
    pub(crate) fn identify(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('{') && !text.starts_with("{{") {
            return lacks_quotes(text).then_some(Self::WithoutQuotes);
        }
        let is_html = text.starts_with("<!") || text.starts_with('<') && text.contains("</");
        if !is_html && let Some(found) = Placeholder::identify(text) {
            return Some(Self::Placeholder(found));
        }
        let one_word = !text.contains(char::is_whitespace);
        let found = match text {
            "" => Self::Empty,
            _ if text.starts_with('<') => Self::Html,
            _ if text.starts_with('[') && is_ini_section(text) => Self::Ini,
            _ if text.starts_with('[') => Self::Array,
            _ if is_refresh_token(text) => Self::RefreshToken,
            _ if is_assignment(text) => Self::Assignment,
            _ if text.starts_with("%7B") || text.starts_with("%7b") => Self::PercentEncoded,
            _ => match content::identify(text) {
                Some(found) => Self::Content(found),
                None if one_word => Self::word(text),
                None => Self::OtherText,
            },
        };
        Some(found)
    }

    /// Identifies a text without whitespace that is no credential as a whole.
    fn word(text: &str) -> Self {
        match text {
            _ if text.starts_with("4/") => Self::Content(Content::AuthorizationCode.into()),
            _ if text.starts_with("AIza") => Self::Content(Content::ApiKey.into()),
            // `{"` and `{\n` in base64, cut off.
            _ if text.starts_with("eyJ") || text.starts_with("ewo") => Self::Content(Identified {
                content: Content::Json,
                is_base64: true,
            }),
            // The header of gzip in base64.
            _ if text.starts_with("H4sI") => Self::Compressed,
            _ if text.contains("://") => Self::Url,
            _ if is_path(text) => Self::Path,
            _ => Self::OtherText,
        }
    }

    fn remedy(&self) -> String {
        const USE_FILE: &str =
            "Use a service account's JSON key, or a file that a login has written.";
        let text = match self {
            Self::Empty => "Write a credential to it, or use another source.",
            Self::Html => {
                "Download the file again: a login page or an error page was saved instead."
            }
            Self::Ini => {
                "Use application_default_credentials.json, which `gcloud auth application-default login` writes."
            }
            Self::WithoutQuotes => {
                "Put the whole JSON in single quotation marks where a shell reads it. In Python, write it with json.dumps."
            }
            Self::PercentEncoded => "Decode it first.",
            Self::Placeholder(found) => return found.advice(),
            Self::RefreshToken => "Set the variable EARTHENGINE_TOKEN to the refresh token.",
            Self::Assignment => "Use the part after the equals sign.",
            Self::Content(found) => return content_remedy(found.content),
            Self::Compressed => "Decode and decompress it first (base64 --decode | gunzip).",
            Self::Url => "Use the contents of the file behind the URL.",
            Self::Path => {
                "Set GOOGLE_APPLICATION_CREDENTIALS to the path, or use the contents of the file."
            }
            Self::Array | Self::OtherText => USE_FILE,
        };
        text.to_owned()
    }

    /// Returns the error for this input at `location`.
    pub(crate) fn into_error(self, location: &Location) -> Error {
        location
            .invalid(&self)
            .with_remedy(Remedy::new(self.remedy()))
    }
}

fn content_remedy(content: Content) -> String {
    match content {
        Content::PrivateKey | Content::Certificate => {
            "Use the JSON key file that the key came in. A program can pass the PEM with Credentials::from_pem."
        }
        Content::RefreshToken => {
            "Copy the refresh token again: it has no spaces, line breaks or quotation marks."
        }
        Content::AccessToken | Content::Jwt | Content::TokenResponse => {
            "Use a login or a service account key. A program can pass an access token with Credentials::from_token."
        }
        Content::AuthorizationCode => {
            "Finish the login with it, and use the resulting credential."
        }
        Content::ApiKey => "Pass an API key with Credentials::from_api_key, without a credential.",
        Content::ClientSecret => "Use the whole file of the login, which contains the secret.",
        _ => DOWNLOAD_AGAIN,
    }
    .to_owned()
}

/// What the text is instead.
impl fmt::Display for MisplacedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Html => "it is HTML, not JSON",
            Self::Array => "it is JSON, but not an object",
            Self::Ini => "it is a gcloud configuration file, not JSON",
            Self::WithoutQuotes => {
                "it is not JSON, because there are no double quotation marks around its names"
            }
            Self::PercentEncoded => "it is percent-encoded, not JSON",
            Self::Placeholder(found) => return write!(f, "it is {found}"),
            Self::RefreshToken => "it is a refresh token, not JSON",
            Self::Assignment => "it starts with the name of a variable and an equals sign",
            Self::Content(found) => return found.fmt_instead_of_json(f),
            Self::Compressed => "it is base64 of compressed data, not JSON",
            Self::Url => "it is a URL, not JSON",
            Self::Path => "it is the path of a file, not JSON",
            Self::OtherText => "it is not JSON",
        })
    }
}

impl Identified {
    fn fmt_instead_of_json(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::PrivateKey | Content::Certificate => {
                write!(f, "it is a PEM ({self}), not JSON")
            }
            Content::AccessToken | Content::TokenResponse => {
                write!(f, "it is {self}, not JSON, and expires within an hour")
            }
            Content::RefreshToken => {
                write!(f, "it is {self} with characters that no refresh token has")
            }
            Content::AuthorizationCode => write!(f, "it is {self}, which is valid for one login"),
            Content::ServiceAccountKey
            | Content::Login
            | Content::ExternalAccount
            | Content::ImpersonatedServiceAccount
            | Content::ServiceIdentityKey
            | Content::Json => write!(f, "it is {self}, damaged or truncated"),
            _ => write!(f, "it is {self}, not JSON"),
        }
    }
}

/// Returns the error for invalid JSON. serde_json's own message can quote the text.
pub(crate) fn invalid_json(text: &str, location: &Location, error: &serde_json::Error) -> Error {
    let at = format!("line {}, column {}", error.line(), error.column());
    // A script put the JSON of a login where it expected a refresh token.
    let is_nested = [":\"{\"", ": \"{\"", ":\"\"1//", ": \"\"1//"];
    if is_nested.iter().any(|nested| text.contains(nested)) {
        return location
            .invalid(format_args!(
                "its JSON is invalid at {at}: a field contains JSON or quotation marks without escapes"
            ))
            .with_remedy(Remedy::new("Use the contents of that field alone."));
    }
    let why = if error.is_eof() {
        format!("its JSON is truncated at {at}")
    } else {
        format!("its JSON is invalid at {at}")
    };
    location
        .invalid(why)
        .with_remedy(Remedy::new(DOWNLOAD_AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misplaced_text_is_identified() {
        const PRIVATE_KEY: &str = "it is a PEM (a private key), not JSON";
        const ODD_TOKEN: &str = "it is a refresh token with characters that no refresh token has";
        const ACCESS_TOKEN: &str = "it is an access token, not JSON, and expires within an hour";
        const UNQUOTED: &str =
            "it is not JSON, because there are no double quotation marks around its names";
        const ASSIGNMENT: &str = "it starts with the name of a variable and an equals sign";
        const PATH: &str = "it is the path of a file, not JSON";
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln";
        for (text, noun) in [
            (" \n", "it is empty"),
            ("<!doctype html>", "it is HTML, not JSON"),
            ("-----BEGIN PRIVATE KEY-----\nx", PRIVATE_KEY),
            ("Bag Attributes\n-----BEGIN PRIVATE KEY-----", PRIVATE_KEY),
            (
                "-----BEGIN CERTIFICATE-----\nx",
                "it is a PEM (a certificate), not JSON",
            ),
            (
                "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
                "it is a PEM (base64 of a private key), not JSON",
            ),
            ("[1, 2]", "it is JSON, but not an object"),
            ("[\"a\"]", "it is JSON, but not an object"),
            ("[]", "it is JSON, but not an object"),
            (
                "[core]\nproject = x",
                "it is a gcloud configuration file, not JSON",
            ),
            ("1//0gabc-_d", "it is a refresh token, not JSON"),
            ("1//0gabc def", ODD_TOKEN),
            ("1//0gabc\",", ODD_TOKEN),
            ("ya29.abc", ACCESS_TOKEN),
            ("Bearer ya29.abc", ACCESS_TOKEN),
            (jwt, "it is a JSON Web Token, not JSON"),
            (
                "4/0AX",
                "it is an authorization code, which is valid for one login",
            ),
            ("AIzaSyabc", "it is an API key, not JSON"),
            ("GOCSPX-abc", "it is an OAuth client secret, not JSON"),
            ("eyJ0eXBlIjog", "it is base64 of JSON, damaged or truncated"),
            ("ewogICJ0eXBl", "it is base64 of JSON, damaged or truncated"),
            ("H4sIAAAAAAAA", "it is base64 of compressed data, not JSON"),
            ("%7B%22type%22%3A", "it is percent-encoded, not JSON"),
            ("{type: service_account}", UNQUOTED),
            ("{'type': 'service_account'}", UNQUOTED),
            ("EARTHENGINE_TOKEN=1//0gabc", ASSIGNMENT),
            ("export EARTHENGINE_TOKEN=1//0g", ASSIGNMENT),
            ("undefined", "it is the word \"undefined\""),
            (
                "${{ secrets.EE }}",
                "it is ${{ … }}, which was not replaced",
            ),
            ("https://example.com/key.json", "it is a URL, not JSON"),
            ("/home/me/key.json", PATH),
            ("C:\\Users\\me\\key.json", PATH),
            ("key.json", PATH),
            ("hello world", "it is not JSON"),
            ("\"text\"", "it is not JSON"),
        ] {
            let found = MisplacedInput::identify(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.to_string(), noun, "{text:?}");
            assert!(found.remedy().len() > 10, "{text}");
        }
        assert_eq!(MisplacedInput::identify(" {\"a\": 1}"), None);
    }
}
