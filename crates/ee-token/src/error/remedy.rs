//! How to fix an error.

use std::borrow::Cow;
use std::fmt;

pub(crate) const UNEXPECTED_INTERMEDIARY: &str = "An intermediary between this machine and Google sent or truncated the response. Check the proxy and the network's login page, then try again.";
pub(crate) const UNCONFIRMED_REJECTION: &str = "The reason is not known to this program, and the response does not show that the credential is invalid. Try again in a moment; if it fails again, check the proxy, and show the server's message to your administrator.";

/// How to fix a problem: a sentence and, where they exist, a command and a web page.
///
/// `Display` shows the sentence, the command and the URL on lines of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remedy {
    /// The fix, as one or more sentences.
    pub text: Cow<'static, str>,
    /// A command that applies the fix, ready to paste.
    pub command: Option<String>,
    /// A page where the fix can be made or is explained.
    pub url: Option<String>,
}

impl Remedy {
    /// Creates a remedy that consists of a sentence.
    ///
    /// ```
    /// let remedy = ee_token::Remedy::new("Set the clock of this machine.").command("timedatectl set-ntp true");
    /// assert_eq!(remedy.command.as_deref(), Some("timedatectl set-ntp true"));
    /// ```
    #[cold]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            command: None,
            url: None,
        }
    }

    /// Returns the remedy for a response that cannot be Google's.
    pub fn unexpected_intermediary() -> Self {
        Self::new(UNEXPECTED_INTERMEDIARY)
    }

    /// Returns the remedy for an error status that does not show that the credential is invalid.
    pub fn of_unconfirmed_rejection() -> Self {
        Self::new(UNCONFIRMED_REJECTION)
    }

    /// Returns the remedy for a refusal whose reason is not known to this library.
    pub fn of_unknown_refusal() -> Self {
        Self::new(
            "The reason is not known to this program. Do what the server's message says, or show it to your administrator.",
        )
    }

    /// Returns the remedy for a network that requires a login in a browser before it forwards requests
    /// (RFC 6585 §6).
    pub fn of_captive_portal() -> Self {
        Self::new(
            "This network requires a login. Open any web page in a browser, log in to the network, then try again.",
        )
    }

    /// Sets the command.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Sets the URL of the page.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if let Some(command) = &self.command {
            write!(f, "\n    {command}")?;
        }
        if let Some(url) = &self.url {
            write!(f, "\n    {url}")?;
        }
        Ok(())
    }
}
