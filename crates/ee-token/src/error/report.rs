//! The parts that every error of these crates is made of.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What a person should do about an error: a sentence, and where there is one
/// a command to run and a page to open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remedy {
    /// What to do, as a sentence.
    pub text: Cow<'static, str>,
    /// A command that does it, ready to paste.
    pub command: Option<String>,
    /// A page where it can be done, or that explains it.
    pub url: Option<String>,
}

impl Remedy {
    /// A remedy that is a sentence alone.
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

    /// What to do about an answer that cannot be Google's, whatever its status.
    #[doc(hidden)]
    pub fn unexpected_intermediary() -> Self {
        Self::new(
            "Something between this machine and Google answered in its place, or cut the answer: check the proxy and the network's login page, then try again.",
        )
    }

    /// What to do about an error status that does not say that the credential is invalid.
    #[doc(hidden)]
    pub fn of_unconfirmed_rejection() -> Self {
        Self::new(
            "This response does not show that the credential is invalid. Try again in a moment; if it fails again, check the proxy, and show the server's message to your administrator.",
        )
    }

    /// Adds the command that does it.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Adds the page where it can be done.
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

/// The body of an error: one word wide, cheap to clone, so that a failed
/// refresh can be handed to everybody who waited for it.
///
/// Each crate wraps it in an `Error` of its own with [`error_type!`](crate::error_type).
#[doc(hidden)]
#[derive(Clone)]
pub struct ErrorBody<K>(Arc<Body<K>>);

#[derive(Clone)]
struct Body<K> {
    kind: K,
    message: String,
    remedy: Option<Remedy>,
    principal: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl<K: Copy> ErrorBody<K> {
    /// Cold, so that the code that leads here stands apart from what programs run through when
    /// nothing is wrong: a program that ends soon waits for the pages of its code.
    #[cold]
    pub fn new(kind: K, message: impl Into<String>) -> Self {
        Self(Arc::new(Body {
            kind,
            message: message.into(),
            remedy: None,
            principal: None,
            source: None,
        }))
    }

    pub fn kind(&self) -> K {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy.as_ref()
    }

    pub fn principal(&self) -> Option<&str> {
        self.0.principal.as_deref()
    }

    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }

    pub fn set_remedy(&mut self, remedy: Remedy) {
        Arc::make_mut(&mut self.0).remedy = Some(remedy);
    }

    pub fn set_principal(&mut self, principal: String) {
        Arc::make_mut(&mut self.0).principal = Some(principal);
    }

    pub fn set_source(&mut self, source: Arc<dyn StdError + Send + Sync>) {
        Arc::make_mut(&mut self.0).source = Some(source);
    }
}

impl<K: fmt::Debug> fmt::Debug for ErrorBody<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &body.kind)
            .field("message", &body.message);
        if let Some(principal) = &body.principal {
            out.field("principal", principal);
        }
        if let Some(source) = &body.source {
            out.field("source", source);
        }
        out.finish()
    }
}

/// Declares a crate's `Error`: word-sized, cloneable, with a kind, a remedy, a
/// principal and a source. The kind must have `fn is_transient(self) -> bool`.
#[doc(hidden)]
#[macro_export]
macro_rules! error_type {
    ($(#[$meta:meta])* $name:ident, $kind:ty) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $name($crate::ErrorBody<$kind>);

        impl $name {
            /// An error of this kind. The message names the file, variable,
            /// host or project at fault, and never a secret.
            #[cold]
            pub fn new(kind: $kind, message: impl Into<String>) -> Self {
                Self($crate::ErrorBody::new(kind, message))
            }

            /// What went wrong, for a program to match on.
            pub fn kind(&self) -> $kind {
                self.0.kind()
            }

            /// Whether the same call may succeed later without anybody doing anything.
            pub fn is_transient(&self) -> bool {
                self.kind().is_transient()
            }

            /// What a person should do about it, where that is known.
            pub fn remedy(&self) -> Option<&$crate::Remedy> {
                self.0.remedy()
            }

            /// Who was refused (an e-mail address, usually), where that is known.
            pub fn principal(&self) -> Option<&str> {
                self.0.principal()
            }

            /// Adds what to do about it.
            #[must_use]
            pub fn with_remedy(mut self, remedy: $crate::Remedy) -> Self {
                self.0.set_remedy(remedy);
                self
            }

            /// Adds who was refused.
            #[must_use]
            pub fn with_principal(mut self, principal: impl Into<String>) -> Self {
                self.0.set_principal(principal.into());
                self
            }

            /// Adds the error that this one stems from.
            #[must_use]
            pub fn with_source(
                mut self,
                source: impl std::error::Error + Send + Sync + 'static,
            ) -> Self {
                self.0.set_source(std::sync::Arc::new(source));
                self
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0.message())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.0.source()
            }
        }
    };
}
