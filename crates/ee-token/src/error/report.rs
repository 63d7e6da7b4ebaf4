//! The parts that the error type of each crate is made of.
#![allow(missing_docs, reason = "internal to the crates of this project")]

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::Remedy;
use crate::secret::sanitize::sanitize;

/// The body of an error: one word wide and cheap to clone, because a failed refresh is returned to
/// every waiting caller.
///
/// Each crate wraps it in an `Error` of its own with [`error_type!`](crate::error_type).
#[derive(Clone)]
pub struct ErrorBody<K, X = ()>(Arc<Body<K, X>>);

#[derive(Clone)]
struct Body<K, X> {
    kind: K,
    message: String,
    details: ErrorDetails,
    extra: X,
}

/// What an error says apart from its kind and message, the same for every crate.
#[derive(Debug, Clone)]
pub struct ErrorDetails {
    pub remedy: Remedy,
    /// Whether the remedy is that of the kind, which a more specific one replaces.
    pub has_default_remedy: bool,
    pub principal: Option<String>,
    pub project: Option<String>,
    pub server_message: Option<String>,
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
    /// The delay that the server asked for.
    pub retry_after: Option<Duration>,
}

/// Data that only the errors of one crate have.
pub trait ErrorExtra: Clone + Default {
    /// Writes what `Display` shows after the message.
    fn write_after_message(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl ErrorExtra for () {}

/// An error declared by [`error_type!`](crate::error_type).
pub trait HasDetails: StdError + Send + Sync + 'static {
    fn details(&self) -> &ErrorDetails;
}

impl<K: Copy, X: ErrorExtra> ErrorBody<K, X> {
    /// Cold, so that the linker places error handling apart from the code that every program runs,
    /// which short programs wait for.
    #[cold]
    pub fn new(kind: K, message: impl Into<String>, default_remedy: &'static str) -> Self {
        Self(Arc::new(Body {
            kind,
            message: message.into(),
            details: ErrorDetails {
                remedy: Remedy::new(default_remedy),
                has_default_remedy: true,
                principal: None,
                project: None,
                server_message: None,
                source: None,
                retry_after: None,
            },
            extra: X::default(),
        }))
    }

    pub fn kind(&self) -> K {
        self.0.kind
    }

    pub fn extra(&self) -> &X {
        &self.0.extra
    }

    pub fn details(&self) -> &ErrorDetails {
        &self.0.details
    }

    pub fn set_message(&mut self, message: String) {
        Arc::make_mut(&mut self.0).message = message;
    }

    pub fn extra_mut(&mut self) -> &mut X {
        &mut Arc::make_mut(&mut self.0).extra
    }

    pub fn details_mut(&mut self) -> &mut ErrorDetails {
        &mut Arc::make_mut(&mut self.0).details
    }

    /// Replaces the remedy. A blank one is ignored.
    pub fn set_remedy(&mut self, remedy: Remedy) {
        if remedy.text.trim().is_empty() {
            return;
        }
        let details = self.details_mut();
        details.remedy = remedy;
        details.has_default_remedy = false;
    }

    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.details().source.as_deref().map(|s| s as _)
    }

    /// Returns the first error of this type in the chain of sources.
    pub fn find_source<E: StdError + 'static>(&self) -> Option<&E> {
        let mut next = self.source();
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Makes `error` the source, and copies the details that this error does not have.
    pub fn set_cause(&mut self, error: impl HasDetails) {
        let theirs = error.details().clone();
        let ours = self.details_mut();
        if ours.has_default_remedy {
            ours.remedy = theirs.remedy;
            ours.has_default_remedy = theirs.has_default_remedy;
        }
        ours.principal = ours.principal.take().or(theirs.principal);
        ours.project = ours.project.take().or(theirs.project);
        ours.server_message = ours.server_message.take().or(theirs.server_message);
        ours.retry_after = ours.retry_after.or(theirs.retry_after);
        ours.source = Some(Arc::new(error));
    }

