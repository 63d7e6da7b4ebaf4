//! Scopes of access tokens (RFC 6749 §3.3).

use std::fmt;
use std::sync::Arc;

use once_cell::sync::Lazy;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// An ordered set of requested or granted scopes.
///
/// A short name stands for a URL: `earthengine` is
/// `https://www.googleapis.com/auth/earthengine`. Serialized as a list of URLs. Cheap to clone.
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
    /// Returns the scopes that Earth Engine needs: `earthengine` and `cloud-platform`.
    ///
    /// The Python client also requests `drive` and `devstorage.full_control`, which only exports
    /// need.
    pub fn earth_engine() -> Self {
        static DEFAULT: Lazy<Scopes> = Lazy::new(|| Scopes::new(["earthengine", "cloud-platform"]));
        DEFAULT.clone()
    }

    /// Creates a set of scopes from short names and URLs. Text is split at spaces and commas.
    ///
    /// ```
    /// # use ee_token::Scopes;
    /// assert_eq!(Scopes::new(["earthengine drive"]), Scopes::new(["earthengine", "drive"]));
    /// ```
    pub fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::filtered(scopes, |_| true)
    }

    /// Creates a set of scopes from untrusted text, without those that contain characters a scope
    /// cannot have (RFC 6749 §3.3).
    pub fn from_untrusted<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Self {
        let may_stand = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        Self::filtered(scopes, |scope| scope.bytes().all(may_stand))
    }

    fn filtered<S: AsRef<str>>(
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

    /// Returns the URLs of the scopes in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.into_iter()
    }

    /// Whether the set contains this scope, given as a short name or a URL.
    pub fn contains(&self, scope: &str) -> bool {
        let scope = expand(scope);
        self.0.contains(&scope)
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of scopes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the URL of a short name. URLs and the scopes of OpenID Connect stay as they are.
fn expand(scope: &str) -> String {
    if scope.contains(':') || matches!(scope, "openid" | "email" | "profile") {
        scope.to_owned()
    } else {
        format!("{PREFIX}{scope}")
    }
}

/// As [`Scopes::new`].
impl<S: AsRef<str>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self::new(scopes)
    }
}

impl<'a> IntoIterator for &'a Scopes {
    type Item = &'a str;
    type IntoIter = std::iter::Map<std::slice::Iter<'a, String>, fn(&'a String) -> &'a str>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(String::as_str)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer).map(Self::new)
    }
}

/// [`Scopes::earth_engine`].
impl Default for Scopes {
    fn default() -> Self {
        Self::earth_engine()
    }
}

impl std::str::FromStr for Scopes {
    type Err = std::convert::Infallible;

    /// Parses scopes that are separated by spaces or commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new([text]))
    }
}

impl fmt::Display for Scopes {
    /// Writes the URLs separated by spaces, the format of token requests.
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
    fn order_is_kept_and_duplicates_are_removed() {
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
    fn scopes_are_serialized_as_a_list() {
        let scopes: Scopes = ["drive", "openid"].into_iter().collect();
        let json = serde_json::to_string(&scopes).unwrap();
        assert_eq!(
            json,
            r#"["https://www.googleapis.com/auth/drive","openid"]"#
        );
        assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), scopes);
    }

    #[test]
    fn openid_scopes_stay_short() {
        assert_eq!(Scopes::new(["openid", "email"]).to_string(), "openid email");
    }

    #[test]
    fn text_is_split_into_scopes() {
        let scopes = Scopes::new(["earthengine\u{a0}drive,openid", " \t\n"]);
        assert_eq!(scopes, Scopes::new(["earthengine", "drive", "openid"]));
        assert_eq!(scopes.len(), 3);
    }

    #[test]
    fn untrusted_text_that_is_not_a_scope_is_dropped() {
        let stated = Scopes::from_untrusted([
            "drive \u{1b}[2Jevil a\"b a\\b \u{202e}evil zur\u{fc}ck",
            "openid\u{7f} earthengine",
        ]);
        assert_eq!(stated, Scopes::new(["drive", "earthengine"]));
    }

    proptest::proptest! {
        #[test]
        fn scopes_of_any_text_round_trip(
            texts in proptest::collection::vec("\\PC{0,12}|[a-z \\t\\n,\\x00-\\x1f]{0,24}", 0..6),
        ) {
            let scopes = Scopes::new(&texts);
            assert_eq!(scopes.to_string().parse(), Ok(scopes.clone()));
            assert_eq!(scopes.to_string().split(' ').filter(|s| !s.is_empty()).count(), scopes.len());
            let stated = Scopes::from_untrusted(&texts).to_string();
            assert!(!stated.chars().any(crate::secret::sanitize::is_unsafe_for_display));
        }

        #[test]
        fn displayed_scopes_round_trip(
            names in proptest::collection::vec("(https://)?[a-z./_-]{1,16}", 0..6),
        ) {
            let scopes = Scopes::new(&names);
            assert_eq!(scopes.to_string().parse(), Ok(scopes.clone()));
            assert_eq!(Scopes::new(scopes.iter()), scopes);
            assert!(names.iter().all(|name| scopes.contains(name)));
        }
    }
}
