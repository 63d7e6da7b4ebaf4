//! Every credential's life, from its file to its drop, under an allocator that looks for its
//! secrets in all memory that is given back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod allocator;
mod life;
mod server;
mod stages;

use allocator::{exempt, hits_of, keep};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Buffers that are not ours, by functions that free them: `docs/src/threat-model.md` lists them.
const NOT_OURS: [&str; 4] = [
    // What was written to and read from the connection: hyper's task, in which nothing else is
    // done.
    "<futures_util::future::future::map::Map<Fut,F>",
    // The pieces of a reply, which share the connection's read buffer.
    "bytes::bytes_mut::",
    // serde_json's buffer for a text with escapes.
    "from_trait",
    // What the PEM of a certificate's key is collected in before it is decoded.
    "rustls_pki_types",
];

/// A token's usual length, one that fills more than a small buffer, and one that fills none.
const LENGTHS: [usize; 3] = [60, 300, 2000];

#[test]
fn no_secret_is_in_memory_that_our_code_gives_back() {
    let (mut told, mut seen) = (Vec::new(), [false; NOT_OURS.len()]);
    for length in LENGTHS {
        let world = exempt(|| life::World::new(length));
        for (stage, live) in stages::STAGES {
            for hit in hits_of(|| live(&world)) {
                let mut places = NOT_OURS.iter();
                match places.position(|name| hit.functions.contains(name)) {
                    Some(place) => seen[place] = true,
                    None => told.push(format!(
                        "{stage}, {length}: {} ({} bytes)\n    {}",
                        hit.secret, hit.size, hit.functions
                    )),
                }
            }
        }
        exempt(move || drop(world));
    }
    assert_eq!(
        seen,
        [true; NOT_OURS.len()],
        "{NOT_OURS:?} are not all needed"
    );
    assert!(
        told.is_empty(),
        "{} buffers:\n{}",
        told.len(),
        told.join("\n")
    );
}

#[test]
fn the_allocator_sees_a_secret_in_text_that_is_dropped_and_in_one_that_grows() {
    let secret = "K7dXq2mVbT4sLw9ZcR1yHn3PgK7dXq2mVbT4sLw9";
    exempt(|| life::learn_text("a secret", secret));
    let copy = exempt(|| secret.to_owned());
    assert_eq!(hits_of(move || drop(copy)).len(), 1, "dropped");
    let mut grows = exempt(|| secret.to_owned());
    let hits = hits_of(|| {
        grows.reserve(100_000);
        std::hint::black_box(&grows);
    });
    assert!(!hits.is_empty(), "grown");
    for before in ["", "a", "ab"] {
        let encoded = exempt(|| STANDARD.encode(format!("{before}{secret}")));
        assert_eq!(hits_of(move || drop(encoded)).len(), 1, "in base64");
    }
    let later = exempt(|| secret.to_lowercase());
    let hits = hits_of(|| {
        exempt(keep);
        drop(later);
        exempt(|| life::learn_text("what was not known", &secret.to_lowercase()));
    });
    assert!(!hits.is_empty(), "learned later");
    exempt(move || drop(grows));
    let nothing = hits_of(|| drop(std::hint::black_box(vec![7_u8; 4096])));
    assert!(nothing.is_empty());
}