    /// Writes the report that a person reads when `main` returns the error: the message, the
    /// server's message and the sources unless an earlier line contains them, and the remedy.
    fn write_report(&self, message: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut report = message.to_owned();
        let details = self.details();
        let server_message = details.server_message.as_deref();
        if let Some(text) = server_message
            && !report.contains(text)
        {
            write!(report, "\nserver message: {text}")?;
        }
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            let is_known =
                report.contains(&text) || server_message.is_some_and(|m| text.contains(m));
            if !is_known {
                write!(report, "\ncaused by: {text}")?;
            }
            next = error.source();
        }
        write!(report, "\nhint: {}", details.remedy)?;
        f.write_str(&sanitize(&report, &[]))
    }
}

impl<K, X: ErrorExtra> fmt::Display for ErrorBody<K, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        self.0.extra.write_after_message(f)
    }
}

/// `{:?}` is a report for people, because `main` prints a returned error with it; `{:#?}` shows
/// the structure.
impl<K: Copy + fmt::Debug, X: ErrorExtra> fmt::Debug for ErrorBody<K, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.to_string();
        if !f.alternate() {
            return self.write_report(&message, f);
        }
        let details = self.details();
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.kind()).field("message", &message);
        let texts = [
            ("principal", &details.principal),
            ("project", &details.project),
            ("server_message", &details.server_message),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                out.field(name, text);
            }
        }
        out.field("remedy", &details.remedy);
        if let Some(source) = &details.source {
            out.field("source", source);
        }
        out.finish()
    }
}

