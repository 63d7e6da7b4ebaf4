//! A cached token: its encryption and its freshness.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::{AccessToken, Scopes, SecretString};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

/// How long before its expiry a token is renewed, as in the cache in memory.
const REFRESH_WINDOW: TimeDelta = TimeDelta::seconds(225);

/// A cached token.
pub(crate) struct Entry {
    pub(crate) token: AccessToken,
    minted_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Entry {
    /// Returns whether the token does not need to be renewed yet. A token from the future is not
    /// fresh: the clock was set back, so that its real age is unknown.
    pub(crate) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let life = self.expires_at.signed_duration_since(self.minted_at);
        let left = self.expires_at.signed_duration_since(now);
        now >= self.minted_at && left > REFRESH_WINDOW.min(life / 4)
    }
}

/// The encrypted contents. Times are seconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Contents<T> {
    access_token: T,
    minted_at: i64,
    expires_at: i64,
    scopes: Option<Vec<String>>,
}

/// Encrypts and decrypts the tokens of one credential.
pub(crate) struct SealingKey(Option<LessSafeKey>);

impl SealingKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, secret);
        Self(key.ok().map(LessSafeKey::new))
    }

    /// Encrypts a token. Returns `None` if its expiry is unknown.
    pub(crate) fn seal(&self, token: &AccessToken) -> Option<Vec<u8>> {
        let contents = Contents {
            access_token: token.secret(),
            minted_at: Utc::now().timestamp(),
            expires_at: token.expires_at()?.timestamp(),
            scopes: token
                .scopes()
                .map(|scopes| scopes.iter().map(str::to_owned).collect()),
        };
        // Allocated at its maximum size, because growing would leave copies in memory.
        let scopes = token
            .scopes()
            .map_or(0, |scopes| scopes.to_string().len() + 3 * scopes.len());
        let room = 2 * token.secret().len() + scopes + 256;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *bytes, &contents).ok()?;
        // Random nonces are safe here: a key encrypts about one token per hour, and RFC 8439 §4
        // allows 2^32 of them.
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let tag = self
            .0
            .as_ref()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut bytes,
            )
            .ok()?;
        Some([&nonce, bytes.as_slice(), tag.as_ref()].concat())
    }

    /// Decrypts a file. Returns `None` if it was not encrypted with this key or is damaged.
    pub(crate) fn open(&self, sealed: &mut [u8]) -> Option<Entry> {
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let bytes = self
            .0
            .as_ref()?
            .open_in_place(nonce, Aad::empty(), rest)
            .ok()?;
        let entry = read(bytes);
        bytes.zeroize();
        entry
    }
}

pub(crate) fn read(bytes: &[u8]) -> Option<Entry> {
    let contents: Contents<SecretString> = serde_json::from_slice(bytes).ok()?;
    let expires_at = DateTime::from_timestamp(contents.expires_at, 0)?;
    let mut token = AccessToken::new(contents.access_token.expose_secret())
        .ok()?
        .with_expiry(expires_at);
    if let Some(scopes) = contents.scopes {
        token = token.with_scopes(Scopes::new(scopes));
    }
    Some(Entry {
        token,
        minted_at: DateTime::from_timestamp(contents.minted_at, 0)?,
        expires_at,
    })
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(minted_at: i64, expires_at: i64) -> Entry {
        let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Entry {
            token: AccessToken::new("x").unwrap(),
            minted_at: time(minted_at),
            expires_at: time(expires_at),
        }
    }

    #[test]
    fn cached_token_is_fresh_until_it_is_due_for_renewal() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let hour = entry(10_000, 13_600);
        for (now, fresh) in [
            (9_999, false), // the clock was set back
            (10_000, true),
            (13_374, true),
            (13_375, false), // 225 s before its expiry
            (13_600, false),
            (99_999, false),
        ] {
            assert_eq!(hour.is_fresh(at(now)), fresh, "{now}");
        }
        // For a short lifetime, the last quarter.
        assert!(entry(0, 100).is_fresh(at(74)));
        assert!(!entry(0, 100).is_fresh(at(75)));
        assert!(!entry(100, 0).is_fresh(at(100)));
    }

    #[test]
    fn cached_token_is_decrypted_only_with_its_key_and_undamaged() {
        let token = AccessToken::new("ya29.canary")
            .unwrap()
            .with_expiry(Utc::now() + TimeDelta::hours(1))
            .with_scopes(Scopes::earth_engine());
        let key = SealingKey::new(&[1; 32]);
        let sealed = key.seal(&token).unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"canary"));
        let entry = key.open(&mut sealed.clone()).unwrap();
        assert!(entry.token.secret_eq(&token));
        assert_eq!(entry.token.scopes(), token.scopes());
        assert!(entry.is_fresh(Utc::now()));

        assert!(
            SealingKey::new(&[2; 32])
                .open(&mut sealed.clone())
                .is_none()
        );
        for length in 0..sealed.len() {
            assert!(key.open(&mut sealed[..length].to_vec()).is_none());
        }
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.open(&mut bent).is_none());
        }
    }

    #[test]
    fn token_without_expiry_is_not_cached() {
        let token = AccessToken::new("ya29.canary").unwrap();
        assert!(SealingKey::new(&[1; 32]).seal(&token).is_none());
    }

    proptest::proptest! {
        #[test]
        fn encrypted_token_round_trips(
            secret in "[!-~]{1,300}", seconds in 1_i64..4_000_000_000, names in ".{0,40}",
        ) {
            let token = AccessToken::new(&secret)
                .unwrap()
                .with_expiry(DateTime::from_timestamp(seconds, 0).unwrap())
                .with_scopes(Scopes::new(names.split_whitespace()));
            let key = SealingKey::new(&[1; 32]);
            let opened = key.open(&mut key.seal(&token).unwrap()).unwrap().token;
            assert!(opened.secret_eq(&token));
            assert_eq!(opened.expires_at(), token.expires_at());
            assert_eq!(opened.scopes(), token.scopes());
        }
    }
}
