//! The same load at 1 ×, 10 × and 100 ×, to detect superlinear growth.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Better, Effort, Row, median, one_thread};
use crate::requests::{Pair, at_64};
use crate::server::Server;
use crate::tokens;

/// The cost of 100 ×, divided by 100 × the cost of 1 ×: at most 1 is linear.
pub fn row(name: &'static str, what: &str, points: &[(usize, f64)]) -> Row {
    let (Some((n, first)), Some((m, last))) = (points.first(), points.last()) else {
        return Row::new(name, "growth", Better::Lower, f64::NAN);
    };
    let growth = (last / first) / (*m as f64 / *n as f64);
    let points: Vec<Value> = points
        .iter()
        .map(|(n, value)| json!({"n": n, what: value}))
        .collect();
    Row::new(name, "growth", Better::Lower, growth)
        .more("points", points)
        .goal("at most linear (1)", |row| row.ours <= 1.1)
}

/// Returns the milliseconds until all callers have a token.
pub fn herd(effort: Effort) -> Row {
    let least = effort.pick(1_000, 10);
    let point = |n: usize| {
        let mut runs: Vec<f64> = (0..effort.pick(5, 1))
            .map(|_| tokens::herd_of(n, "ours").1)
            .collect();
        (n, median(&mut runs))
    };
    row(
        "scale_herd",
        "ms",
        &[point(least), point(least * 10), point(least * 100)],
    )
}

/// Returns the milliseconds of this many calls, 64 at a time.
pub fn requests(effort: Effort) -> Row {
    let server = Server::start();
    let rt = one_thread();
    let pair = Pair::new(&server);
    let least = effort.pick(640, 64);
    rt.block_on(at_64(least, || pair.call_ours()));
    let point = |n: usize| {
        let started = Instant::now();
        rt.block_on(at_64(n, || pair.call_ours()));
        (n, started.elapsed().as_secs_f64() * 1000.0)
    };
    row(
        "scale_requests",
        "ms",
        &[point(least), point(least * 10), point(least * 100)],
    )
}
