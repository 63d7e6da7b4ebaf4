//! The lifecycle of every credential, from its file to its drop, with an allocator that searches
//! freed memory for its secrets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod allocator;
mod fixtures;
mod lifecycle;
mod server;

use allocator::{exempt, freed_secrets, keep};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Buffers of dependencies, by functions that free them: `docs/src/threat-model.md` lists them.
const DEPENDENCIES: [&str; 4] = [
    // The connection's buffers: hyper's task, which does nothing else.
    "<futures_util::future::future::map::Map<Fut,F>",
    // The pieces of a response, which share the connection's read buffer.
    "bytes::bytes_mut::",
    // serde_json's buffer for a string with escapes.
    "from_trait",
    // The buffer for the PEM of a certificate's key.
    "rustls_pki_types",
];

/// The usual length of a token, one that exceeds a small buffer, and a larger one.
const LENGTHS: [usize; 3] = [60, 300, 2000];

#[test]
fn freed_memory_contains_no_secret() {
    let (mut unexpected, mut seen) = (Vec::new(), [false; DEPENDENCIES.len()]);
    for length in LENGTHS {
        let fixture = exempt(|| fixtures::Fixture::new(length));
        for (stage, live) in lifecycle::STAGES {
            for hit in freed_secrets(|| live(&fixture)) {
                let mut places = DEPENDENCIES.iter();
                match places.position(|name| hit.functions.contains(name)) {
                    Some(place) => seen[place] = true,
                    None => unexpected.push(format!(
                        "{stage}, {length}: {} ({} bytes)\n    {}",
                        hit.secret, hit.size, hit.functions
                    )),
                }
            }
        }
        exempt(move || drop(fixture));
    }
    assert!(
        unexpected.is_empty(),
        "{} buffers:\n{}",
        unexpected.len(),
        unexpected.join("\n")
    );
    assert_eq!(
        seen,
        [true; DEPENDENCIES.len()],
        "{DEPENDENCIES:?} are not all needed"
    );
}

#[test]
fn allocator_detects_dropped_and_grown_secrets() {
    let secret = "K7dXq2mVbT4sLw9ZcR1yHn3PgK7dXq2mVbT4sLw9";
    exempt(|| fixtures::learn_text("a secret", secret));
    let copy = exempt(|| secret.to_owned());
    assert_eq!(freed_secrets(move || drop(copy)).len(), 1, "dropped");
    let mut grows = exempt(|| secret.to_owned());
    let hits = freed_secrets(|| {
        grows.reserve(100_000);
        std::hint::black_box(&grows);
    });
    assert!(!hits.is_empty(), "grown");
    for before in ["", "a", "ab"] {
        let encoded = exempt(|| STANDARD.encode(format!("{before}{secret}")));
        assert_eq!(freed_secrets(move || drop(encoded)).len(), 1, "in base64");
    }
    let later = exempt(|| secret.to_lowercase());
    let hits = freed_secrets(|| {
        exempt(keep);
        drop(later);
        exempt(|| fixtures::learn_text("what was not known", &secret.to_lowercase()));
    });
    assert!(!hits.is_empty(), "learned later");
    exempt(move || drop(grows));
    let nothing = freed_secrets(|| drop(std::hint::black_box(vec![7_u8; 4096])));
    assert!(nothing.is_empty());
}