/// Declares a crate's `Error`: one word wide, cloneable, with a kind, a remedy, a principal and a
/// source. The kind must have `fn is_transient(self) -> bool` and `fn default_remedy(self) -> &'static
/// str`, so that no error is without a remedy. Data that only this crate's errors have goes into a
/// third type, an [`ErrorExtra`].
#[doc(hidden)]
#[macro_export]
macro_rules! error_type {
    ($(#[$meta:meta])* $name:ident, $kind:ty) => {
        $crate::error_type!($(#[$meta])* $name, $kind, ());
    };
    ($(#[$meta:meta])* $name:ident, $kind:ty, $extra:ty) => {
        $(#[$meta])*
        ///
        /// `{:?}` shows a report for people, so that `fn main() -> Result<(), Error>` prints the
        /// message, the server's message, the causes and the remedy. `{:#?}` shows the structure.
        #[derive(Clone)]
        pub struct $name($crate::internal::ErrorBody<$kind, $extra>);

        impl $name {
            /// Creates an error. The message should name the file, variable, host or project
            /// concerned, and must not contain a secret.
            #[cold]
            pub fn new(kind: $kind, message: impl Into<String>) -> Self {
                let remedy = kind.default_remedy();
                Self($crate::internal::ErrorBody::new(kind, message, remedy))
            }

            /// Returns the kind of the error.
            pub fn kind(&self) -> $kind {
                self.0.kind()
            }

            /// Returns whether the same call may succeed later without any change.
            pub fn is_transient(&self) -> bool {
                self.kind().is_transient()
            }

            /// Returns how to fix the problem.
            pub fn remedy(&self) -> &$crate::Remedy {
                &self.0.details().remedy
            }

            /// Returns the principal concerned, usually an email address, if known.
            pub fn principal(&self) -> Option<&str> {
                self.0.details().principal.as_deref()
            }

            /// Sets how to fix the problem.
            #[must_use]
            pub fn with_remedy(mut self, remedy: $crate::Remedy) -> Self {
                self.0.set_remedy(remedy);
                self
            }

            /// Sets how to fix the problem, unless a remedy was set that is more specific than the
            /// default of the kind.
            #[must_use]
            pub fn or_remedy(self, remedy: $crate::Remedy) -> Self {
                if self.0.details().has_default_remedy {
                    self.with_remedy(remedy)
                } else {
                    self
                }
            }

            /// Returns the server's message, if a server responded with an error.
            pub fn server_message(&self) -> Option<&str> {
                self.0.details().server_message.as_deref()
            }

            /// Sets the server's message, which must not contain a secret.
            #[must_use]
            pub fn with_server_message(mut self, message: impl Into<String>) -> Self {
                self.0.details_mut().server_message = Some(message.into());
                self
            }

            /// Sets the principal concerned.
            #[must_use]
            pub fn with_principal(mut self, principal: impl Into<String>) -> Self {
                self.0.details_mut().principal = Some(principal.into());
                self
            }

            /// Sets the underlying error.
            #[must_use]
            pub fn with_source(
                mut self,
                source: impl std::error::Error + Send + Sync + 'static,
            ) -> Self {
                self.0.details_mut().source = Some(std::sync::Arc::new(source));
                self
            }

            /// Sets the underlying error, and adopts its remedy, principal and project if this
            /// error has none of its own.
            #[must_use]
            pub fn with_cause(mut self, cause: impl $crate::internal::HasDetails) -> Self {
                self.0.set_cause(cause);
                self
            }

            /// Replaces the message, for example by one that says which file or project the error
            /// is about. The kind, the remedy and the principal are kept, and this error becomes
            /// the source of the new one.
            #[must_use]
            pub fn context(self, message: impl Into<String>) -> Self {
                let mut body = self.0.clone();
                body.set_message(message.into());
                body.details_mut().source = Some(std::sync::Arc::new(self));
                Self(body)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
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

        impl $crate::internal::HasDetails for $name {
            fn details(&self) -> &$crate::internal::ErrorDetails {
                self.0.details()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{Error, ErrorKind, Remedy};

    fn failed() -> Error {
        let io = std::io::Error::other("connection reset");
        Error::new(ErrorKind::Network, "the token request failed")
            .with_remedy(
                Remedy::new("Check the proxy.")
                    .command("env | grep -i proxy")
                    .url("https://example.com/"),
            )
            .with_principal("jane@example.com")
            .with_source(io)
    }

    #[test]
    fn debug_is_a_report_with_causes_and_remedy() {
        assert_eq!(
            format!("{:?}", failed().context("no token for jane@example.com")),
            "no token for jane@example.com\n\
             caused by: the token request failed\n\
             caused by: connection reset\n\
             hint: Check the proxy.\n    env | grep -i proxy\n    https://example.com/"
        );
        let structure = format!("{:#?}", failed());
        assert!(structure.contains("kind: Network"), "{structure}");
        assert!(structure.contains("connection reset"), "{structure}");
    }

    #[test]
    fn report_does_not_repeat_causes_or_control_the_terminal() {
        let inner = std::io::Error::other("gone\u{1b}[2J");
        let error = Error::new(ErrorKind::Network, format!("failed: {inner}")).with_source(inner);
        let report = format!("{error:?}");
        assert!(report.starts_with("failed: gone[2J\nhint: "), "{report}");
    }

    #[test]
    fn context_keeps_kind_remedy_and_principal() {
        let error = failed().context("second").context("third");
        assert_eq!(error.to_string(), "third");
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.principal(), Some("jane@example.com"));
        assert_eq!(error.remedy(), failed().remedy());
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "second");
        assert!(error.0.find_source::<std::io::Error>().is_some());
    }

    #[test]
    fn more_specific_remedy_replaces_the_default_of_the_kind() {
        let bare = Error::new(ErrorKind::Timeout, "late");
        assert_eq!(bare.remedy().text, ErrorKind::Timeout.default_remedy());
        for blank in ["", " \n"] {
            assert_eq!(
                bare.clone().with_remedy(Remedy::new(blank)).remedy(),
                bare.remedy()
            );
        }
        let adopted = bare.clone().with_cause(failed());
        assert_eq!(adopted.remedy(), failed().remedy());
        let chosen = bare.or_remedy(Remedy::new("Wait."));
        assert_eq!(
            chosen.clone().or_remedy(Remedy::new("Run.")).remedy(),
            chosen.remedy()
        );
    }

    #[test]
    fn cause_does_not_replace_details() {
        let error = Error::new(ErrorKind::Timeout, "late")
            .with_remedy(Remedy::new("Wait."))
            .with_cause(failed());
        assert_eq!(error.remedy().text, "Wait.");
        assert_eq!(error.principal(), Some("jane@example.com"));
    }
}
