//! The unguessable start of paths, for systems that do not tell which user asks.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{Error, ErrorKind};

/// A random path segment that only the broker's owner knows.
#[derive(Clone)]
pub(crate) struct PathPrefix(String);

impl PathPrefix {
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            let why = "the system has no random numbers";
            Error::new(ErrorKind::Listen, why)
        })?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Self(digits.collect()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the prefix from a path. Returns whether the path had it.
    pub(crate) fn strip<'a>(&self, path: &'a str) -> (&'a str, bool) {
        let rest = path.strip_prefix('/').and_then(|path| {
            let (start, rest) = path.split_at_checked(self.0.len())?;
            let is_segment = rest.is_empty() || rest.starts_with('/');
            (is_segment && is_equal(start, &self.0)).then_some(rest)
        });
        rest.map_or((path, false), |rest| (rest, true))
    }
}

/// Compares in a time that does not depend on the position of a difference.
fn is_equal(a: &str, b: &str) -> bool {
    let pairs = a.bytes().zip(b.bytes());
    a.len() == b.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

impl fmt::Debug for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathPrefix([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_prefix_is_stripped() {
        let prefix = PathPrefix::random().unwrap();
        let own = prefix.expose();
        assert_eq!(own.len(), 32);
        assert!(!format!("{prefix:?}").contains(own));
        assert_eq!(prefix.strip(&format!("/{own}/a/b")), ("/a/b", true));
        assert_eq!(prefix.strip(&format!("/{own}")), ("", true));
        let other = PathPrefix::random().unwrap();
        for path in [
            "/a/b".to_owned(),
            "/".to_owned(),
            "*".to_owned(),
            format!("/{own}x/a"),
            format!("/{}/a", &own[1..]),
            format!("/{}/a", other.expose()),
            format!("/ä{}", &own[..31]),
        ] {
            assert_eq!(prefix.strip(&path), (&*path, false), "{path}");
        }
    }
}
