//! Settings that contain the path of a file or a directory. A key or a token that was set by mistake
//! is neither opened nor shown, and a path in another program's spelling is not opened.

use std::fmt;
use std::fs;
use std::path::Path;

use ee_token::Remedy;

use crate::input::content::{self, Content, Identified, trimmed};
use crate::input::location::Location;
use crate::input::shell::shell_quoted;
use crate::input::spelling::{Misspelled, misspelled};
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

impl<'a> PathSetting<'a> {
    /// Rejects a value that cannot be a path.
    pub(crate) fn check(self, value: &Path) -> Result<(), Error> {
        self.check_on(cfg!(windows), value)
    }

    /// Rejects a value that cannot be a path of Windows, or of another system.
    pub(crate) fn check_on(self, is_windows: bool, value: &Path) -> Result<(), Error> {
        match not_a_path(value, is_windows) {
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
        let (message, remedy, command, is_secret) = match found {
            NotAPath::Text(found) => {
                let is_secret = !matches!(
                    found.content,
                    Content::Json | Content::SeveralLines | Content::TooLong
                );
                let may_unset = |name: &&str| !SYSTEM_VARIABLES.contains(name);
                let unset = self.variable().filter(may_unset);
                (
                    format!("{self} {is} {found}, not a path"),
                    found.advice(self),
                    unset.map(|name| format!("unset {name}")),
                    is_secret,
                )
            }
            NotAPath::Misspelled(found) => {
                let assignment = self
                    .variable()
                    .zip(found.correct())
                    .map(|(name, path)| format!("export {name}={}", shell_quoted(Path::new(path))));
                let command = assignment.filter(|_| !cfg!(windows));
                (
                    format!("{self} {is} {found}"),
                    found.advice(),
                    command,
                    false,
                )
            }
        };
        let kind = match self {
            Self::Flag(name) if name != "--credentials" && !is_secret => ErrorKind::InvalidOptions,
            _ => ErrorKind::InvalidFile,
        };
        let mut remedy = Remedy::new(remedy);
        if let Some(command) = command {
            remedy = remedy.command(command);
        }
        Error::new(kind, message).with_remedy(remedy)
    }

    fn variable(self) -> Option<&'a str> {
        match self {
            Self::Variable(name) => Some(name),
            _ => None,
        }
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

/// Why a value is rejected where a path belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAPath {
    /// It is another text.
    Text(Identified),
    /// It is a path in another program's spelling.
    Misspelled(Misspelled),
}

/// Identifies a value that cannot be a path. The name of an existing file or directory is one.
pub(crate) fn not_a_path(value: &Path, is_windows: bool) -> Option<NotAPath> {
    let text = value.to_string_lossy();
    let misspelled = || misspelled(&text, is_windows).map(NotAPath::Misspelled);
    identify(&text)
        .map(NotAPath::Text)
        .or_else(misspelled)
        .filter(|_| fs::symlink_metadata(value).is_err())
}

/// Identifies a value that cannot be a path by its text alone.
pub(crate) fn identify(value: &str) -> Option<Identified> {
    if let Some(found) = content::identify(value) {
        return Some(found);
    }
    let text = trimmed(value);
    let is_name_too_long = |name: &str| name.chars().count() > LONGEST_NAME;
    let content = if text.contains(['\n', '\r']) {
        Content::SeveralLines
    } else if text.len() > LONGEST_PATH || text.split(['/', '\\']).any(is_name_too_long) {
        Content::TooLong
    } else {
        return None;
    };
    Some(content.into())
}

impl Identified {
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
