//! Every credential's life, from its file to its drop, under an allocator that looks for its
//! secrets in all memory that is given back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod allocator;
mod life;

use allocator::{exempt, hits_of};

/// Buffers that are not ours, by functions that free them: `docs/src/threat-model.md` lists them.
const NOT_OURS: [&str; 2] = [
    // What was written to and read from the connection: hyper's task, in which nothing else is
    // done.
    "<futures_util::future::future::map::Map<Fut,F>",
    // The pieces of a reply, which share the connection's read buffer.
    "bytes::bytes_mut::",
];

#[test]
fn no_secret_is_in_memory_that_our_code_gives_back() {
    let world = exempt(life::World::new);
    let (mut told, mut seen) = (Vec::new(), [false; NOT_OURS.len()]);
    for (stage, live) in life::STAGES {
        let hits = hits_of(|| live(&world));
        for hit in hits {
            let place = NOT_OURS
                .iter()
                .position(|name| hit.functions.contains(name));
            match place {
                Some(place) => seen[place] = true,
                None => told.push(format!(
                    "{stage}: {} ({} bytes)\n{}",
                    hit.secret, hit.size, hit.functions
                )),
            }
        }
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
    let world = exempt(life::World::new);
    let secret = exempt(|| world.secret("a refresh token"));
    let copy = exempt(|| secret.clone());
    assert_eq!(hits_of(move || drop(copy)).len(), 1, "dropped");
    let mut grows = exempt(|| secret.clone());
    let hits = hits_of(|| {
        grows.reserve(100_000);
        std::hint::black_box(&grows);
    });
    assert!(!hits.is_empty(), "grown");
    exempt(move || drop((grows, secret)));
    let nothing = hits_of(|| drop(std::hint::black_box(vec![7_u8; 4096])));
    assert!(nothing.is_empty());
}
