#![allow(missing_docs)]

use ee_token::AccessToken;

use crate::storage::disk_cache::entry::{self, SealingKey};

/// Decrypts the contents of a cache file and returns the token.
pub fn open_token(key: &[u8; 32], contents: &[u8]) -> Option<AccessToken> {
    let entry = SealingKey::new(key).open(&mut contents.to_vec())?;
    Some(entry.token)
}

/// Parses decrypted contents and returns the token.
pub fn unsealed_token(contents: &[u8]) -> Option<AccessToken> {
    entry::read(contents).map(|entry| entry.token)
}

pub fn seal_token(key: &[u8; 32], token: &AccessToken) -> Option<Vec<u8>> {
    SealingKey::new(key).seal(token)
}
