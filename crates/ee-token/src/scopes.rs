//! Scopes: what a token may be used for (RFC 6749 §3.3).

use std::fmt;
use std::sync::Arc;

use once_cell::sync::Lazy;

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// Scopes that were asked for or granted: a set that remembers the order it was given in.
///
/// Short names are understood: `earthengine` is
/// `https://www.googleapis.com/auth/earthengine`. Cheap to clone.
///
/// ```
/// use ee_token::Scopes;
///
/// let scopes: Scopes = "earthengine.readonly,drive".parse().unwrap();
/// assert_eq!(
///     scopes.to_string(),
///     "https://www.googleapis.com/auth/earthengine.readonly https://www.googleapis.com/auth/drive",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Scopes(Arc<[String]>);

impl Scopes {
    /// What Earth Engine needs: `earthengine` and `cloud-platform`.
    ///
    /// The Python client also asks for `drive` and `devstorage.full_control`, which only
    /// exports need: ask for those when you export.
    pub fn earth_engine() -> Self {
        static DEFAULT: Lazy<Scopes> = Lazy::new(|| Scopes::new(["earthengine", "cloud-platform"]));
        DEFAULT.clone()
    }

    /// These scopes, each short or whole, without repetitions. A text with blanks or commas in
    /// it is several.
    ///
    /// ```
    /// # use ee_token::Scopes;
    /// assert_eq!(Scopes::new(["earthengine drive"]), Scopes::new(["earthengine", "drive"]));
    /// ```
    pub fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::of_those(scopes, |_| true)
    }

    /// The scopes that somebody else states, which are printed: what has other characters than
    /// a scope may have (RFC 6749 §3.3) is none.
    #[doc(hidden)]
    pub fn from_untrusted<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        let may_stand = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        Self::of_those(scopes, |scope| scope.bytes().all(may_stand))
    }

    fn of_those<S: AsRef<str>>(
        texts: impl IntoIterator<Item = S>,
        is_one: impl Fn(&str) -> bool,
    ) -> Self {
        let mut all: Vec<String> = Vec::new();
        for text in texts {
            let words = text.as_ref().split(|c: char| c == ',' || c.is_whitespace());
            for word in words.filter(|word| !word.is_empty() && is_one(word)) {
                let scope = expand(word);
                if !all.contains(&scope) {
                    all.push(scope);
                }
            }
        }
        Self(all.into())
    }

    /// The scopes in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether this scope (short or whole) is among them.
    pub fn contains(&self, scope: &str) -> bool {
        let scope = expand(scope);
        self.0.contains(&scope)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The URL that a short name stands for. What has a colon is whole already, and so
/// are OpenID's own (`openid`, `email`, `profile`).
fn expand(scope: &str) -> String {
    if scope.contains(':') || matches!(scope, "openid" | "email" | "profile") {
        scope.to_owned()
    } else {
        format!("{PREFIX}{scope}")
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::earth_engine()
    }
}

impl std::str::FromStr for Scopes {
    type Err = std::convert::Infallible;

    /// Reads scopes that are separated by blanks or commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new([text]))
    }
}

impl fmt::Display for Scopes {
    /// The whole URLs, separated by one blank, as token requests want them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|s| s.strip_prefix(PREFIX).unwrap_or(s)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_repetitions_go() {
        let scopes = Scopes::new([
            "drive",
            " earthengine ",
            "",
            "https://www.googleapis.com/auth/drive",
        ]);
        assert_eq!(
            scopes.to_string(),
            "https://www.googleapis.com/auth/drive https://www.googleapis.com/auth/earthengine"
        );
        assert!(scopes.contains("drive") && !scopes.contains("cloud-platform"));
    }

    #[test]
    fn openid_scopes_stay_short() {
        assert_eq!(Scopes::new(["openid", "email"]).to_string(), "openid email");
    }

    #[test]
    fn a_text_with_blanks_is_as_many_scopes_as_it_has_words() {
        let scopes = Scopes::new(["earthengine\u{a0}drive,openid", " \t\n"]);
        assert_eq!(scopes, Scopes::new(["earthengine", "drive", "openid"]));
        assert_eq!(scopes.len(), 3);
    }

    #[test]
    fn what_a_server_states_and_is_no_scope_is_left_out() {
        let stated = Scopes::from_untrusted([
            "drive \u{1b}[2Jevil a\"b a\\b \u{202e}evil zur\u{fc}ck",
            "openid\u{7f} earthengine",
        ]);
        assert_eq!(stated, Scopes::new(["drive", "earthengine"]));
    }

    proptest::proptest! {
        #[test]
        fn whatever_texts_they_are_made_of_scopes_are_printed_and_read_as_the_same(
            texts in proptest::collection::vec("\\PC{0,12}|[a-z \\t\\n,\\x00-\\x1f]{0,24}", 0..6),
        ) {
            let scopes = Scopes::new(&texts);
            assert_eq!(scopes.to_string().parse(), Ok(scopes.clone()));
            assert_eq!(scopes.to_string().split(' ').filter(|s| !s.is_empty()).count(), scopes.len());
            let stated = Scopes::from_untrusted(&texts).to_string();
            assert!(!stated.chars().any(crate::is_unsafe_for_display));
        }

        #[test]
        fn what_is_printed_is_read_as_the_same_scopes(
            names in proptest::collection::vec("(https://)?[a-z./_-]{1,16}", 0..6),
        ) {
            let scopes = Scopes::new(&names);
            assert_eq!(scopes.to_string().parse(), Ok(scopes.clone()));
            assert_eq!(Scopes::new(scopes.iter()), scopes);
            assert!(names.iter().all(|name| scopes.contains(name)));
        }
    }
}
